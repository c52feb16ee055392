//! Contexts and the switch between them: the portable face of `arch`.

use crate::arch;

/// The function at which a new context starts: gets the `data` of [`Context::new`] and the `arg` of the first switch.
///
/// It never returns (end it with [`jump`] or a last [`switch`]) and must not unwind: an `extern "C"` function aborts the
/// process if a panic reaches its edge, so catch panics inside.
pub type Entry = unsafe extern "C" fn(data: usize, arg: usize) -> !;

/// A saved execution point: the stack pointer of a suspended context. 8 bytes.
///
/// It is a plain address: copying it does not copy the context, and a context may be resumed once per suspension,
/// whichever copy is used. Dropping it drops nothing of what lies on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Context(usize);

impl Context {
    /// A placeholder to save into. To switch to it is undefined behaviour (in practice a SIGSEGV at address 0, before
    /// the stack is left).
    #[inline]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether this is the placeholder.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The saved stack pointer as an address: for traces, and for scanners that walk suspended stacks. 0 if empty.
    #[inline]
    pub const fn stack_pointer(self) -> usize {
        self.0
    }

    /// Prepares a context that calls `entry(data, arg)` on the given stack, `arg` being that of the first switch to it.
    ///
    /// Uses at most 64 bytes below `stack_top`, which needs no alignment. Floating-point control words are those of
    /// whoever switches to it first.
    ///
    /// # Safety
    /// `stack_top` is the upper end of writable memory that is large enough for all that `entry` does (including signal
    /// frames, see [`crate::min_stack_size`]), is used by nothing else, and lives until the context is never resumed
    /// again. The caller answers for `entry` being sound with `data`.
    #[inline]
    pub unsafe fn new(stack_top: *mut u8, entry: Entry, data: usize) -> Self {
        // SAFETY: the memory below `stack_top` is writable (caller).
        Self(unsafe { arch::prepare(stack_top, entry as usize, data, false) })
    }

    /// As [`Context::new`], but starts with the initial floating-point control words (mxcsr 0x1F80, x87 0x037F)
    /// whatever those of the switching side are. For contexts that use [`switch_with_fp`].
    ///
    /// # Safety
    /// As for [`Context::new`].
    #[inline]
    pub unsafe fn new_with_fp(stack_top: *mut u8, entry: Entry, data: usize) -> Self {
        // SAFETY: the memory below `stack_top` is writable (caller).
        Self(unsafe { arch::prepare(stack_top, entry as usize, data, true) })
    }
}

/// Saves the current context into `*save` and resumes `to`, handing it `arg`; returns the `arg` of whoever switches back.
///
/// Costs 1–2 ns when the processor predicts the jump. It is inlined, so each place has a prediction of its own.
///
/// `*save` is written **before** this stack is left. Whoever makes the saved context visible to another thread must do
/// so from the other side of the switch, or that thread may resume a stack that is still in use.
///
/// Floating-point control words are not saved (see [`switch_with_fp`]); the crate's front page lists what is.
///
/// # From a signal handler
///
/// * **On the interrupted task's own stack** (no `SA_ONSTACK`): allowed. The kernel's frame, with all the registers of
///   the interrupted code, stays on that stack until the context is resumed and the handler returns. The signal mask
///   does not travel: the signal stays blocked on the kernel thread unless it was installed with `SA_NODEFER` and an
///   empty `sa_mask`, or the other side unblocks it, and sigreturn later puts back the mask of the time of the
///   interruption on the thread that runs it. Code interrupted at an arbitrary point may hold thread-locals and
///   locks: it may only go on with the same thread-local storage, and the other side must need none of its locks.
/// * **On an alternate stack**: a one-way [`jump`] out of it is allowed (the kernel recognises its use by the stack
///   pointer alone, unless `SS_AUTODISARM` is set). A `switch` that is to come back is not: the next signal on this thread
///   starts at the top of the same alternate stack and overwrites the suspended handler.
///
/// # Safety
/// * `save` is valid for writing one `Context`.
/// * `to` was returned by [`Context::new`] or saved by a switch, and was not resumed since; its stack is alive.
/// * If `to` was suspended on another thread, it holds nothing that is bound to that thread (see the front page), and that
///   thread has left its stack, with a happens-before edge to this call.
/// * Whoever resumes the saved context keeps to these rules as well.
#[inline(always)]
pub unsafe fn switch(save: *mut Context, to: Context, arg: usize) -> usize {
    // SAFETY: `Context` is a transparent `usize`; the rest is the caller's promise.
    unsafe { arch::switch(save.cast(), to.0, arg) }
}

/// As [`switch`]; in addition the saved context keeps its mxcsr and x87 control word (rounding, exception masks,
/// flush-to-zero) and gets them back when it is resumed, by whichever function. Costs about 2 ns more while both sides
/// agree, about 80 ns when mxcsr must change. The status bits of mxcsr are not kept, as at a call.
///
/// Rust code itself may not change these registers; this is for tasks that call foreign code which does. A context
/// that was saved by plain `switch` goes on with the control words of whoever resumed it, so use this function
/// on both sides, and start such tasks with [`Context::new_with_fp`].
///
/// # Safety
/// As for [`switch`].
#[inline(always)]
pub unsafe fn switch_with_fp(save: *mut Context, to: Context, arg: usize) -> usize {
    // SAFETY: `Context` is a transparent `usize`; the rest is the caller's promise.
    unsafe { arch::switch_with_fp(save.cast(), to.0, arg) }
}

/// Resumes `to`, handing it `arg`, and forgets the current context: the end of a task.
///
/// Values in the frames of the current stack are not dropped; drop them first. The stack may be reused as soon as the
/// other side runs, not before.
///
/// # Safety
/// As for [`switch`] with regard to `to`; skipping the drops of the current frames is sound.
#[inline(always)]
pub unsafe fn jump(to: Context, arg: usize) -> ! {
    // SAFETY: the caller's promise.
    unsafe { arch::jump(to.0, arg) }
}
