//! The smallest kernel around `dis-core`: one CPU, preemption by a timer that is armed only for what the core asks.
//! `docs/embedding.md` walks through it.
#![no_std]
#![no_main]

extern crate alloc;
mod machine;

use alloc::{boxed::Box, vec};
use core::arch::{asm, global_asm, naked_asm};
use core::cell::{Cell, UnsafeCell};
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dis_core::api::{Duration, TaskId, TaskSpec};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;
use machine::{arm, now};

global_asm!(include_str!("boot.s"), options(att_syntax));
// `memcpy` and its like, which compiled code calls and nobody brings on this target.
global_asm!(include_str!("../../../crates/dis-kernel/src/mem.s"), options(att_syntax));
#[global_allocator]
static HEAP: machine::Heap = machine::Heap;

/// The core's lock. On one CPU, with interrupts off at every call of the core, there is nobody to keep out.
struct NoLock;
// SAFETY: see above.
unsafe impl lock_api::RawMutex for NoLock {
    const INIT: NoLock = NoLock;
    type GuardMarker = lock_api::GuardSend;
    fn lock(&self) {}
    fn try_lock(&self) -> bool {
        true
    }
    unsafe fn unlock(&self) {}
}

/// A task's registers while it does not run. The CPU itself pushes the last five: IST 1 points behind them.
#[repr(C, align(16))]
struct Context {
    fpu: [u8; 512],
    general: [u64; 15],
    frame: [u64; 5], // rip, cs, rflags, rsp, ss
}

/// The host: the core, how the running task wants to leave, the context of "no task", and what the CPU reads.
struct Host {
    core: Executor<usize, NoLock>,
    leave: Cell<Leave>,
    idle: UnsafeCell<Context>,
    gdt: UnsafeCell<[u64; 5]>,
    tss: UnsafeCell<[u32; 26]>,
    idt: UnsafeCell<[[u64; 2]; 256]>,
}
struct Place(UnsafeCell<Option<&'static Host>>);
// SAFETY: one CPU; written before the first interrupt.
unsafe impl Sync for Place {}
static HOST: Place = Place(UnsafeCell::new(None));

fn host() -> &'static Host {
    // SAFETY: see `Place`.
    unsafe { (*HOST.0.get()).unwrap_unchecked() }
}

/// The timer and a task that leaves come in the same way. All registers are in the running task's context when `decide`
/// is called, on the boot stack; it answers whose are loaded.
macro_rules! entry {
    ($name:ident, $timer:literal) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp", "push r8", "push r9",
                "push r10", "push r11", "push r12", "push r13", "push r14", "push r15", "sub rsp, 512", "fxsave64 [rsp]",
                concat!("mov edi, ", $timer), "lea rsp, [rip + boot_stack_end - 32768]", "cld", "call {decide}",
                "mov rsp, rax", "fxrstor64 [rsp]", "add rsp, 512", "pop r15", "pop r14", "pop r13", "pop r12", "pop r11",
                "pop r10", "pop r9", "pop r8", "pop rbp", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
                "iretq", decide = sym decide)
        }
    };
}
entry!(timer, 1);
entry!(left, 0);

/// The question to the core, and both steps of the answer.
extern "C" fn decide(timer: u32) -> *const Context {
    let host = host();
    if timer == 1 {
        machine::apic(0xb0, 0); // end of interrupt
    }
    let mut leave = if timer == 1 { Leave::Ask } else { host.leave.replace(Leave::Ask) };
    loop {
        let Ok(decision) = host.core.schedule(0, now(), leave) else { machine::exit(0x11) };
        let next = decision.next.map_or(host.idle.get() as usize, |next| next.context);
        // The first step was the decision. The second: the registers of the task that left are saved; here they always are.
        if (decision.vacate || decision.next.is_none_or(|next| next.switch)) && host.core.switched(0) {
            leave = Leave::Ask; // somebody has waited for just that
            continue;
        }
        arm(decision.until);
        set_frame_end(next + size_of::<Context>());
        return next as *const Context;
    }
}

/// Where the CPU pushes at the next interrupt: the end of the context of the task that runs.
fn set_frame_end(end: usize) {
    // SAFETY: IST 1 of the TSS, 8 bytes at 36; interrupts are off.
    unsafe { host().tss.get().cast::<u8>().add(36).cast::<usize>().write_unaligned(end) };
}

/// Gives up the CPU; back when it is this task's turn again.
fn leave(how: Leave) {
    // SAFETY: nothing may come between the note and the interrupt that reads it. All registers are kept.
    unsafe { asm!("cli", options(nostack)) };
    host().leave.set(how);
    // SAFETY: as above.
    unsafe { asm!("int 0x81", "sti") };
}

fn sleep(time: Duration) {
    leave(Leave::Sleep(now() + time));
}

/// Whatever wakes, spawns or changes tasks answers whether this CPU should ask again.
fn spawn(name: &str, intent: Intent, body: fn(u64), argument: u64) -> TaskId {
    let stack = Box::leak(vec![0u128; 1024].into_boxed_slice()).as_ptr_range().end as u64;
    let mut context = Box::new(Context { fpu: [0; 512], general: [0; 15], frame: [0; 5] });
    context.fpu[..2].copy_from_slice(&0x37fu16.to_le_bytes()); // exceptions of x87 and SSE masked
    context.fpu[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
    (context.general[9], context.general[10]) = (argument, body as usize as u64); // rdi, rsi
    context.frame = [first_steps as *const () as u64, 8, 0x202, stack - 8, 16];
    // SAFETY: interrupts off around a call of the core.
    unsafe { asm!("cli", options(nostack)) };
    let spec = TaskSpec::new(name, intent, Box::leak(context) as *mut Context as usize);
    let spawned = host().core.spawn(now(), None, spec);
    let Ok((id, wake)) = spawned else { machine::exit(0x11) };
    if wake.interrupt || wake.until.is_some() {
        leave(Leave::Ask);
    }
    // SAFETY: as above.
    unsafe { asm!("sti", options(nostack)) };
    id
}

extern "C" fn first_steps(argument: u64, body: *const ()) {
    // SAFETY: `spawn` has put it there.
    unsafe { core::mem::transmute::<*const (), fn(u64)>(body)(argument) };
    leave(Leave::Exit(0));
}

/// The entry in 64-bit mode; becomes the idle loop.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    machine::start_clocks();
    let Ok(core) = Executor::new(Config::new(1)) else { machine::exit(0x11) };
    let idle = UnsafeCell::new(Context { fpu: [0; 512], general: [0; 15], frame: [0; 5] });
    let (gdt, tss) =
        (UnsafeCell::new([0, 0x00af_9a00_0000_ffff, 0x00cf_9200_0000_ffff, 0, 0]), UnsafeCell::new([0; 26]));
    let idt = UnsafeCell::new([[0; 2]; 256]);
    let host: &'static Host = Box::leak(Box::new(Host { core, leave: Cell::new(Leave::Ask), idle, gdt, tss, idt }));
    // SAFETY: nothing else runs yet; the tables are of the layout that the CPU wants, and stay where they are.
    unsafe {
        *HOST.0.get() = Some(host);
        let at = host.tss.get() as u64;
        (*host.gdt.get())[3] = 103 | (at & 0xff_ffff) << 16 | 0x89 << 40 | (at >> 24 & 0xff) << 56;
        (*host.gdt.get())[4] = at >> 32;
        for (vector, entry) in [(32, timer as *const () as u64), (0x81, left as *const () as u64)] {
            let low = entry & 0xffff | 8 << 16 | 1 << 32 | 0x8e << 40 | (entry >> 16 & 0xffff) << 48;
            (*host.idt.get())[vector] = [low, entry >> 32];
        }
        let pointer = |limit: u64, at: u64| u128::from(limit) | u128::from(at) << 16;
        let (gdt, idt) = (pointer(39, host.gdt.get() as u64), pointer(4095, host.idt.get() as u64));
        asm!("lgdt [{}]", "lidt [{}]", "ltr {:x}", in(reg) &gdt, in(reg) &idt, in(reg) 24u16);
    }
    set_frame_end(host.idle.get() as usize + size_of::<Context>());
    spawn("demonstration", Intent::system(), demonstration, 0);
    loop {
        // SAFETY: waits for the timer.
        unsafe { asm!("sti", "hlt") };
    }
}

static WORK: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// A control loop and two tasks that never give way, for 200 ms.
fn demonstration(_: u64) {
    let control = spawn("control", Intent::realtime(10_000, 10_000, 2_000), control, 0);
    (1..3).for_each(|place| _ = spawn("encode", Intent::batch(), encode, place));
    sleep(Duration::from_millis(205));
    let Ok(stats) = host().core.task_stats(now(), control) else { machine::exit(0x11) };
    let [jobs, one, two] = [0, 1, 2].map(|place| WORK[place].load(Relaxed));
    let missed = stats.deadline_misses;
    _ = writeln!(machine::Serial, "control: {jobs} jobs, {missed} missed; encode: {one} and {two} rounds");
    machine::exit(if jobs >= 20 && missed == 0 && one > 0 && two > 0 { 0x10 } else { 0x12 })
}

fn control(_: u64) {
    loop {
        let end = now() + Duration::from_millis(1);
        while now() < end {}
        WORK[0].fetch_add(1, Relaxed);
        leave(Leave::NextPeriod);
    }
}

fn encode(place: u64) {
    loop {
        WORK[place as usize].fetch_add(1, Relaxed);
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    _ = writeln!(machine::Serial, "{info}");
    machine::exit(0x11)
}
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    machine::exit(0x11)
}
