//! When something goes wrong: a task's fault ends the task, the kernel's ends the machine.
//!
//! Which it was is told by the interrupt flag: tasks run with interrupts on, the kernel works for them with interrupts off.

use core::fmt;
use core::panic::PanicInfo;

use alloc::format;
use alloc::string::String;

use dis_core::api::TaskId;

use crate::arch::entry::FaultFrame;
use crate::arch::exit::{Exit, exit};
use crate::context::{General, Registers};
use crate::lock::Lock;
use crate::report::Quoted;
use crate::sched::scheduler;
use crate::user::space::Served;
use crate::{clock, console, guard, percpu, sched, watch};

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
        end_of_kernel();
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
    let details = format_args!("\"vector\":{},\"error\":{},\"address\":\"{address:#x}\"", frame.vector, frame.error);
    let shown = Shown { general: &frame.general, rsp: frame.rsp, rip: frame.rip, rflags: frame.rflags };
    report(task.id(), format_args!("{reason}"), details, &shown);
    pc.in_fault.set(false);
    sched::end(if beyond.is_some() { MEMORY_LIMIT } else { FAULTED + frame.vector as i32 })
}

/// The panic handler: ends the task, or the machine.
#[inline(never)]
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    let mut general = General::default();
    let (rsp, rip, rflags): (u64, u64, u64);
    // SAFETY: writes the registers into a structure of ours, in its order, and changes none but rax.
    unsafe {
        core::arch::asm!(
            "mov [rax], r15", "mov [rax + 8], r14", "mov [rax + 16], r13", "mov [rax + 24], r12", "mov [rax + 32], r11",
            "mov [rax + 40], r10", "mov [rax + 48], r9", "mov [rax + 56], r8", "mov [rax + 64], rbp", "mov [rax + 72], rdi",
            "mov [rax + 80], rsi", "mov [rax + 88], rdx", "mov [rax + 96], rcx", "mov [rax + 104], rbx", "mov [rax + 112], rax",
            in("rax") &raw mut general
        );
        core::arch::asm!("mov {}, rsp", "lea {}, [rip]", "pushfq", "pop {}", out(reg) rsp, out(reg) rip, out(reg) rflags);
    }
    if !crate::arch::irq::enabled() || !sched::runs_task() {
        console::write_anyway(format_args!("kernel panic: {info}\n"));
        console::write_anyway(format_args!("{}{{\"event\":\"kernel-fault\",\"panic\":", console::RECORD));
        console::write_anyway(format_args!("{}}}\n", Quoted(info.message())));
        end_of_kernel();
    }
    let (line, file) = info.location().map_or((0, ""), |place| (place.line(), place.file()));
    let shown = Shown { general: &general, rsp, rip, rflags };
    let reason = format_args!("panic: {}", info.message());
    report(crate::task::current(), reason, format_args!("\"file\":{},\"line\":{line}", Quoted(file)), &shown);
    crate::task::exit(PANICKED)
}

/// Ends the machine for a fault or a panic that is no task's, and says so if it is a policy's. That runs under its CPU's lock, and the core is
/// in the middle of a change: there is nothing to go back to.
fn end_of_kernel() -> ! {
    let Some(policy) = guard::policy_here() else { exit(Exit::KernelFault) };
    console::write_anyway(format_args!("it was the policy {policy:?}, with which the scheduler ends\n"));
    console::write_anyway(format_args!("{}{{\"event\":\"policy-fault\",\"policy\":", console::RECORD));
    console::write_anyway(format_args!("{}}}\n", Quoted(policy)));
    exit(Exit::PolicyFault)
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

/// Registers of a task that is ended, for the report.
struct Shown<'a> {
    general: &'a General,
    rsp: u64,
    rip: u64,
    rflags: u64,
}

/// A JSON object of hexadecimal strings.
impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.general;
        write!(f, "{{\"rip\":\"{:#x}\",\"rflags\":\"{:#x}\",\"rsp\":\"{:#x}\"", self.rip, self.rflags, self.rsp)?;
        let low = [("rax", g.rax), ("rbx", g.rbx), ("rcx", g.rcx), ("rdx", g.rdx), ("rsi", g.rsi), ("rdi", g.rdi)];
        let high = [("rbp", g.rbp), ("r8", g.r8), ("r9", g.r9), ("r10", g.r10), ("r11", g.r11), ("r12", g.r12)];
        let last = [("r13", g.r13), ("r14", g.r14), ("r15", g.r15)];
        for (name, value) in low.into_iter().chain(high).chain(last) {
            write!(f, ",\"{name}\":\"{value:#x}\"")?;
        }
        f.write_str("}")
    }
}

/// The report of the task that was ended last, for the kernel's own tests.
static LAST: Lock<String> = Lock::new(String::new());

/// The machine line, without its first byte, of the task that a fault or a panic has ended last.
pub fn last_report() -> String {
    LAST.lock().clone()
}

/// Tells that a task is ended, and why: `details` are members of the machine line.
fn report(id: TaskId, reason: fmt::Arguments<'_>, details: fmt::Arguments<'_>, registers: &Shown<'_>) {
    let name = scheduler().with_task(id, |task| task.name.clone()).unwrap_or_default();
    let cpu = crate::task::cpu();
    let line = format!(
        "{{\"event\":\"task-failed\",\"task\":{},\"id\":{},\"cpu\":{cpu},\"reason\":{},{details},\"registers\":{registers}}}",
        Quoted(&name),
        id.0,
        Quoted(reason)
    );
    console::write(format_args!("{}{line}\n", console::RECORD));
    *LAST.lock() = line;
    sched::note_failure();
}
