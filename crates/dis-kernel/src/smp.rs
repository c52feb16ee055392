//! The other CPUs: starting them, checking their clocks.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::vec::Vec;

use crate::arch::{apic, idt, pit};
use crate::clock::{self, Exchange};
use crate::percpu::{self, PerCpu};
use crate::{event, memory, println};

/// Physical address where an application processor begins.
const TRAMPOLINE: u64 = 0x8000;

/// The real-mode code of `boot.s`, and where in it the parameters are.
pub struct Trampoline {
    /// The code.
    pub code: &'static [u8],
    /// Offset of the page tables' address; stack, argument, the kernel's page tables and entry follow, 8 bytes each.
    pub parameters: usize,
    /// The page tables to begin with: they map the low memory where it is, and the kernel.
    pub tables: u64,
}

/// Tells CPUs apart while they start.
static ARRIVED: AtomicU64 = AtomicU64::new(0);
static GO: AtomicBool = AtomicBool::new(false);
/// The exchange of counters: a question's number, the answer's number, the answer.
static QUESTION: AtomicU64 = AtomicU64::new(0);
static ANSWERED: AtomicU64 = AtomicU64::new(0);
static ANSWER: AtomicU64 = AtomicU64::new(0);
const EXCHANGES: u64 = 64;

/// Starts the CPUs of `apic_ids` one after the other, this one excepted. Answers how many CPUs run now.
///
/// # Safety
/// Once, by the first CPU; `trampoline` must be what it says, and the first MiB nobody's.
pub unsafe fn start_others(apic_ids: &[u32], trampoline: &Trampoline, most: usize) -> usize {
    let here = apic::id();
    let low = memory::at(TRAMPOLINE);
    // SAFETY: the page at 0x8000 is nobody's (contract), and large enough.
    unsafe { low.copy_from_nonoverlapping(trampoline.code.as_ptr(), trampoline.code.len()) };
    let room = most.min(percpu::MAX_CPUS).saturating_sub(percpu::count());
    let others: Vec<u32> = apic_ids.iter().copied().filter(|&id| id != here).take(room).collect();
    // All are reset before one wait for all: 10 ms for each would be most of the boot. A CPU that was reset waits to be started.
    others.iter().for_each(|&id| apic::reset(id));
    if !others.is_empty() {
        pit::wait_ms(10);
    }
    for id in others {
        let cpu = percpu::count();
        let pc = PerCpu::new(cpu, id);
        let entry = arrive as *const () as u64;
        let parameters = [trampoline.tables, pc.stack, pc as *const PerCpu as u64, memory::kernel_cr3(), entry];
        for (place, value) in parameters.into_iter().enumerate() {
            // SAFETY: the parameters lie in the code that was copied, 8-byte aligned.
            unsafe { low.add(trampoline.parameters).cast::<u64>().add(place).write_volatile(value) };
        }
        let before = ARRIVED.load(Ordering::Acquire);
        for _ in 0..2 {
            apic::start(id, (TRAMPOLINE >> 12) as u8);
            for _ in 0..100 {
                if ARRIVED.load(Ordering::Acquire) != before {
                    break;
                }
                pit::wait_ms(1);
            }
            if ARRIVED.load(Ordering::Acquire) != before {
                break;
            }
        }
        if ARRIVED.load(Ordering::Acquire) == before {
            println!("CPU {cpu} (APIC {id}) did not start");
            event!("cpu-missing", "\"cpu\":{cpu},\"apic\":{id}");
            percpu::forget(cpu);
            break;
        }
        let skew = ask_counter();
        if skew > 0 {
            println!("CPU {cpu}: its time stamp counter is {skew} counts away from CPU 0's");
            event!("clock-skew", "\"cpu\":{cpu},\"counts\":{skew}");
        }
    }
    percpu::count()
}

/// Lets the CPUs that have been started schedule.
pub fn go() {
    GO.store(true, Ordering::SeqCst);
    for cpu in (1..percpu::count()).filter_map(percpu::get) {
        apic::interrupt(cpu.apic_id, idt::RESCHEDULE);
    }
}

/// Exchanges counters with the CPU that has just started.
fn ask_counter() -> u64 {
    let mut exchanges = Vec::new();
    for _ in 0..EXCHANGES {
        let number = QUESTION.load(Ordering::Relaxed) + 1;
        let asked = clock::tsc();
        QUESTION.store(number, Ordering::SeqCst);
        while ANSWERED.load(Ordering::SeqCst) != number {
            core::hint::spin_loop();
        }
        let received = clock::tsc();
        exchanges.push(Exchange { asked, answered: ANSWER.load(Ordering::SeqCst), received });
    }
    clock::skew(exchanges)
}

/// The other side of [`ask_counter`].
fn answer_counter() {
    let first = ANSWERED.load(Ordering::Relaxed) + 1;
    for number in first..first + EXCHANGES {
        while QUESTION.load(Ordering::SeqCst) != number {
            core::hint::spin_loop();
        }
        ANSWER.store(clock::tsc(), Ordering::SeqCst);
        ANSWERED.store(number, Ordering::SeqCst);
    }
}

/// Where an application processor comes out of the trampoline. Its stack and its data are mapped by the kernel's page
/// tables (rsi) only.
#[unsafe(naked)]
unsafe extern "C" fn arrive() -> ! {
    core::arch::naked_asm!("mov cr3, rsi", "call {enter}", "ud2", enter = sym enter)
}

/// The rest of the way, on the CPU's own stack.
unsafe extern "C" fn enter(pc: &'static PerCpu) -> ! {
    // SAFETY: the CPU's own first steps; nothing before needs GS.
    unsafe { crate::boot::set_up_cpu(pc) };
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    answer_counter();
    // Asleep, so that in an emulator the first CPU has the machine for itself.
    idt::load_waiting();
    while !GO.load(Ordering::SeqCst) {
        x86_64::instructions::interrupts::enable_and_hlt();
        x86_64::instructions::interrupts::disable();
        apic::acknowledge();
    }
    idt::load();
    // SAFETY: it is set up.
    unsafe { crate::sched::start() }
}
