//! When something goes wrong: a task's fault ends the task, the kernel's ends the machine.
//!
//! Which it was is told by the interrupt flag: tasks run with interrupts on, the kernel works for them with interrupts off.

use core::fmt::Write;
use core::panic::PanicInfo;

use alloc::string::String;

use crate::arch::entry::FaultFrame;
use crate::arch::exit::{Exit, exit};
use crate::context::Registers;
use crate::report::{Escaped, Quoted};
use crate::sched::scheduler;
use crate::user::space::Served;
use crate::{clock, console, event, percpu, sched, watch};

/// Exit code of a task that panicked, as of a process in Rust.
pub const PANICKED: i32 = 101;
/// Exit code of a user task that touched more pages than it may have, or than there are.
pub const MEMORY_LIMIT: i32 = 102;
/// Exit code of a task that faulted: this and the vector.
pub const FAULTED: i32 = 128;

const PAGE_FAULT: u64 = 14;
/// Bit of a page fault's error code: the page is there, and does not allow that.
const PRESENT: u64 = 1;

const NAMES: [&str; 22] = [
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualisation",
    "control protection",
];

fn name(vector: u64) -> &'static str {
    NAMES.get(vector as usize).copied().unwrap_or("reserved")
}

fn fault_address() -> u64 {
    let address: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, cr2", out(reg) address, options(nostack, nomem, preserves_flags)) };
    address
}

/// An exception. Answers null to go on where it happened, else whose registers are loaded.
pub(crate) extern "C" fn exception(frame: &FaultFrame) -> *const Registers {
    let address = fault_address();
    let pc = percpu::this();
    let of_task = frame.rflags & 0x200 != 0 && !core::ptr::eq(pc.current.get(), &*pc.idle);
    if !of_task || pc.in_fault.replace(true) || matches!(frame.vector, 2 | 8 | 18) {
        console::write_anyway(format_args!(
            "kernel fault on CPU {}: {} (vector {}, error {:#x}, address {:#x}) at {:#x}, stack {:#x}\n",
            pc.cpu,
            name(frame.vector),
            frame.vector,
            frame.error,
            address,
            frame.rip,
            frame.rsp
        ));
        console::write_anyway(format_args!(
            "{}{{\"event\":\"kernel-fault\",\"cpu\":{},\"vector\":{},\"rip\":\"{:#x}\"}}\n",
            console::RECORD,
            pc.cpu,
            frame.vector,
            frame.rip
        ));
        exit(Exit::KernelFault);
    }
    pc.depth.set(1);
    // SAFETY: the current task's block lives.
    let task = unsafe { &*pc.current.get() };
    let mut beyond = None;
    if frame.cs & 3 != 0 {
        task.times.was_user(clock::now().as_nanos());
        if let (PAGE_FAULT, Some(space)) = (frame.vector, &task.space)
            && frame.error & PRESENT == 0
        {
            match space.serve(address) {
                Served::Yes => {
                    task.times.was_system(clock::now().as_nanos());
                    pc.depth.set(0);
                    pc.in_fault.set(false);
                    return core::ptr::null();
                }
                Served::NotThere => {}
                Served::Limit => beyond = Some("memory limit"),
                Served::OutOfMemory => beyond = Some("out of memory"),
            }
        }
    }
    let overflow = frame.vector == 14 && task.guard().is_some_and(|guard| guard.contains(&address));
    let reason = beyond.unwrap_or(if overflow { "stack overflow" } else { name(frame.vector) });
    let task_name = scheduler().with_task(task.id(), |task| task.name.clone()).unwrap_or_default();
    event!(
        "task-failed",
        "\"task\":{},\"id\":{},\"cpu\":{},\"reason\":{},\"vector\":{},\"error\":{},\"address\":\"{:#x}\",\"registers\":{}",
        Quoted(&task_name),
        task.id().0,
        pc.cpu,
        Quoted(reason),
        frame.vector,
        frame.error,
        address,
        general(frame)
    );
    sched::note_failure();
    pc.in_fault.set(false);
    sched::end(if beyond.is_some() { MEMORY_LIMIT } else { FAULTED + frame.vector as i32 })
}

/// The panic handler: ends the task, or the machine.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    if !crate::arch::irq::enabled() || !sched::runs_task() {
        console::write_anyway(format_args!("kernel panic: {info}\n"));
        console::write_anyway(format_args!("{}{{\"event\":\"kernel-fault\",\"panic\":", console::RECORD));
        console::write_anyway(format_args!("{}}}\n", Quoted(info.message())));
        exit(Exit::KernelFault);
    }
    let id = crate::task::current();
    let task_name = scheduler().with_task(id, |task| task.name.clone()).unwrap_or_default();
    let mut reason = String::new();
    let _ = write!(Escaped(&mut reason), "panic: {}", info.message());
    let place = info.location().map_or((0, ""), |place| (place.line(), place.file()));
    event!(
        "task-failed",
        "\"task\":{},\"id\":{},\"cpu\":{},\"reason\":\"{}\",\"file\":{},\"line\":{}",
        Quoted(&task_name),
        id.0,
        crate::task::cpu(),
        reason,
        Quoted(place.1),
        place.0
    );
    sched::note_failure();
    crate::task::exit(PANICKED)
}

/// A lock is not given back: ends the machine.
#[cold]
pub fn stuck() -> ! {
    console::write_anyway(format_args!(
        "kernel fault: CPU {} waits for a lock in vain; CPUs that do not answer: {}\n",
        percpu::this().cpu,
        watch::SilentCpus
    ));
    console::write_anyway(format_args!("{}{{\"event\":\"kernel-fault\",\"stuck\":true}}\n", console::RECORD));
    exit(Exit::KernelFault)
}

/// The general registers as a JSON object of hexadecimal strings.
fn general(f: &FaultFrame) -> String {
    let named = [
        ("rax", f.rax),
        ("rbx", f.rbx),
        ("rcx", f.rcx),
        ("rdx", f.rdx),
        ("rsi", f.rsi),
        ("rdi", f.rdi),
        ("rbp", f.rbp),
        ("rsp", f.rsp),
        ("r8", f.r8),
        ("r9", f.r9),
        ("r10", f.r10),
        ("r11", f.r11),
        ("r12", f.r12),
        ("r13", f.r13),
        ("r14", f.r14),
        ("r15", f.r15),
        ("rip", f.rip),
        ("rflags", f.rflags),
    ];
    let mut text = String::from("{");
    for (place, (name, value)) in named.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{name}\":\"{value:#x}\"");
    }
    text.push('}');
    text
}
