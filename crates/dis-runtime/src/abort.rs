//! Aborting tasks, one or all.

use std::sync::atomic::Ordering;

use dis_core::executor::Kill;

use crate::gate::inside;
use crate::life::{Audience, announce_end};
use crate::runtime::Inner;
use crate::task::Header;

/// How many places of the core's table are looked at under one lock.
const STEP: usize = 256;

impl Inner {
    /// Counted references to all tasks that `pick` names and the core knows; one that moves to another CPU meanwhile may be
    /// missing. For the keeper: allocates, but never under the core's lock.
    fn collect(&self, pick: impl Fn(&Header) -> bool) -> Vec<Counted> {
        let mut found = Vec::new();
        for cpu in 0..self.workers.len() {
            let mut from = Some(0);
            while let Some(start) = from {
                found.reserve(STEP);
                from = self.exec.visit_tasks(cpu, start, STEP, |task| {
                    let task = task.context.header();
                    // What the core knows has not been reaped, and cannot be while the core is locked.
                    if pick(task) {
                        task.leak();
                        found.push(Counted(task));
                    }
                });
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
            inside(|| {
                let now = self.now();
                match self.exec.wake(now, task.id()) {
                    Ok(wake) => self.after(wake, now),
                    Err(_) => self.unpark(task.id()),
                }
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
                // The caller holds a reference as well, so this is not the last.
                task.release();
            }
            if let Audience::Joiner(joiner) = announce_end(self, task) {
                self.unpark(joiner);
            }
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
        !tasks.is_empty() || (all && self.live.load(Ordering::Acquire) > 0)
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
