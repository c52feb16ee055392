//! Which tasks there are, so that all can be aborted.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::executor::Kill;

use crate::dispatch::inside;
use crate::lock::Locked;
use crate::runtime::Inner;
use crate::task::Header;

/// Lists of tasks; by address, so that neighbours rarely meet.
pub(crate) const STRIPES: usize = 16;

/// Head of a doubly linked list of tasks.
pub(crate) struct Registry(*const Header);

// SAFETY: tasks are in the list only as long as the runtime holds a reference to them.
unsafe impl Send for Registry {}

/// Empty lists.
pub(crate) fn new() -> [Locked<Registry>; STRIPES] {
    [const { Locked::new(Registry(ptr::null())) }; STRIPES]
}

impl Inner {
    fn stripe(&self, task: &Header) -> &Locked<Registry> {
        &self.registry[(ptr::from_ref(task).addr() >> 7) % STRIPES]
    }

    /// Enters a new task. Inside the runtime, or on a foreign thread.
    pub(crate) fn register(&self, task: &Header) {
        let mut list = self.stripe(task).lock();
        task.next.set(list.0);
        // SAFETY: in the list, so alive.
        if let Some(next) = unsafe { list.0.as_ref() } {
            next.previous.set(task);
        }
        list.0 = task;
    }

    /// Takes out a task before the runtime gives its reference up.
    pub(crate) fn unregister(&self, task: &Header) {
        let mut list = self.stripe(task).lock();
        let (previous, next) = (task.previous.replace(ptr::null()), task.next.replace(ptr::null()));
        // SAFETY: in the list, so alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => list.0 = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(previous);
        }
    }

    /// Counted references to all tasks that `pick` names. For the keeper: allocates, but never under the lock.
    fn collect(&self, pick: impl Fn(&Header) -> bool) -> Vec<Counted> {
        let mut found = Vec::new();
        for stripe in &self.registry {
            let mut room = 64;
            loop {
                found.reserve(room);
                let limit = found.capacity();
                let (start, mut complete) = (found.len(), true);
                let list = stripe.lock();
                let mut next = list.0;
                // SAFETY: in the list, so alive.
                while let Some(task) = unsafe { next.as_ref() } {
                    next = task.next.get();
                    if !pick(task) {
                        continue;
                    }
                    if found.len() == limit {
                        complete = false;
                        break;
                    }
                    task.leak();
                    found.push(Counted(task));
                }
                drop(list);
                if complete {
                    break;
                }
                found.truncate(start);
                room = limit * 2;
            }
        }
        found
    }

    /// Ends a task as soon as possible; see `JoinHandle::abort`. Outside the runtime: it may drop the closure.
    pub(crate) fn abort(&self, task: &Header) {
        task.aborted.store(true, Ordering::SeqCst);
        if task.is_done() {
            return;
        }
        if !task.claim() {
            inside(|| match self.exec.wake(self.now(), task.id()) {
                Ok(wake) => self.after(wake),
                Err(_) => self.unpark(task.id()),
            });
            self.keeper.see_aborts_through();
            return;
        }
        // SAFETY: claimed before it started.
        unsafe { (task.vtable.reject)(task) };
        inside(|| {
            // While the core knows the task, the runtime's reference keeps it. If a CPU has chosen it in this moment, that
            // CPU finds it claimed, tells the core, and gives the reference up.
            if let Ok(Kill::Done(joiner)) = self.exec.kill(self.now(), task.id()) {
                if let Some(cpu) = joiner {
                    self.kick(cpu);
                }
                self.unregister(task);
                // The caller holds a reference as well, so this is not the last.
                task.release();
            }
            crate::dispatch::announce_end(self, task);
        });
    }

    /// Tells tasks that were aborted and have not ended yet once more. True if there are any.
    pub(crate) fn remind_aborted(&self, all: bool) -> bool {
        if !all && !self.keeper.take_aborting() {
            return false;
        }
        let tasks = self.collect(|task| (all || task.aborted.load(Ordering::Relaxed)) && !task.is_done());
        for task in &tasks {
            self.abort(task.get());
        }
        !tasks.is_empty()
    }
}

/// A counted reference to a task.
struct Counted(*const Header);

impl Counted {
    fn get(&self) -> &Header {
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
