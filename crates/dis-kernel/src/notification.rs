//! Notifications: that something has happened, and what of 64 things, to somebody who waits now or will.

use alloc::sync::Arc;

use dis_core::api::{BlockReason, SchedResult, TaskId, Timestamp};

use crate::lock::Lock;
use crate::sched::{self, scheduler};
use crate::task;
use crate::wait::{Attempt, Awaited, WaitList, attempts};

/// A word of 64 flags. Who notifies sets some, who waits takes all that are set. Setting one twice before anybody looks counts
/// once. (seL4's notification objects are so.)
#[derive(Debug, Default)]
pub struct Notification {
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    flags: u64,
    waiters: WaitList,
}

impl State {
    fn set(&mut self, flags: u64) -> Option<TaskId> {
        self.flags |= flags;
        if self.flags == 0 { None } else { self.waiters.pop() }
    }

    fn take(&mut self, attempt: Attempt) -> SchedResult<Option<u64>> {
        let flags = core::mem::take(&mut self.flags);
        self.waiters.settle(attempt, flags != 0)?;
        Ok((flags != 0).then_some(flags))
    }
}

impl Awaited for Notification {
    fn forget(&self, task: TaskId) {
        let next = {
            let mut state = self.state.lock();
            state.waiters.remove(task);
            state.set(0)
        };
        if let Some(next) = next {
            sched::rouse(next);
        }
    }
}

impl Notification {
    /// With no flag set.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets flags, and wakes the first of those who wait. O(1).
    pub fn notify(&self, flags: u64) {
        // It refuses nothing.
        let _ = task::with_wake(|_, now| {
            let woken = self.state.lock().set(flags);
            Ok(((), woken.and_then(|task| scheduler().unpark(now, task).ok())))
        });
    }

    /// Takes the flags that are set, at least one; waits for that until `until` (`None`: without end; an instant that has passed: not at
    /// all), blocked with [`BlockReason::Event`].
    ///
    /// # Errors
    /// [`SchedError::DeadlineMissed`](dis_core::api::SchedError::DeadlineMissed): none in time;
    /// [`SchedError::ResourceExhausted`](dis_core::api::SchedError::ResourceExhausted): no memory to wait.
    pub fn wait(self: &Arc<Self>, until: Option<Timestamp>) -> SchedResult<u64> {
        attempts(|| self.clone(), BlockReason::Event, until, |attempt| self.state.lock().take(attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Attempt::*;

    #[test]
    fn flags_add_up_until_somebody_takes_them_and_are_gone_then() {
        let mut state = State::default();
        assert_eq!((state.set(1), state.set(4), state.set(4)), (None, None, None));
        assert_eq!(state.take(First), Ok(Some(5)));
        assert_eq!(state.take(First), Ok(None));
        assert_eq!(state.take(Begin(TaskId(1))), Ok(None));
        assert_eq!(state.take(Begin(TaskId(2))), Ok(None));
        assert_eq!(state.set(0), None, "nothing has happened");
        assert_eq!(state.set(2), Some(TaskId(1)));
        assert_eq!(state.take(Again(TaskId(1))), Ok(Some(2)));
    }
}
