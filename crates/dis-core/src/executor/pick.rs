//! Choosing among what is ready here.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::{Executor, Reason};
use crate::api::{Task, TaskState, Timestamp};
use crate::intent::QueueType;
use crate::policy::Arrival;
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Makes the best ready task current, unless there is a current one already.
    #[inline(always)]
    pub(super) fn pick(&self, state: &mut CpuState<C>, now: Timestamp) -> Reason {
        if state.current.is_some() {
            return Reason::Continue;
        }
        while let Some((class, reason)) = state.arbiter.choose(state.ready, now) {
            if !state.start_first(class, now) {
                state.distrust(class, now);
                continue;
            }
            if let Some(key) = state.current.filter(|_| state.must_pause(now)) {
                self.stop_competing(state, key, TaskState::Ready, now);
                self.admit_to_queue(state, key, Arrival::Migrate, now);
                continue;
            }
            return reason;
        }
        Reason::Idle
    }
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// How many of the policies of `class`, one for each CPU, have been replaced by the built-in one because their answers
    /// were wrong.
    pub fn policy_faults(&self, class: QueueType) -> u64 {
        (0..self.cpu_count()).map(|cpu| self.lock(cpu).classes[class.rank()].replaced).sum()
    }

    /// Copies of all live tasks; for reports.
    pub fn snapshot(&self) -> Vec<Task<C>> {
        (0..self.cpu_count()).flat_map(|cpu| self.lock(cpu).tasks().cloned().collect::<Vec<_>>()).collect()
    }
}
