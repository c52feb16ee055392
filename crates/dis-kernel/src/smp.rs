//! The other CPUs: starting them, checking their clocks, noticing that one does not answer.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::vec::Vec;

use dis_core::api::{Duration, Timestamp};

use crate::arch::{apic, idt, pit};
use crate::clock::{self, Exchange};
use crate::percpu::{self, PerCpu};
use crate::{event, memory, println};

/// After how long without an answer to an interrupt a CPU is reported.
pub const SILENCE: Duration = Duration::from_millis(1000);
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
    for &id in apic_ids.iter().filter(|&&id| id != here) {
        let cpu = percpu::count();
        if cpu >= most.min(percpu::MAX_CPUS) {
            break;
        }
        let pc = PerCpu::new(cpu, id);
        let entry = arrive as *const () as u64;
        let parameters = [trampoline.tables, pc.stack, pc as *const PerCpu as u64, memory::kernel_cr3(), entry];
        for (place, value) in parameters.into_iter().enumerate() {
            // SAFETY: the parameters lie in the code that was copied, 8-byte aligned.
            unsafe { low.add(trampoline.parameters).cast::<u64>().add(place).write_volatile(value) };
        }
        let before = ARRIVED.load(Ordering::Acquire);
        apic::reset(id);
        pit::wait_ms(10);
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

/// How late a timer may be before it counts as lost.
const GRACE: Duration = Duration::from_millis(200);
/// CPUs look after each other at least so often, ns; 0: not at all.
static WATCH: AtomicU64 = AtomicU64::new(0);

/// From now on each CPU's timer is armed for at most `period`, and when it comes, the CPU looks whether the others' came.
pub fn watch(period: Duration) {
    WATCH.store(period.as_nanos(), Ordering::Relaxed);
}

/// The latest instant for which a timer may be armed.
#[inline(always)]
pub(crate) fn horizon(now: Timestamp) -> Timestamp {
    match WATCH.load(Ordering::Relaxed) {
        0 => Timestamp::MAX,
        period => now + Duration::from_nanos(period),
    }
}

/// This CPU's timer has come: did those of the others, and do they answer? O(CPUs).
pub(crate) fn look_after_others(here: &PerCpu, now: Timestamp) {
    if WATCH.load(Ordering::Relaxed) == 0 {
        return;
    }
    for other in (0..percpu::count()).filter(|&cpu| cpu != here.cpu).filter_map(percpu::get) {
        let armed = Timestamp::from_nanos(other.armed.load(Ordering::Relaxed));
        if other.asked_at.load(Ordering::SeqCst) != 0 {
            check_answer(other, now);
        } else if armed < now && now.since(armed) > GRACE {
            other.counts.lost_timers.fetch_add(1, Ordering::Relaxed);
            event!("timer-lost", "\"cpu\":{},\"due_ns\":{}", other.cpu, armed.as_nanos());
            println!("CPU {}: its timer did not come; it is asked to look itself", other.cpu);
            crate::sched::interrupt_cpu(other.cpu, now);
        }
    }
}

/// Looks whether a CPU has left an interrupt unanswered for too long, and reports it once.
pub(crate) fn check_answer(other: &PerCpu, now: Timestamp) {
    let asked = other.asked_at.load(Ordering::SeqCst);
    if asked == 0 || now.since(Timestamp::from_nanos(asked)) < SILENCE {
        return;
    }
    if other.silent.swap(1, Ordering::AcqRel) == 0 {
        println!("CPU {} does not answer", other.cpu);
        event!("cpu-silent", "\"cpu\":{},\"since_ns\":{asked},\"now_ns\":{}", other.cpu, now.as_nanos());
    }
    // Perhaps it was lost on the way.
    apic::interrupt(other.apic_id, idt::RESCHEDULE);
}

/// A CPU that was reported as silent has answered.
#[cold]
pub(crate) fn answers_again(pc: &PerCpu) {
    pc.silent.store(0, Ordering::Release);
    println!("CPU {} answers again", pc.cpu);
    event!("cpu-answers", "\"cpu\":{}", pc.cpu);
}
