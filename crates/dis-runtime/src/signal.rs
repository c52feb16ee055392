//! The preemption signal.
//!
//! It is sent by a KLT's own timer and by kicks (`tgkill`), never to the process, so only KLTs see it. The handler runs on
//! the KLT's alternate stack with the signal blocked, and stays there while the task under it is preempted. It does not
//! allocate, touches no thread-local but the const-initialised pointer to the KLT, keeps `errno`, and does nothing
//! at all if this thread is inside the runtime or carries no worker.

use std::mem;
use std::ptr;
use std::sync::atomic::Ordering;

use libc::{c_int, c_void, siginfo_t};

use crate::builder::BuildError;
use crate::{gate, klt, sys};

/// Installs the handler for `signal`. Idempotent.
///
/// # Errors
/// [`BuildError::SignalTaken`] if somebody else handles the signal, [`BuildError::System`] if the kernel refuses.
pub(crate) fn install(signal: i32) -> Result<(), BuildError> {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: an all-zero sigaction is valid.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: only asks.
    if unsafe { libc::sigaction(signal, ptr::null(), &mut old) } != 0 {
        return Err(BuildError::last("sigaction"));
    }
    let ours = handler as *const () as usize;
    if old.sa_sigaction == ours {
        return Ok(());
    }
    if old.sa_sigaction != libc::SIG_DFL && old.sa_sigaction != libc::SIG_IGN {
        return Err(BuildError::SignalTaken(signal));
    }
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = ours;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the set is valid; the handler keeps to the discipline above.
    let done = unsafe {
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaddset(&mut action.sa_mask, signal);
        libc::sigaction(signal, &action, ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(BuildError::last("sigaction")) }
}

/// The signals that may be used: not those that cannot be caught, those that faults raise (the instruction would be repeated
/// for ever behind a handler that returns), and those that the C library keeps to itself.
pub(crate) fn usable() -> impl Iterator<Item = i32> {
    const NEVER: [i32; 9] = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGSYS,
    ];
    (1..32).filter(|signal| !NEVER.contains(signal)).chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
}

/// Lets the calling thread receive `signal`, whatever mask it inherited.
pub(crate) fn unblock(signal: i32) {
    // SAFETY: the set is valid.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
    }
}

/// Calls `f` while the calling thread does not receive `signal`. Async-signal-safe.
pub(crate) fn blocked(signal: i32, f: impl FnOnce()) {
    // SAFETY: the sets are valid; the mask is put back as it was, which in the handler has the signal blocked.
    unsafe {
        let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
        f();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
    }
}

extern "C" fn handler(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let Some(klt) = klt::this() else { return };
    // SAFETY: the kernel passes a valid siginfo.
    let code = unsafe { (*info).si_code };
    // An ordinary signal is pending once, so an expiry may have merged with a kick that was pending already.
    let by_timer = code == libc::SI_TIMER || klt.timer_is_due();
    let active = klt.has_role();
    let inside = klt.is_in_runtime();
    if by_timer {
        // Inside the runtime, or between roles, it is looked at when the flag is lowered.
        klt.timer_expired(active);
    }
    if inside || !active {
        return;
    }
    klt.signals.fetch_add(1, Ordering::Relaxed);
    let errno = sys::errno();
    gate::preempt(klt);
    sys::set_errno(errno);
}
