//! Leaves a policy in the middle of a call.
//!
//! A call into a policy begins by noting where its caller's registers are ([`Frame`]). To leave it, a signal handler on that
//! thread makes the interrupted context return from there: the frames of the policy are abandoned, none of its destructors
//! run. That is sound because nothing of the library is used after it (`Library::stop`): neither its memory nor its locks,
//! and it is never unloaded. Nobody else has parts in those frames if
//!
//! * the thread is stopped in the library's own code, not in something it has called (the C library may hold a lock of the
//!   process there), or in `abort`, which a handler may leave for good (POSIX), called by the library's own allocator;
//! * and the host's own function, which a policy calls in `visit`, has not been called. While that runs, the code that is
//!   interrupted is the host's, so the first condition says so too.

use std::arch::naked_asm;
use std::cell::Cell;
use std::ffi::c_void;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::watch::Mark;
use crate::abi::Answer;

/// The signal that asks a thread to leave a policy: one that Linux never sends on this machine.
const SIGNAL: i32 = libc::SIGSTKFLT;

/// The direction flag: clear where functions begin and end.
const DIRECTION: i64 = 1 << 10;

thread_local! {
    /// The call that this thread is in, the innermost; null if it is in none.
    static CURRENT: Cell<*const Mark> = const { Cell::new(ptr::null()) };
    /// The kernel's number of this thread; 0 until it is asked for.
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

/// The stack pointer of [`enter`] while it calls.
pub(super) type Frame = AtomicU64;

/// The calling thread's number.
#[inline(always)]
pub(super) fn thread() -> i32 {
    let known = THREAD.get();
    if known != 0 { known } else { ask_thread() }
}

#[cold]
fn ask_thread() -> i32 {
    // SAFETY: it cannot fail.
    THREAD.set(unsafe { libc::gettid() });
    THREAD.get()
}

/// A call, and where its answer goes.
struct Job<F, R> {
    call: ManuallyDrop<F>,
    answer: MaybeUninit<R>,
}

/// Calls a function of at most five arguments that are numbers or pointers, and answers with one or two numbers. If it was left, they
/// are all ones.
///
/// # Safety
/// `function` is such a function, and may be called with these arguments.
#[inline(always)]
pub(super) unsafe fn ask(mark: &Mark, function: *const (), this: *mut c_void, args: [u64; 4]) -> Answer {
    let outer = CURRENT.replace(mark);
    let [a, b, c, d] = args;
    // SAFETY: the caller's promise.
    let answer = unsafe { enter_with(mark.frame(), function, this, a, b, c, d) };
    CURRENT.set(outer);
    answer
}

/// Saves what a function must not change, and notes in the frame (rdi) where. Seven words: with the return address the stack is aligned for
/// a call.
macro_rules! save {
    () => {
        "push rbp; push rbx; push r12; push r13; push r14; push r15; push rdi; mov [rdi], rsp"
    };
}

/// Restores that, and returns.
macro_rules! restore {
    () => {
        "pop rdi; pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp; ret"
    };
}

/// Calls `function(this, a, b, c, d)`.
///
/// # Safety
/// As for [`ask`]; its frames may be abandoned.
#[unsafe(naked)]
unsafe extern "C" fn enter_with(
    frame: &Frame,
    function: *const (),
    this: *mut c_void,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> Answer {
    naked_asm!(
        "mov r11, [rsp + 8]",
        save!(),
        "mov rax, rsi",
        "mov rdi, rdx",
        "mov rsi, rcx",
        "mov rdx, r8",
        "mov rcx, r9",
        "mov r8, r11",
        "call rax",
        restore!(),
    )
}

/// Calls `f`, in which no value needs to be dropped. `None`: it was left. Slower than [`ask`].
#[inline(always)]
pub(super) fn call<R: Copy>(mark: &Mark, f: impl FnOnce() -> R) -> Option<R> {
    let outer = CURRENT.replace(mark);
    let mut job = Job { call: ManuallyDrop::new(f), answer: MaybeUninit::uninit() };
    let start = start_of(&job);
    // SAFETY: `start` is for a job of this type, which nobody else uses meanwhile.
    let left = unsafe { enter(mark.frame(), start, (&raw mut job).cast()) };
    CURRENT.set(outer);
    // SAFETY: it was written, as `start` has come to its end.
    (left == 0).then(|| unsafe { job.answer.assume_init() })
}

type Start = unsafe extern "C" fn(job: *mut c_void);

fn start_of<F: FnOnce() -> R, R>(_: &Job<F, R>) -> Start {
    start::<F, R>
}

unsafe extern "C" fn start<F: FnOnce() -> R, R>(job: *mut c_void) {
    // SAFETY: `call` gives it along.
    let job = unsafe { &mut *job.cast::<Job<F, R>>() };
    // SAFETY: once.
    let f = unsafe { ManuallyDrop::take(&mut job.call) };
    job.answer.write(f());
}

/// Calls `start(job)` and answers 0; all ones if the call was left by [`leave`].
///
/// # Safety
/// `start(job)` may be called, and its frames may be abandoned.
#[unsafe(naked)]
unsafe extern "C" fn enter(frame: &Frame, start: Start, job: *mut c_void) -> u64 {
    naked_asm!(save!(), "mov rdi, rdx", "call rsi", "xor eax, eax", restore!(),)
}

/// The end of [`enter`] and [`enter_with`] when the call is left; the stack pointer is the one in the frame.
#[unsafe(naked)]
unsafe extern "C" fn left() {
    naked_asm!("mov rax, -1", "mov rdx, -1", restore!(),)
}

/// Makes the interrupted context one in which the call of `mark` has been left.
fn leave(context: *mut c_void, mark: &Mark) {
    mark.stop();
    // SAFETY: the kernel gives a valid context along; `enter` of this call has not returned, so its stack is as it was.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        registers[libc::REG_RSP as usize] = mark.frame().load(Relaxed) as i64;
        registers[libc::REG_RIP as usize] = left as *const () as i64;
        registers[libc::REG_EFL as usize] &= !DIRECTION;
    }
}

/// A call has taken too long: leave it, if it is the one that is meant, and in the library's own code.
extern "C" fn on_signal(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the call that has set it is in progress on this thread, and keeps the mark.
    let Some(mark) = (unsafe { CURRENT.get().as_ref() }) else { return };
    // SAFETY: the kernel gives a valid context along.
    let at = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] };
    if mark.is_asked_to_leave() && mark.code().contains(&(at as usize)) {
        leave(context, mark);
    }
}

/// The library had no memory for what it cannot do without: leave the call. All other ends of the process stay what they are.
extern "C" fn on_abort(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the call that has set it is in progress on this thread, and keeps the mark.
    if let Some(mark) = unsafe { CURRENT.get().as_ref() } {
        // SAFETY: the kernel gives a valid description along.
        let own = unsafe { (*info).si_code == libc::SI_TKILL && (*info).si_pid() == libc::getpid() };
        if own && mark.is_out_of_memory() {
            return leave(context, mark);
        }
    }
    // SAFETY: the default action, when the handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Handles the two signals, where the program does not handle them itself. Once for the process.
pub(super) fn prepare() {
    take(SIGNAL, on_signal);
    take(libc::SIGABRT, on_abort);
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

fn take(signal: i32, handler: Handler) {
    if !is(signal, libc::SIG_DFL) {
        return;
    }
    // SAFETY: a handler of this signature, which calls only what signal handlers may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

fn is(signal: i32, handler: usize) -> bool {
    // SAFETY: only asks.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut action) == 0 && action.sa_sigaction == handler
    }
}

/// Has `thread` look whether it was asked to leave the call that it is in. False: it does not look.
pub(super) fn signal(thread: i32) -> bool {
    // SAFETY: a thread that is gone is not found; another one of that number does not take it for its own.
    is(SIGNAL, on_signal as Handler as usize)
        && unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) == 0 }
}

/// Where the code of the loaded object is that contains `address`; empty if that is not found.
pub(super) fn code_around(address: usize) -> Range<usize> {
    let mut found = (address, 0..0);
    // SAFETY: the callback gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(look_at_object), (&raw mut found).cast()) };
    found.1
}

unsafe extern "C" fn look_at_object(info: *mut libc::dl_phdr_info, _: usize, found: *mut c_void) -> i32 {
    // SAFETY: both come from `dl_iterate_phdr`.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<(usize, Range<usize>)>()) };
    // SAFETY: as the loader says.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let base = info.dlpi_addr as usize;
    let parts = || {
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(|header| {
            let start = base + header.p_vaddr as usize;
            (start..start + header.p_memsz as usize, header.p_flags & libc::PF_X != 0)
        })
    };
    if !parts().any(|(part, _)| part.contains(&found.0)) {
        return 0;
    }
    found.1 = parts().find(|(_, code)| *code).map_or(0..0, |(part, _)| part);
    1
}
