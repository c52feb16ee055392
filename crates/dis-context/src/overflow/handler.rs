//! The signal handler and its chain.

use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use super::message::{self, NAME};
use super::{Callback, OverflowConfig, OverflowError, Verdict};
use crate::Fault;
use crate::stack::{map, registry};

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What a signal takes on the interrupted stack at most: the frame, the red zone, alignment. In bytes.
static FRAME: AtomicUsize = AtomicUsize::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);
static CALLBACK: OnceLock<Callback> = OnceLock::new();
/// What was installed before, in the order of `SIGNALS`. Reading a `OnceLock` that is set is one atomic load.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [OnceLock::new(), OnceLock::new()];

pub(super) fn install(config: OverflowConfig<'_>) -> Result<(), OverflowError> {
    let action = action(config.block)?;
    if INSTALLED.swap(true, Ordering::AcqRel) {
        return Err(OverflowError::AlreadyInstalled);
    }
    FRAME.store(map::min_signal_stack() + 256, Ordering::Relaxed);
    if let Some(callback) = config.callback {
        let _ = CALLBACK.set(callback);
    }
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
        // SAFETY: an all-zero sigaction is valid (default action, empty mask).
        let mut old: libc::sigaction = unsafe { mem::zeroed() };
        // The old one must be known before ours can run, hence two calls.
        // SAFETY: a null new action only asks.
        if unsafe { libc::sigaction(signal, ptr::null(), &mut old) } != 0 {
            return Err(OverflowError::last("sigaction"));
        }
        let _ = previous.set(old);
        // SAFETY: our handler does async-signal-safe things only, given a callback that keeps to its contract.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(OverflowError::last("sigaction"));
        }
    }
    Ok(())
}

fn action(block: &[c_int]) -> Result<libc::sigaction, OverflowError> {
    // SAFETY: an all-zero sigaction is valid (default action, empty mask).
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: points to a valid set.
    unsafe { libc::sigemptyset(&mut action.sa_mask) };
    for &signal in block {
        // SAFETY: points to a valid set; a bad number is refused.
        if signal <= 0 || unsafe { libc::sigaddset(&mut action.sa_mask, signal) } != 0 {
            return Err(OverflowError::BadSignal(signal));
        }
    }
    Ok(action)
}

unsafe extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo. Positive codes come from the kernel and carry an address (0 if unknown).
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // SAFETY: with SA_SIGINFO the third argument is the ucontext of the interrupted code.
    let interrupted = unsafe { &*context.cast::<ucontext_t>() };
    if code > 0
        && let Some(fault) = registry::locate(address).filter(|fault| fault.guard)
    {
        report(&fault, interrupted);
    }
    if code == libc::SI_KERNEL
        && address == 0
        && let Some(fault) = no_room_for_frame(interrupted)
    {
        report(&fault, interrupted);
    }
    // SAFETY: the kernel's arguments, passed on unchanged.
    unsafe { chain(signal, info, context) }
}

/// Writes the message and ends the process, or the task.
fn report(fault: &Fault, context: &ucontext_t) -> ! {
    let mut name = [0; NAME];
    let verdict = CALLBACK.get().map_or(Verdict::Abort(0), |callback| callback(fault, &mut name));
    let (Verdict::Abort(len) | Verdict::Diverge(len, _)) = verdict;
    let line = message::compose(fault, name.get(..len).unwrap_or(&name), is_stray(fault, context));
    let mut rest = line.bytes();
    while !rest.is_empty() {
        // SAFETY: `rest` is valid memory of that length.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written).ok().and_then(|n| rest.get(n..)) {
            Some(left) if written > 0 => rest = left,
            _ => break,
        }
    }
    if let Verdict::Diverge(_, then) = verdict {
        // SAFETY: the mask is the one the kernel saved in the frame of this signal.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &context.uc_sigmask, ptr::null_mut()) };
        then(*fault)
    }
    // SAFETY: abort is async-signal-safe and has no preconditions.
    unsafe { libc::abort() }
}

/// A signal that finds no room for its frame on a task's stack arrives as a SIGSEGV without an address. So does a general
/// protection fault, which is told apart by its trap number.
fn no_room_for_frame(context: &ucontext_t) -> Option<Fault> {
    const GENERAL_PROTECTION: i64 = 13;
    let fault = registry::locate(stack_pointer(context))?;
    let room = fault.address.saturating_sub(fault.bottom);
    let protection = context.uc_mcontext.gregs[libc::REG_TRAPNO as usize] == GENERAL_PROTECTION;
    (!protection && room < FRAME.load(Ordering::Relaxed)).then_some(fault)
}

fn stack_pointer(context: &ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize
}

/// Whether the access came from code that was not on the stack above this guard. A frame larger than the guard may have
/// put the stack pointer below it already, so the next lower stack counts as well.
fn is_stray(fault: &Fault, context: &ucontext_t) -> bool {
    let rsp = context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    !registry::locate(rsp)
        .is_some_and(|at| at.pool == fault.pool && (at.index == fault.index || at.index + 1 == fault.index))
}

/// Hands a fault that is not ours to whoever was there before.
///
/// # Safety
/// The arguments are those of the signal handler.
unsafe fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let place = SIGNALS.iter().position(|&s| s == signal);
    let previous = place.and_then(|place| PREVIOUS[place].get());
    // SAFETY: the kernel passes a valid siginfo.
    let by_kernel = unsafe { (*info).si_code } > 0;
    match previous {
        Some(old) if old.sa_sigaction != libc::SIG_DFL && old.sa_sigaction != libc::SIG_IGN => {
            // SAFETY: a handler that was installed for this signal, called with the arguments and the signature that
            // its flags declare.
            unsafe {
                if old.sa_flags & libc::SA_SIGINFO != 0 {
                    let f: unsafe extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = mem::transmute(old.sa_sigaction);
                    f(signal, info, context);
                } else {
                    let f: unsafe extern "C" fn(c_int) = mem::transmute(old.sa_sigaction);
                    f(signal);
                }
            }
        }
        // A signal that was sent, not caused, can be ignored; a fault would only repeat for ever.
        Some(old) if old.sa_sigaction == libc::SIG_IGN && !by_kernel => {}
        _ => {
            // SAFETY: an all-zero sigaction is the default action. Back in the interrupted code the fault happens again
            // and has its default effect; a signal that was sent has to be sent again, and is pending until we return.
            unsafe {
                let default: libc::sigaction = mem::zeroed();
                libc::sigaction(signal, &default, ptr::null_mut());
                if !by_kernel {
                    libc::raise(signal);
                }
            }
        }
    }
}
