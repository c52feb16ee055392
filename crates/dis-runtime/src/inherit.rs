//! Inheritance: a task that others wait for is as urgent as the most urgent of them.
//!
//! A task may be waited for in several ways at once: others need the identity that it keeps (it was preempted in
//! mid-run), mutexes that it holds, or that it receives the next call. What it is lent is the maximum over all of them, computed anew at each change,
//! and passed on along the chain when it waits for a mutex or a server itself. All of this happens under one lock, which
//! only waits take, never an uncontended operation.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::scheduler::Urgency;

use crate::identity;
use crate::lock::{FutexLock, Locked};
use crate::task::Header;

/// One for the process: a mutex may be shared by tasks of several runtimes.
static LOCK: Locked<()> = Locked::new(());

/// Takes the lock. Inside the runtime, or on a foreign thread.
pub(crate) fn lock() -> Guard<'static> {
    LOCK.lock()
}

/// Proof that the inheritance lock is held.
pub(crate) type Guard<'a> = lock_api::MutexGuard<'a, FutexLock, ()>;

/// How long a chain of waits is followed. A longer one is a deadlock or close to it.
pub(crate) const MAX_CHAIN: usize = 32;

/// The more urgent of two.
pub(crate) fn higher(a: Option<Urgency>, b: Option<Urgency>) -> Option<Urgency> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.exceeds(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Computes anew what `task` inherits, and what follows for those that it waits for.
pub(crate) fn update(guard: &Guard<'_>, task: &Header) {
    let (mut task, mut lends) = (task, true);
    for _ in 0..MAX_CHAIN {
        if lends && !renew(guard, task) {
            return;
        }
        let Some(next) = waits_for(guard, task) else { return };
        // A server that works on its caller's time is as urgent as that without a loan; it may wait for others.
        lends = !ptr::eq(task.server.load(Ordering::Acquire), next) || is_awaited_by(next, task);
        task = next;
    }
}

/// Computes anew what `task` inherits. False: the same as before.
fn renew(guard: &Guard<'_>, task: &Header) -> bool {
    // A chain may lead through several runtimes.
    // SAFETY: the runtime of a task that has not ended exists.
    let rt = unsafe { &*task.rt };
    let mut most = identity::most_urgent_waiter(rt, guard, task);
    let mut owned = task.contended.get();
    // SAFETY: a mutex is in its owner's list only while tasks wait for it, and they borrow it.
    while let Some(mutex) = unsafe { owned.as_ref() } {
        most = higher(most, mutex.most_urgent_waiter(guard));
        owned = mutex.next_contended(guard);
    }
    // SAFETY: a caller takes its name away, under the lock, before it goes on.
    if let Some(caller) = unsafe { task.awaited_by.load(Ordering::Relaxed).as_ref() } {
        most = higher(most, rt.exec.urgency(caller.id()).ok());
    }
    if most == task.lent.get() {
        return false;
    }
    task.lent.set(most);
    let now = rt.now();
    if let Ok(wake) = rt.exec.inherit(now, task.id(), most) {
        rt.after(wake, now);
    }
    true
}

fn is_awaited_by(server: &Header, caller: &Header) -> bool {
    ptr::eq(server.awaited_by.load(Ordering::Relaxed), caller)
}

/// Whom `task` waits for: the server that it calls, or the owner of a mutex.
fn waits_for<'a>(guard: &'a Guard<'_>, task: &Header) -> Option<&'a Header> {
    // SAFETY: a caller keeps the server while it names it; whoever waits for a mutex borrows it.
    unsafe {
        match task.server.load(Ordering::Acquire).as_ref() {
            Some(server) => Some(server),
            None => task.waits_for.get().as_ref()?.owner(guard),
        }
    }
}

/// Whether `from` waits for `to`, perhaps through others, so that the two would wait for ever if `to` waited for `from`. If so, the first on that
/// way that waits for a server, if one does.
pub(crate) fn circle<'a>(guard: &'a Guard<'_>, from: &'a Header, to: &Header) -> Option<Option<&'a Header>> {
    let (mut task, mut caller) = (from, None::<&Header>);
    for _ in 0..MAX_CHAIN {
        if ptr::eq(task, to) {
            return Some(caller);
        }
        let next = waits_for(guard, task)?;
        if !task.server.load(Ordering::Relaxed).is_null() {
            caller = caller.or(Some(task));
        }
        task = next;
    }
    None
}

/// The call of `caller` fails, since it is part of a circle.
pub(crate) fn break_circle(_guard: &Guard<'_>, caller: &Header) {
    caller.circle.store(true, Ordering::Release);
    // SAFETY: as in `renew`.
    let rt = unsafe { &*caller.rt };
    match rt.exec.cancel_call(caller.id()) {
        Ok(wake) => rt.after(wake, rt.now()),
        Err(_) => rt.unpark(caller.id()),
    }
}

/// `server` is about to receive: whoever waits for that is to call it now.
#[cold]
pub(crate) fn receives(server: &Header) {
    let guard = lock();
    // SAFETY: as in `renew`.
    if let Some(caller) = unsafe { server.awaited_by.swap(ptr::null_mut(), Ordering::SeqCst).as_ref() } {
        update(&guard, server);
        // SAFETY: as above.
        unsafe { &*server.rt }.unpark(caller.id());
    }
}
