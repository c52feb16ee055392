//! Aborting tasks, one or all.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::api::TaskId;
use dis_core::executor::Kill;
use dis_core::isolation::Domain;

use crate::gate::inside;
use crate::life::{Audience, announce_end};
use crate::runtime::Inner;
use crate::task::Header;

/// How many places of the core's table are looked at under one lock.
const STEP: usize = 256;

impl Inner {
    /// Counted references to all tasks that `pick` names and the core knows; one that moves to another CPU meanwhile may be
    /// missing. For the keeper: allocates, but never under the core's lock.
    fn collect(&self, pick: impl Fn(&Header, Option<&Domain>) -> bool) -> Vec<Counted> {
        let (mut found, mut calling) = (Vec::new(), Vec::new());
        for cpu in 0..self.workers.len() {
            let mut from = Some(0);
            while let Some(start) = from {
                found.reserve(STEP);
                calling.reserve(STEP);
                // What the core knows has not been reaped, and cannot be while the core is locked.
                from = self.exec.visit_tasks(cpu, start, STEP, |task| {
                    let header = task.context.header();
                    if task.is_in_call() {
                        // The header is another's.
                        calling.push(task.id);
                    } else if pick(header, task.domain()) {
                        found.push(Counted::new(header));
                    }
                });
            }
        }
        found.reserve(calling.len());
        for id in calling {
            let _ = self.exec.with_context(id, |task, own| {
                if pick(own.header(), task.domain()) {
                    found.push(Counted::new(own.header()));
                }
            });
        }
        found
    }

    /// Ends a task as soon as possible; see `JoinHandle::abort`. Outside the runtime: it may drop the closure.
    pub(crate) fn abort(&self, task: &Header) {
        task.aborted.store(true, Ordering::SeqCst);
        if task.is_done() {
            return;
        }
        if inside(|| self.claim(task).map(|told| told.then(|| self.tell_next()))).is_none() {
            self.remind(task);
            self.keeper.see_aborts_through();
            return;
        }
        // SAFETY: claimed before it started.
        unsafe { (task.vtable.reject)(task) };
        inside(|| {
            // The claim is never given back, so nobody starts it, and only we tell the core. While the core knows the task, the
            // runtime's reference keeps it.
            match self.exec.kill(self.now(), task.id()) {
                Ok(Kill::Done(joiner)) => {
                    if let Some(cpu) = joiner {
                        self.kick(cpu);
                    }
                    // The caller holds a reference as well, so this is not the last.
                    task.release();
                }
                // A CPU has chosen it in this moment, and declines it at its next question.
                _ => {
                    self.graves.lock().push(task);
                    self.keeper.rouse();
                }
            }
            if let Audience::Joiner(joiner) = announce_end(self, task) {
                self.unpark(joiner);
            }
        });
    }

    /// Aborts the tasks of a domain and of those below it that have not been aborted yet, and the futures. On a foreign thread.
    pub(crate) fn abort_domain(&self, domain: &Domain) {
        let within = |task: &Header, other: Option<&Domain>| {
            let doomed = !task.internal && !task.aborted.load(Ordering::SeqCst);
            doomed && other.is_some_and(|other| other.is_within(domain))
        };
        self.collect(within).iter().for_each(|task| self.abort(task.get()));
        self.futures.abort_domain(self, domain);
    }

    /// As [`abort`](Self::abort) for who knows no more than the task's id. On a foreign thread.
    #[cfg(feature = "control")]
    pub(crate) fn abort_by_id(&self, id: TaskId) -> dis_core::api::SchedResult<()> {
        let task = self.exec.with_context(id, |_, own| Counted::new(own.header()))?;
        self.abort(task.get());
        Ok(())
    }

    /// Wakes a task that was aborted, so that it sees that; one that has not begun begins, and drops its closure.
    fn remind(&self, task: &Header) {
        inside(|| self.hurry(task.id()));
    }

    /// Wakes a task out of any wait, also that for a time, a release or a reply. Inside the runtime, or on a foreign thread.
    fn hurry(&self, id: TaskId) {
        let now = self.now();
        if let Ok(wake) = self.exec.cancel_call(id) {
            return self.after(wake, now);
        }
        match self.exec.wake(now, id) {
            Ok(wake) => self.after(wake, now),
            Err(_) => self.unpark(id),
        }
    }

    /// The one future that a task serves was aborted: the task is not to wait for a release.
    pub(crate) fn abort_future_of(&self, id: TaskId) {
        inside(|| {
            let _ = self.exec.with_context(id, |_, own| own.header().ending.store(true, Ordering::SeqCst));
            self.hurry(id);
        });
        // It may have been about to wait.
        self.keeper.see_aborts_through();
    }

    /// Tells tasks that were aborted and have not ended yet once more. True if there are any. For the keeper, which runs no
    /// user code: destructors may wait for whatever they like, and do so in tasks.
    pub(crate) fn remind_aborted(&self, all: bool) -> bool {
        if !all && !self.keeper.take_aborting() {
            return false;
        }
        let ends = |task: &Header| match task.internal {
            true => task.ending.load(Ordering::Relaxed),
            false => all || task.aborted.load(Ordering::Relaxed),
        };
        let tasks = self.collect(|task, _| ends(task) && !task.is_done());
        for task in &tasks {
            if !task.get().internal {
                task.get().aborted.store(true, Ordering::SeqCst);
            }
            self.remind(task.get());
        }
        !tasks.is_empty() || (all && self.live.load(Ordering::Acquire) > 0)
    }

    /// Gives up the runtime's references to the tasks in their graves, except those that `known` names. True if any are left. Frees
    /// memory: for the keeper, or at the end.
    pub(crate) fn clear_graves(&self, known: impl Fn(&Header) -> bool) -> bool {
        let mut next = self.graves.lock().take();
        let mut left = false;
        // SAFETY: a task in the list is kept by the runtime's reference, which is given up here.
        while let Some(task) = unsafe { next.as_ref() } {
            next = task.next_waiter.replace(ptr::null());
            if known(task) {
                self.graves.lock().push(task);
                left = true;
            } else {
                drop(Counted(task));
            }
        }
        left
    }
}

/// Tasks that were aborted before they began and that the core may still know.
pub(crate) struct Graves(*const Header);

// SAFETY: the runtime's references keep the tasks in the list.
unsafe impl Send for Graves {}

impl Graves {
    pub(crate) const fn new() -> Graves {
        Graves(ptr::null())
    }

    fn push(&mut self, task: &Header) {
        task.next_waiter.set(self.0);
        self.0 = task;
    }

    fn take(&mut self) -> *const Header {
        std::mem::replace(&mut self.0, ptr::null())
    }
}

/// A counted reference to a task.
pub(crate) struct Counted(*const Header);

// SAFETY: a counted reference to what is Sync.
unsafe impl Send for Counted {}
// SAFETY: as above.
unsafe impl Sync for Counted {}

impl Counted {
    /// One more. `task` cannot be reaped during this call: the core knows it and is locked, or the caller runs as it.
    pub(crate) fn new(task: &Header) -> Counted {
        task.leak();
        Counted(task)
    }

    pub(crate) fn get(&self) -> &Header {
        // SAFETY: counted.
        unsafe { &*self.0 }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let task = self.get();
        if task.release() {
            // SAFETY: it was the last reference.
            unsafe { (task.vtable.free)(task) };
        }
    }
}
