//! The way into the runtime and out of it: what a task's calls, and the signal handler, do around a [`turn`].

use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;

use dis_core::api::{SchedError, SchedResult, Timestamp};
use dis_core::executor::{Decision, Leave};

use crate::dispatch::{Step, ask, exchange, turn};
use crate::future::watch;
use crate::keep;
use crate::klt::{self, Klt};
use crate::qos::memory;
use crate::runtime::Inner;
use crate::task::{Abort, Header, TaskRef};
use crate::usage;

/// Lowers the flag at the end of a runtime call in a task, after doing what came meanwhile.
#[inline]
pub(crate) fn leave_runtime(klt: &'static Klt) {
    klt.lower_flag();
    if klt.wanted() || klt.identity.is_wanted() || !klt.garbage.get().is_null() {
        leave_slowly(klt);
    }
}

#[cold]
fn leave_slowly(klt: &'static Klt) {
    while klt.wanted() || (klt.identity.is_wanted() && !thread::panicking()) {
        klt.enter();
        let (leave, since) = watch::before(klt);
        let _ = turn(klt, klt.current(), Step::Ask(leave), !thread::panicking());
        watch::after(klt, since);
        klt.lower_flag();
    }
    // The handler never touches the list: it is filled by switches between stacks of this KLT.
    let mut next = klt.garbage.replace(ptr::null());
    // SAFETY: the last reference to each task in the list is the list's.
    while let Some(task) = unsafe { next.as_ref() } {
        next = task.next_waiter.get();
        // SAFETY: as above.
        unsafe { (task.vtable.free)(task) };
    }
}

/// Called by the signal handler: the running task may have to give way.
pub(crate) fn preempt(klt: &'static Klt) {
    if !klt.grip.is_firm() {
        klt.enter();
        klt.lower_flag();
    }
    while klt.wanted() {
        klt.enter();
        klt.rt().reactor.stand_aside(klt.worker().os_cpu);
        let me = klt.current();
        if let Some(me) = me {
            keep::before_wait(klt, me);
        }
        let (leave, since) = watch::before(klt);
        let _ = turn(klt, me, Step::Ask(leave), false);
        watch::after(klt, since);
        klt.lower_flag();
    }
}

/// The running task gives up the CPU. Must be called in a task, outside the runtime.
#[inline]
pub(crate) fn give_way(klt: &'static Klt, leave: Leave) {
    leave_by(klt, leave, keep::before_leave);
}

/// As [`give_way`] for waits: a task that is alone on its identity again may be moved again.
pub(crate) fn wait(klt: &'static Klt, leave: Leave) {
    wait_after(klt, leave, || ());
}

/// As [`wait`]; `last` happens inside the runtime, so nothing comes between it and the wait.
pub(crate) fn wait_after(klt: &'static Klt, leave: Leave, last: impl FnOnce()) {
    let before = |klt: &Klt, me: &Header| {
        keep::before_wait(klt, me);
        last();
    };
    leave_by(klt, leave, before);
    if let Some(me) = klt.current()
        && me.is_realtime()
    {
        usage::resumed(klt, me);
    }
}

/// The running task calls, or replies: see [`dispatch::exchange`](exchange). It does not unwind.
#[inline]
pub(crate) fn call(
    klt: &'static Klt,
    leave: Leave,
    question: impl FnOnce(&Inner, usize, Timestamp) -> SchedResult<Decision<TaskRef>>,
) -> SchedResult<()> {
    klt.enter();
    let mut result = Err(SchedError::InvalidState);
    if let Some(me) = klt.current() {
        keep::before_wait(klt, me);
        result = match klt.poller() {
            None => exchange(klt, me, leave, question),
            Some(poller) => {
                watch::tell_now(klt, poller);
                let since = watch::waits(klt, poller);
                let result = exchange(klt, me, leave, question);
                watch::waited(klt, poller, since);
                result
            }
        };
        if me.is_realtime() {
            usage::forget(klt);
        }
    }
    leave_runtime(klt);
    result
}

#[inline]
fn leave_by(klt: &'static Klt, leave: Leave, before: impl FnOnce(&Klt, &Header)) {
    klt.enter();
    if let Some(me) = klt.current() {
        before(klt, me);
        let poller = klt.poller();
        if let Some(poller) = poller {
            watch::tell_now(klt, poller);
        }
        let poller = poller.filter(|_| !matches!(leave, Leave::Yield));
        let since = poller.and_then(|poller| watch::waits(klt, poller));
        if thread::panicking() {
            let _ = turn(klt, Some(me), Step::Ask(leave), false);
        } else {
            ask(klt, me, leave);
        }
        if let Some(poller) = poller {
            watch::waited(klt, poller, since);
        }
    }
    leave_runtime(klt);
}

/// Runs `f` inside the runtime: not preempted, and on a carrier looked after when it is left. `f` does not allocate, free,
/// block in the kernel or run user code.
#[inline]
pub(crate) fn inside<T>(f: impl FnOnce() -> T) -> T {
    match klt::this() {
        Some(klt) if klt.current().is_some() && klt.enter() => {
            let result = f();
            leave_runtime(klt);
            result
        }
        _ => f(),
    }
}

/// Ends the running task by unwinding if somebody has aborted it, unless it unwinds already.
#[inline]
pub(crate) fn check_abort() {
    if let Some(task) = klt::this().and_then(Klt::current)
        && task.aborted.load(Ordering::Relaxed)
        && !thread::panicking()
    {
        if let Some(why) = memory::verdict() {
            panic!("{why}");
        }
        std::panic::resume_unwind(Box::new(Abort));
    }
}
