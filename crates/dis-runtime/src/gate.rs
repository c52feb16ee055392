//! The way into the runtime and out of it: what a task's calls, and the signal handler, do around a [`turn`].

use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;

use dis_core::api::{SchedResult, TaskId};
use dis_core::executor::{Decision, Leave};

use crate::api::here;
use crate::dispatch::{Step, ask, exchange, rouse, turn};
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

/// The running task, `me`, calls, or replies: see [`dispatch::exchange`](exchange). It does not unwind.
#[inline]
pub(crate) fn call(
    klt: &'static Klt,
    me: &Header,
    leave: Leave,
    question: impl FnOnce(&Inner, usize) -> SchedResult<Decision<TaskRef>>,
) -> SchedResult<()> {
    klt.enter();
    keep::before_wait(klt, me);
    let polled = klt.poller().map(|poller| {
        watch::tell_now(klt, poller);
        (poller, watch::waits(klt, poller))
    });
    let result = exchange(klt, me, leave, question);
    if let Some((poller, since)) = polled {
        watch::waited(klt, poller, since);
    }
    if me.is_realtime() {
        usage::forget(klt);
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

/// As [`inside`]; then wakes the task that `f` names, if it names one, and leaves as `leave` says of what `f` answers, both in one question to the
/// core: with [`Leave::Ask`] the caller gives way at once if the other goes first. Whoever is to wait makes sure of it afterwards: somewhere else than
/// in a task, or when other things are due, this only wakes.
#[inline]
pub(crate) fn inside_waking<T>(leave: impl FnOnce(&T) -> Leave, f: impl FnOnce(&mut Option<TaskId>) -> T) -> T {
    let mut woken = None;
    match here() {
        Some((klt, me)) if klt.enter() => {
            let result = f(&mut woken);
            if let Some(id) = woken {
                wake(klt, me, id, leave(&result));
            }
            leave_runtime(klt);
            result
        }
        somewhere => {
            let result = f(&mut woken);
            if let Some((id, klt)) = woken.zip(somewhere.map(|(klt, _)| klt).or_else(klt::this)) {
                klt.rt().unpark(id);
            }
            result
        }
    }
}

/// `me`, inside the runtime, wakes another and leaves.
#[inline]
fn wake(klt: &'static Klt, me: &Header, id: TaskId, leave: Leave) {
    // What else there is to ask about is seen to on the way out.
    if klt.poller().is_some() || klt.wanted() || klt.identity.is_wanted() || thread::panicking() {
        klt.rt().unpark(id);
    } else if leave == Leave::Ask {
        keep::before_leave(klt, me);
        rouse(klt, me, id, leave);
    } else {
        keep::before_wait(klt, me);
        rouse(klt, me, id, leave);
        if me.is_realtime() {
            usage::resumed(klt, me);
        }
    }
}

/// Ends the running task by unwinding if somebody has aborted it, unless it unwinds already.
#[inline]
pub(crate) fn check_abort() {
    if let Some(task) = klt::this().and_then(Klt::current) {
        check_abort_of(task);
    }
}

/// The same of `me`, the running task.
#[inline]
pub(crate) fn check_abort_of(me: &Header) {
    if me.aborted.load(Ordering::Relaxed) {
        unwind();
    }
}

#[cold]
#[inline(never)]
fn unwind() {
    if !thread::panicking() {
        if let Some(why) = memory::verdict() {
            panic!("{why}");
        }
        std::panic::resume_unwind(Box::new(Abort));
    }
}
