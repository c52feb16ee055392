//! Who waits for the end of a task: one word, by which the end, the wait and the drop of the handle agree who does what.
//!
//! The end publishes that the task is done *before* it takes the name out of the word. So whoever sees the task done without
//! having been told may leave his own name there, and so does a joiner that was aborted. The drop of its handle takes the name
//! away then. Who takes a name away also takes what was left with it, and nobody else touches that. The model is
//! `tests/model_join.rs`, of this very code.

use crate::atomics::{AtomicU64, Ordering};

/// Anything else is the id of the joining task.
const NOBODY: u64 = 0;
const ENDED: u64 = u64::MAX;
const THREAD: u64 = u64::MAX - 1;
const DETACHED: u64 = u64::MAX - 2;

pub(crate) struct Joiner(AtomicU64);

/// Who is concerned by the end of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Concerned {
    Nobody,
    /// The handle was dropped: the outcome is to be dropped by whoever ends the task.
    Detached,
    /// An ordinary thread sleeps on the task's state.
    Thread,
    /// A task, by its id. What was left with the name is the caller's.
    Task(u64),
}

/// What is left to do for whoever drops the handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    /// Nothing: the task sees to its outcome when it ends.
    GoesOn,
    /// The task has ended: the outcome, if nobody took it, is the caller's.
    Ended,
    /// As `GoesOn`; but the name of a joining task was there, and what was left with it is the caller's.
    Named,
}

impl Joiner {
    pub(crate) fn new() -> Joiner {
        Joiner(AtomicU64::new(NOBODY))
    }

    /// The task with that id waits from now on, and is told of the end. False: the end comes, or has come, and tells nobody.
    pub(crate) fn wait_as_task(&self, id: u64) -> bool {
        self.0.compare_exchange(NOBODY, id, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// As `wait_as_task` for an ordinary thread.
    pub(crate) fn wait_as_thread(&self) -> bool {
        self.wait_as_task(THREAD)
    }

    /// Whether the handle was dropped. It is final, but for the end.
    pub(crate) fn is_detached(&self) -> bool {
        self.0.load(Ordering::Acquire) == DETACHED
    }

    /// The task has ended; called once, when everybody can see that it is done.
    pub(crate) fn end(&self) -> Concerned {
        match self.0.swap(ENDED, Ordering::AcqRel) {
            NOBODY => Concerned::Nobody,
            DETACHED => Concerned::Detached,
            THREAD => Concerned::Thread,
            id => Concerned::Task(id),
        }
    }

    /// The handle is dropped; called once, by whoever waited, if somebody did.
    pub(crate) fn detach(&self) -> Dropped {
        // After a join the task is mostly known to have ended; that spares the exchange.
        if self.0.load(Ordering::Acquire) == ENDED {
            return Dropped::Ended;
        }
        match self.0.swap(DETACHED, Ordering::AcqRel) {
            ENDED => Dropped::Ended,
            NOBODY | THREAD | DETACHED => Dropped::GoesOn,
            _ => Dropped::Named,
        }
    }
}
