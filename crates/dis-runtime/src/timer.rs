//! One-shot timers of a kernel thread: POSIX timers that signal exactly this thread.

use std::io;
use std::mem;
use std::ptr;

/// Signals the thread that made it. Deleted on drop.
pub(crate) struct Timer(libc::timer_t);

impl Timer {
    /// A timer of `clock` that sends `signal` to the calling thread.
    pub(crate) fn new(clock: libc::clockid_t, signal: i32, tid: i32) -> io::Result<Timer> {
        // SAFETY: an all-zero sigevent is valid.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = tid;
        let mut timer: libc::timer_t = ptr::null_mut();
        // SAFETY: both point to valid values.
        if unsafe { libc::timer_create(clock, &mut event, &mut timer) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Timer(timer))
    }

    /// Expires once, `after` nanoseconds from now (0 counts as 1). Replaces what was set before.
    ///
    /// Relative, as the runtime's clock may differ from the kernel's by some microseconds. Async-signal-safe.
    pub(crate) fn arm(&self, after: u64) {
        self.set(after.clamp(1, 1 << 62));
    }

    /// It does not expire. Async-signal-safe.
    pub(crate) fn disarm(&self) {
        self.set(0);
    }

    fn set(&self, after: u64) {
        // SAFETY: all-zero is valid: no repetition.
        let mut spec: libc::itimerspec = unsafe { mem::zeroed() };
        spec.it_value.tv_sec = (after / 1_000_000_000) as libc::time_t;
        spec.it_value.tv_nsec = (after % 1_000_000_000) as libc::c_long;
        // SAFETY: the timer is ours and alive; the spec is valid.
        unsafe { libc::timer_settime(self.0, 0, &spec, ptr::null_mut()) };
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by `new`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
