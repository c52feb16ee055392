//! The kernel's part of a task: its registers, its stack, what it runs.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::TaskId;

use crate::arch::selectors::Selectors;
use crate::arch::{entry, gdt};
use crate::memory::stacks::Stack;
use crate::user::space::Space;
use crate::user::times::Times;
use crate::wait::Awaited;

/// What a task does; the answer is its exit code.
pub type Work = Box<dyn FnOnce() -> i32 + Send>;

/// The general registers, in the order in which the entry pushes them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "registers")]
pub struct General {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
}

/// A task's registers while it does not run.
///
/// An interrupt fills it from `ss` downwards: the CPU pushes the interrupted context here (IST 1 points at the end), the
/// entry the rest. A task that gives up the CPU by a call keeps what a call preserves on its own stack, and `resume` says
/// where.
#[repr(C, align(64))]
#[derive(Debug)]
#[allow(missing_docs, reason = "registers")]
pub struct Registers {
    /// As `fxsave64` writes it.
    pub fpu: [u8; 512],
    pub general: General,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    /// Stack pointer of a task that left by a call; 0 if all registers are above.
    pub resume: u64,
    /// Page tables.
    pub cr3: u64,
    /// A user task's data segments; saved and loaded when another user task takes its CPU.
    pub selectors: Selectors,
}

/// Where the CPU begins to push.
pub const FRAME_END: usize = offset_of!(Registers, ss) + 8;
const _: () = assert!(FRAME_END == 672 && FRAME_END.is_multiple_of(16) && offset_of!(Registers, general) == 512);

impl Registers {
    /// A task that has not begun: at `rip`, in ring 0, interrupts on, FPU and SSE as after a reset but with all exceptions
    /// masked.
    pub fn new(rip: u64, rsp: u64, argument: u64) -> Self {
        let mut fpu = [0; 512];
        fpu[..2].copy_from_slice(&0x037fu16.to_le_bytes());
        fpu[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        Registers {
            fpu,
            general: General { rdi: argument, ..General::default() },
            rip,
            cs: gdt::KERNEL_CODE.into(),
            rflags: 0x202,
            rsp,
            ss: gdt::KERNEL_DATA.into(),
            resume: 0,
            cr3: 0,
            selectors: Selectors::NEW,
        }
    }
}

/// The kernel's task control block; the core has its own beside it, which holds a [`TaskRef`] to this one.
#[repr(C)]
pub struct Tcb {
    /// Written by interrupts on the CPU that runs the task, and by nobody while it does not run.
    pub registers: UnsafeCell<Registers>,
    /// The core's name for it; set when it is spawned, or when it first runs.
    pub id: AtomicU64,
    /// It runs, or its registers are not saved yet.
    pub on_cpu: AtomicBool,
    /// Its stack has been given back.
    pub buried: AtomicBool,
    /// Top of its stack, 16-byte aligned.
    pub stack_top: u64,
    /// A user task's address space.
    pub space: Option<Space>,
    /// A user task's times.
    pub times: Times,
    /// What it waits for, if that is to be told of its end.
    pub awaits: Cell<Option<Arc<dyn Awaited>>>,
    stack: Cell<Option<Stack>>,
    work: Cell<Option<Work>>,
}

// SAFETY: the cells belong to the CPU that runs the task, and once it has ended to who buries it (`buried` says who).
unsafe impl Sync for Tcb {}
// SAFETY: what is in them may move between CPUs: work is `Send`, a stack is memory.
unsafe impl Send for Tcb {}

impl Tcb {
    /// A task that will run `work` on `stack`, or has an address space of its own and then `stack` for its system calls.
    pub fn new(stack: Stack, work: Work, space: Option<Space>) -> Arc<Tcb> {
        let top = stack.top();
        let tcb = Arc::new(Tcb {
            registers: UnsafeCell::new(Registers::new(entry::begin as *const () as u64, top - 8, 0)),
            id: AtomicU64::new(TaskId::INVALID.0),
            on_cpu: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            stack_top: top,
            space,
            times: Times::default(),
            awaits: Cell::new(None),
            stack: Cell::new(Some(stack)),
            work: Cell::new(Some(work)),
        });
        // SAFETY: nobody else has the task yet.
        unsafe {
            (*tcb.registers.get()).general.rdi = Arc::as_ptr(&tcb) as u64;
            (*tcb.registers.get()).cr3 = crate::memory::kernel_cr3();
        }
        tcb
    }

    /// The task that a CPU runs when there is nothing to do. It has a small stack of its own.
    pub fn idle(cpu: usize) -> Box<Tcb> {
        let stack = Box::leak(Box::new([0u128; 64]));
        let top = stack.as_ptr_range().end as u64;
        let tcb = Box::new(Tcb {
            registers: UnsafeCell::new(Registers::new(entry::idle as *const () as u64, top, 0)),
            id: AtomicU64::new(TaskId::idle(cpu).0),
            on_cpu: AtomicBool::new(false),
            buried: AtomicBool::new(false),
            stack_top: top,
            space: None,
            times: Times::default(),
            awaits: Cell::new(None),
            stack: Cell::new(None),
            work: Cell::new(None),
        });
        // SAFETY: nobody else has it yet.
        unsafe { (*tcb.registers.get()).cr3 = crate::memory::kernel_cr3() };
        tcb
    }

    /// The core's name for it.
    pub fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Relaxed))
    }

    /// Takes what it is to run, once.
    pub fn take_work(&self) -> Option<Work> {
        self.work.take()
    }

    /// The address range of the guard page under its stack.
    pub fn guard(&self) -> Option<core::ops::Range<u64>> {
        let stack = self.stack.take();
        let guard = stack.as_ref().map(Stack::guard);
        self.stack.set(stack);
        guard
    }

    /// Gives back its stack, and what it was to run if it never began, and tells what it waited for. Only whoever turned `buried` on may
    /// call it. Its address space and what it may use by system calls go with the block itself.
    pub fn release(&self) {
        drop(self.stack.take());
        drop(self.work.take());
        if let Some(awaited) = self.awaits.take() {
            awaited.forget(self.id());
        }
    }
}

/// The core's handle of a [`Tcb`]: a counted reference that is given up when the task is buried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskRef(pub *const Tcb);

// SAFETY: a reference to something `Sync` that lives as long as the core knows the task.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_task_starts_with_interrupts_on_and_masked_exceptions() {
        let registers = Registers::new(0x1000, 0x2000, 7);
        assert_eq!((registers.rip, registers.rsp, registers.general.rdi, registers.rflags), (0x1000, 0x2000, 7, 0x202));
        assert_eq!(registers.fpu[..2], [0x7f, 0x03]);
        assert_eq!(registers.fpu[24..28], [0x80, 0x1f, 0, 0]);
        assert_eq!(offset_of!(Tcb, registers), 0, "IST 1 is reckoned from the control block's address");
    }
}
