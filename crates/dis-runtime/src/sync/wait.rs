//! Those who wait: a list of nodes that lie on the waiters' own stacks.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use dis_core::api::{BlockReason, TaskId, Timestamp};
use dis_core::executor::Leave;
use dis_core::scheduler::Urgency;

use crate::api::here;
use crate::clock::Clock;
use crate::gate;
use crate::klt;
use crate::runtime::Visit;
use crate::sys;
use crate::task::Header;

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    Granted,
    TimedOut,
    /// The task has been aborted; clean up, then `check_abort`.
    Aborted,
}

/// A task or a thread that waits.
pub(crate) struct Waiter {
    /// Null for a thread.
    pub(crate) task: *const Header,
    granted: AtomicU32,
    next: Cell<*const Waiter>,
    previous: Cell<*const Waiter>,
}

impl Waiter {
    /// The caller as a waiter.
    pub(crate) fn new() -> Waiter {
        Waiter {
            task: here().map_or(ptr::null(), |(_, task)| ptr::from_ref(task)),
            granted: AtomicU32::new(0),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
        }
    }

    /// The task, which lives at least as long as this node is in a list.
    pub(crate) fn header(&self) -> Option<&Header> {
        // SAFETY: the node lies on the task's stack.
        unsafe { self.task.as_ref() }
    }

    /// How urgent it is; threads are not known to the scheduler.
    pub(crate) fn urgency(&self) -> Option<Urgency> {
        let task = self.header()?;
        // SAFETY: a task's runtime exists.
        unsafe { &*task.rt }.exec.urgency(task.id()).ok()
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire) != 0
    }

    /// Waits until granted, or until the instant. Outside the runtime.
    pub(crate) fn wait(&self, reason: BlockReason, until: Option<Timestamp>) -> Woken {
        loop {
            if self.is_granted() {
                return Woken::Granted;
            }
            let now = until.map(|_| Clock::get().now());
            if let (Some(until), Some(now)) = (until, now)
                && until <= now
            {
                return Woken::TimedOut;
            }
            match here() {
                Some((_, me)) if me.aborted.load(Ordering::Relaxed) && !thread::panicking() => return Woken::Aborted,
                Some((klt, _)) => gate::wait(klt, Leave::Block(reason, until)),
                None => {
                    let rest = until.zip(now).map(|(until, now)| until.since(now).as_nanos());
                    sys::futex_wait(&self.granted, 0, rest);
                }
            }
        }
    }

    /// Ends the wait. The node may be gone when this returns. Inside the runtime, or on a foreign thread; the node is in no
    /// list any more.
    ///
    /// # Safety
    /// As for [`release`](Self::release).
    pub(crate) unsafe fn grant(waiter: *const Waiter) {
        // SAFETY: the caller's promise.
        if let Some(id) = unsafe { Waiter::release(waiter) }
            && let Some(klt) = klt::this()
        {
            klt.rt().unpark(id);
        }
    }

    /// As [`grant`](Self::grant), but a task of the calling thread's runtime is yet to be woken: its id.
    ///
    /// # Safety
    /// `waiter` is alive: it was in a list under the lock that the caller still holds, so its owner cannot have
    /// given up waiting.
    #[must_use = "the task waits for ever otherwise"]
    pub(crate) unsafe fn release(waiter: *const Waiter) -> Option<TaskId> {
        // SAFETY: the caller's promise; nothing is read after the store.
        let (task, granted) = unsafe { ((*waiter).task, &raw const (*waiter).granted) };
        // SAFETY: the task is alive while the node is, and its runtime with it.
        let known = unsafe { task.as_ref() }.map(|task| unsafe { (&*task.rt, task.id()) });
        // A thread of a runtime does not outlive it.
        let own = known.filter(|(rt, _)| klt::this().is_some_and(|klt| ptr::eq(klt.rt(), *rt))).map(|(_, id)| id);
        // The task may end, and its runtime close, as soon as the wait is over.
        let foreign = if own.is_none() { known.map(|(rt, id)| (Visit::new(rt), id)) } else { None };
        // SAFETY: alive up to this store.
        unsafe { (*granted).store(1, Ordering::Release) };
        match foreign {
            Some((rt, id)) => rt.unpark(id),
            None if own.is_none() => sys::futex_wake(granted, 1),
            None => {}
        }
        own
    }
}

/// A first-come list of waiters. Protected by the lock of whoever owns it.
pub(crate) struct WaitList {
    first: *const Waiter,
    last: *const Waiter,
    len: u32,
    /// How many others have been chosen in a row while the first waited.
    passed: u32,
}

/// So many at most.
const MOST_PASSED: u32 = 16;

// SAFETY: the nodes are only reached under the owner's lock, and are in the list only while they exist.
unsafe impl Send for WaitList {}

impl WaitList {
    pub(crate) const fn new() -> Self {
        WaitList { first: ptr::null(), last: ptr::null(), len: 0, passed: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Appends a node, which stays where it is until it is removed.
    pub(crate) fn push(&mut self, waiter: &Waiter) {
        waiter.previous.set(self.last);
        waiter.next.set(ptr::null());
        // SAFETY: in the list, so alive.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(waiter),
            None => self.first = waiter,
        }
        self.last = waiter;
        self.len += 1;
    }

    /// Takes a node out. It must be in this list.
    pub(crate) fn remove(&mut self, waiter: &Waiter) {
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        // SAFETY: in the list, so alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.last = previous,
        }
        self.len -= 1;
    }

    /// Takes the first node out.
    pub(crate) fn pop_first(&mut self) -> Option<*const Waiter> {
        let first = self.first;
        // SAFETY: in the list, so alive.
        self.remove(unsafe { first.as_ref() }?);
        Some(first)
    }

    /// The nodes, first come first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> + '_ {
        let mut next = self.first;
        std::iter::from_fn(move || {
            // SAFETY: in the list, so alive while the lock is held.
            let waiter = unsafe { next.as_ref() }?;
            next = waiter.next.get();
            Some(waiter)
        })
    }

    /// Takes the most urgent node out, but the first one if it has been passed often enough.
    pub(crate) fn pop_heir(&mut self) -> Option<*const Waiter> {
        let first = self.first;
        let heir = if self.passed < MOST_PASSED { ptr::from_ref(self.most_urgent()?) } else { first };
        self.passed = if ptr::eq(heir, first) { 0 } else { self.passed + 1 };
        // SAFETY: in the list, so alive.
        self.remove(unsafe { heir.as_ref() }?);
        Some(heir)
    }

    /// The most urgent waiter, the first among equals. Threads count as less urgent than any task. O(waiters).
    fn most_urgent(&self) -> Option<&Waiter> {
        let mut best: Option<(&Waiter, Option<Urgency>)> = None;
        for waiter in self.iter() {
            if self.len == 1 {
                return Some(waiter);
            }
            let urgency = waiter.urgency();
            let better = match (&best, &urgency) {
                (None, _) => true,
                (Some((_, None)), Some(_)) => true,
                (Some((_, Some(best))), Some(urgency)) => urgency.exceeds(best),
                _ => false,
            };
            if better {
                best = Some((waiter, urgency));
            }
        }
        best.map(|(waiter, _)| waiter)
    }
}
