//! Inheritance: a task that others wait for is as urgent as the most urgent of them.
//!
//! A task may be waited for in several ways at once: others need the identity that it keeps (it was preempted in
//! mid-run), or mutexes that it holds. What it is lent is the maximum over all of them, computed anew at each change,
//! and passed on along the chain when it waits for a mutex itself. All of this happens under one lock, which
//! only waits take, never an uncontended operation.

use dis_core::scheduler::Urgency;

use crate::identity;
use crate::lock::{FutexLock, Locked};
use crate::sync::raw_mutex::Core as MutexCore;
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
const MAX_CHAIN: usize = 32;

/// The more urgent of two.
pub(crate) fn higher(a: Option<Urgency>, b: Option<Urgency>) -> Option<Urgency> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.exceeds(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Computes anew what `task` inherits, and what follows for those that it waits for.
pub(crate) fn update(guard: &Guard<'_>, task: &Header) {
    let mut next = Some(task);
    for _ in 0..MAX_CHAIN {
        let Some(task) = next else { return };
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
        if most == task.lent.get() {
            return;
        }
        task.lent.set(most);
        let now = rt.now();
        if let Ok(wake) = rt.exec.inherit(now, task.id(), most) {
            rt.after(wake, now);
        }
        // SAFETY: as above; it waits for the mutex now.
        let waited_for: Option<&MutexCore> = unsafe { task.waits_for.get().as_ref() };
        next = waited_for.and_then(|mutex| mutex.owner(guard));
    }
}
