//! Choosing among what is ready here.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::{Executor, Reason};
use crate::api::{Task, Timestamp};
use crate::intent::QueueType;
use crate::policy::{Arrival, TaskKey};
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
                self.distrust(state, class, now);
                continue;
            }
            return reason;
        }
        Reason::Idle
    }

    /// The policy named a task that is not ready in its class, or none although some are, or has lost count of them: the
    /// built-in policy takes over with all that are ready, and the event is counted.
    pub(super) fn distrust(&self, state: &mut CpuState<C>, class: QueueType, now: Timestamp) {
        let keys: Vec<TaskKey> = state
            .tasks()
            .filter(|task| task.is_queued() && task.sched.class == class)
            .map(|task| task.sched.entity.key)
            .collect();
        let mut fallback = crate::scheduler::default_policy(class)();
        fallback.reserve(keys.len());
        let slot = &mut state.classes[class.rank()];
        slot.policy = fallback;
        slot.replaced += 1;
        debug_assert_eq!(slot.stat.length as usize, keys.len(), "what is ready has been counted");
        for key in keys {
            let (task, policy) = state.task_and_policy(key);
            policy.on_ready(&mut task.sched.entity, Arrival::Migrate, now);
        }
    }
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// How often the policy of `class` has been replaced by the built-in one because its answers were wrong.
    pub fn policy_faults(&self, class: QueueType) -> u64 {
        (0..self.cpu_count()).map(|cpu| self.lock(cpu).classes[class.rank()].replaced).sum()
    }

    /// Copies of all live tasks; for reports.
    pub fn snapshot(&self) -> Vec<Task<C>> {
        (0..self.cpu_count()).flat_map(|cpu| self.lock(cpu).tasks().cloned().collect::<Vec<_>>()).collect()
    }
}
