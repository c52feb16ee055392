//! Into the kernel and out of it: interrupts, exceptions, calls that give up the CPU. The only assembly beside the boot code.
//!
//! Interrupts and calls meet on the CPU's own stack in [`crate::sched`], which answers whose registers are loaded next.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::context::{General, Registers, Tcb};
use crate::fault;
use crate::percpu::PerCpu;
use crate::sched;
use crate::user::calls;

const CS: usize = offset_of!(Registers, cs);
const RESUME: usize = offset_of!(Registers, resume);

#[cfg(not(feature = "skip-fpu"))]
macro_rules! save_fpu {
    () => {
        "fxsave64 [rsp]"
    };
}
#[cfg(not(feature = "skip-fpu"))]
macro_rules! load_fpu {
    () => {
        "fxrstor64 [rax]"
    };
}
#[cfg(feature = "skip-fpu")]
macro_rules! save_fpu {
    () => {
        ""
    };
}
#[cfg(feature = "skip-fpu")]
macro_rules! load_fpu {
    () => {
        ""
    };
}

/// Pushes the general registers and the FPU's below what the CPU has pushed, takes the kernel's GS.
macro_rules! save {
    () => {
        concat!(
            "push rax\n push rbx\n push rcx\n push rdx\n push rsi\n push rdi\n push rbp\n push r8\n push r9\n push r10\n",
            "push r11\n push r12\n push r13\n push r14\n push r15\n sub rsp, 512\n"
        )
    };
}

macro_rules! pop_all {
    () => {
        concat!(
            "pop r15\n pop r14\n pop r13\n pop r12\n pop r11\n pop r10\n pop r9\n pop r8\n pop rbp\n pop rdi\n pop rsi\n",
            "pop rdx\n pop rcx\n pop rbx\n pop rax\n"
        )
    };
}

/// Loads the registers of the task in rax, however they were saved.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn restore() -> ! {
    naked_asm!(
        "mov rcx, [rax + {resume}]",
        "test rcx, rcx",
        "jnz 3f",
        load_fpu!(),
        "lea rsp, [rax + 512]",
        "test byte ptr [rax + {cs}], 3",
        "jz 2f",
        "swapgs",
        "2:",
        pop_all!(),
        "iretq",
        // Left by a call: back from it.
        "3:",
        "mov qword ptr [rax + {resume}], 0",
        "mov rsp, rcx",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        resume = const RESUME,
        cs = const CS,
    )
}

/// The running task, whose registers are at rdi, gives up the CPU by this call. Interrupts are off; it returns when the
/// task is chosen again, perhaps on another CPU.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch_away(from: *mut Registers) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi + {resume}], rsp",
        "mov rsp, gs:[{stack}]",
        "call {commit}",
        "jmp {restore}",
        resume = const RESUME,
        stack = const offset_of!(PerCpu, stack),
        commit = sym sched::commit,
        restore = sym restore,
    )
}

/// Leaves whatever runs here for good: nothing is saved.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn abandon() -> ! {
    naked_asm!(
        "mov rsp, gs:[{stack}]",
        "call {commit}",
        "jmp {restore}",
        stack = const offset_of!(PerCpu, stack),
        commit = sym sched::commit,
        restore = sym restore,
    )
}

macro_rules! interrupt {
    ($(#[$doc:meta])* $name:ident, $vector:expr) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            naked_asm!(
                save!(),
                save_fpu!(),
                "test byte ptr [rsp + {cs}], 3",
                "jz 2f",
                "swapgs",
                "2:",
                "mov rdi, rsp",
                "mov esi, {vector}",
                "mov rsp, gs:[{stack}]",
                "cld",
                "call {handler}",
                "jmp {restore}",
                cs = const CS,
                vector = const $vector,
                stack = const offset_of!(PerCpu, stack),
                handler = sym sched::interrupt,
                restore = sym restore,
            )
        }
    };
}

interrupt!(
    /// The local APIC's timer.
    timer, super::idt::TIMER);
interrupt!(
    /// Another CPU wants this one to ask again.
    reschedule, super::idt::RESCHEDULE);
interrupt!(
    /// The APIC's spurious vector.
    spurious, super::idt::SPURIOUS);
interrupt!(
    /// Every vector that nobody has set up.
    unexpected, super::idt::UNEXPECTED);

/// A system call, on the kernel stack of the task that calls: all of its registers are saved there, as it may wait.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn system_call() {
    naked_asm!(
        save!(),
        "fxsave64 [rsp]",
        "swapgs",
        "mov rdi, rsp",
        "cld",
        "call {handler}",
        "swapgs",
        "fxrstor64 [rsp]",
        "add rsp, 512",
        pop_all!(),
        "iretq",
        handler = sym calls::enter,
    )
}

/// An interrupt that only ends a `hlt`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn nothing() {
    naked_asm!("iretq")
}

/// What exceptions push: the registers as in a task's area, with two words before what the CPU pushes itself.
#[repr(C, align(16))]
#[derive(Debug)]
#[allow(missing_docs, reason = "registers")]
pub struct FaultFrame {
    pub fpu: [u8; 512],
    pub general: General,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// The rest of an exception's way in; back with the frame's registers if the handler answers null, else to the task it
/// names.
#[unsafe(naked)]
unsafe extern "C" fn exception() {
    naked_asm!(
        save!(),
        "fxsave64 [rsp]",
        "test byte ptr [rsp + {cs}], 3",
        "jz 2f",
        "swapgs",
        "2:",
        "mov rdi, rsp",
        "cld",
        "call {handler}",
        "test rax, rax",
        "jnz {restore}",
        "fxrstor64 [rsp]",
        "test byte ptr [rsp + {cs}], 3",
        "jz 2f",
        "swapgs",
        "2:",
        "add rsp, 512",
        pop_all!(),
        "add rsp, 16",
        "iretq",
        cs = const offset_of!(FaultFrame, cs),
        handler = sym fault::exception,
        restore = sym restore,
    )
}

macro_rules! exceptions {
    ($($name:ident $vector:literal $push:literal)*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!($push, concat!("push ", $vector), "jmp {rest}", rest = sym exception)
            }
        )*
        /// The entries of vectors 0 to 31, in that order.
        pub fn exceptions() -> [(u8, u64); 32] {
            [$(($vector, $name as *const () as u64)),*]
        }
    };
}

// Those with "" have an error code from the CPU.
exceptions! {
    e0 0 "push 0"  e1 1 "push 0"  e2 2 "push 0"  e3 3 "push 0"  e4 4 "push 0"  e5 5 "push 0"  e6 6 "push 0"  e7 7 "push 0"
    e8 8 ""  e9 9 "push 0"  e10 10 ""  e11 11 ""  e12 12 ""  e13 13 ""  e14 14 ""  e15 15 "push 0"
    e16 16 "push 0"  e17 17 ""  e18 18 "push 0"  e19 19 "push 0"  e20 20 "push 0"  e21 21 ""  e22 22 "push 0"  e23 23 "push 0"
    e24 24 "push 0"  e25 25 "push 0"  e26 26 "push 0"  e27 27 "push 0"  e28 28 "push 0"  e29 29 ""  e30 30 ""  e31 31 "push 0"
}

/// Where a task begins; rdi is its control block.
///
/// # Safety
/// Only as a new task's first instruction.
pub(crate) unsafe extern "C" fn begin(task: *const Tcb) -> ! {
    // SAFETY: the block lives at least as long as its task runs.
    let work = unsafe { (*task).take_work() };
    let code = work.map_or(0, |work| work());
    crate::task::exit(code)
}

/// Where idle tasks are: whatever there is to do comes by interrupt.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn idle() -> ! {
    naked_asm!("2: sti", "hlt", "jmp 2b")
}
