//! Tasks that were chosen but cannot begin yet: what they lack, and how they are told that it may be had.
//!
//! An unstarted task is in at most one of these queues. It enters one before its claim is given back, and whoever claims it
//! takes it out first: so a task that begins, or is aborted, is in none, and its links are free for other lists.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::api::TaskId;

use crate::runtime::Inner;
use crate::task::Header;

/// What a task lacks. The first three name the queue in which it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Lack {
    /// A KLT.
    Klt,
    /// A KLT of its own. It leaves the last spare to those that would share it.
    OwnKlt,
    /// A stack.
    Stack,
    /// Nothing as far as known: it was in a queue and has been told to try again.
    Told,
    Nothing,
}

impl Lack {
    /// How many spares a task that lacks this leaves to others.
    pub(crate) fn leaves(self) -> usize {
        usize::from(self == Lack::OwnKlt)
    }
}

/// How many tasks are told in one go.
const BATCH: usize = 32;

/// First come, first served; linked through `next_waiter` and `previous_waiter`.
struct Queue {
    first: *const Header,
    last: *const Header,
}

impl Queue {
    const EMPTY: Queue = Queue { first: ptr::null(), last: ptr::null() };

    fn push(&mut self, task: &Header) {
        task.next_waiter.set(ptr::null());
        task.previous_waiter.set(self.last);
        // SAFETY: in the queue, so alive.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next_waiter.set(task),
            None => self.first = task,
        }
        self.last = task;
    }

    fn remove(&mut self, task: &Header) {
        let next = task.next_waiter.replace(ptr::null());
        let previous = task.previous_waiter.replace(ptr::null());
        // SAFETY: in the queue, so alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next_waiter.set(next),
            None => self.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous_waiter.set(previous),
            None => self.last = previous,
        }
    }

    /// Takes the first out. The task may begin and end as soon as it is marked as told, so its id is read before.
    fn pop(&mut self) -> Option<TaskId> {
        // SAFETY: in the queue, so alive.
        let task = unsafe { self.first.as_ref() }?;
        self.remove(task);
        let id = task.id();
        task.lacks.store(Lack::Told as u8, Ordering::Release);
        Some(id)
    }
}

/// The queues; under the lock of the spares.
pub(crate) struct Queues([Queue; 3]);

impl Queues {
    pub(crate) const fn new() -> Queues {
        Queues([Queue::EMPTY; 3])
    }

    /// Whether anybody waits for a KLT.
    pub(crate) fn want_klts(&self) -> bool {
        [Lack::Klt, Lack::OwnKlt].into_iter().any(|lack| !self.0[lack as usize].first.is_null())
    }

    /// Takes out the first that one of `spares` KLTs would do for; it is to be unparked.
    pub(crate) fn next_for(&mut self, spares: usize) -> Option<TaskId> {
        let mut eligible = [Lack::Klt, Lack::OwnKlt].into_iter().filter(|lack| spares > lack.leaves());
        eligible.find_map(|lack| self.0[lack as usize].pop())
    }
}

impl Inner {
    /// Claims the right to start `task`, or to see to it that it never starts. `None` if somebody else has it; else whether the
    /// task had been told to try: then call [`tell_next`](Self::tell_next) once it is clear what it takes.
    #[inline]
    pub(crate) fn claim(&self, task: &Header) -> Option<bool> {
        if !task.claim() {
            return None;
        }
        Some(task.lacks.load(Ordering::Acquire) != Lack::Nothing as u8 && self.leave_queue(task))
    }

    #[cold]
    fn leave_queue(&self, task: &Header) -> bool {
        let mut spares = self.spares.lock();
        let lack = task.lacks.load(Ordering::Relaxed);
        if let Some(queue) = spares.queues.0.get_mut(usize::from(lack)) {
            queue.remove(task);
        }
        task.lacks.store(Lack::Nothing as u8, Ordering::Relaxed);
        lack == Lack::Told as u8
    }

    /// Enters `task`, which the caller has claimed and is about to decline, among those that wait.
    pub(crate) fn wait_for(&self, task: &Header, lack: Lack) {
        let mut spares = self.spares.lock();
        spares.queues.0[lack as usize].push(task);
        task.lacks.store(lack as u8, Ordering::Relaxed);
        // A spare may have come since we looked.
        let count = spares.count();
        let next = spares.queues.next_for(count);
        drop(spares);
        self.keeper.rouse();
        if let Some(next) = next {
            self.unpark(next);
        }
    }

    /// A task that was told of a spare may have left it: the next one is told.
    #[cold]
    pub(crate) fn tell_next(&self) {
        let mut spares = self.spares.lock();
        let count = spares.count();
        let next = spares.queues.next_for(count);
        drop(spares);
        if let Some(next) = next {
            self.unpark(next);
        }
    }

    /// Tells some of those that wait for `lack` to try again: the keeper thinks that it is worth it. True if there were any.
    pub(crate) fn retry(&self, lack: Lack) -> bool {
        let mut told = [const { None }; BATCH];
        let mut spares = self.spares.lock();
        for id in &mut told {
            *id = spares.queues.0[lack as usize].pop();
        }
        drop(spares);
        told.iter().flatten().for_each(|&id| self.unpark(id));
        told[0].is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Intent, Runtime};

    #[test]
    fn a_shortage_of_stacks_makes_no_threads() {
        let rt = Runtime::builder().workers(1).max_tasks(4).build().unwrap();
        let threads = rt.threads();
        let stacks: Vec<_> = std::iter::from_fn(|| rt.inner.stacks.pool.alloc().ok()).collect();
        let tasks: Vec<_> = (0..3).map(|n| rt.spawn_fn(Intent::batch(), move || n).unwrap()).collect();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(rt.threads(), threads);
        assert!(tasks.iter().all(|task| !task.is_finished()));
        drop(stacks);
        let sum: u32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 3);
    }
}
