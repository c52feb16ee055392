//! Choosing among what is ready here.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::{Executor, Reason};
use crate::api::{Duration, Task, TaskState, Timestamp};
use crate::intent::QueueType;
use crate::policy::{Arrival, TaskKey};
use crate::scheduler::state::CpuState;

/// Slice of an Interactive task while another waits: so many can each begin within a few milliseconds.
const CONTENDED_SLICE: Duration = Duration::from_millis(1);

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Makes the best ready task current, unless there is a current one already.
    pub(super) fn pick(&self, state: &mut CpuState<C>, now: Timestamp) -> Reason {
        if state.current.is_some() {
            return Reason::Continue;
        }
        while let Some((class, reason)) = state.arbiter.choose(state.ready, now) {
            let queue = &mut state.classes[class.rank()];
            let forgets = queue.policy.len() != queue.queued;
            let Some(key) = queue.policy.select(now).filter(|_| !forgets) else {
                self.distrust(state, class, now);
                continue;
            };
            if !state.get(key).is_some_and(|task| task.is_queued() && task.sched.class == class) {
                self.distrust(state, class, now);
                continue;
            }
            self.start(state, key, now);
            return reason;
        }
        Reason::Idle
    }

    fn start(&self, state: &mut CpuState<C>, key: TaskKey, now: Timestamp) {
        let task = state.task(key);
        let (class, since) = (task.sched.class, task.sched.ready_since);
        state.left_queue(key, class, now.since(since));
        state.current = Some(key);
        state.charged = now;
        let task = state.task(key);
        let legal = task.transition(TaskState::Running);
        debug_assert!(legal.is_ok(), "a queued task is ready");
        task.stats.last_scheduled = now;
        task.sched.dirty = false;
        if task.stats.time_slice == 0 {
            self.refill_slice(state, key);
        }
    }

    /// A new slice, shortened while a latency-sensitive task waits.
    pub(super) fn refill_slice(&self, state: &mut CpuState<C>, key: TaskKey) {
        let class = state.task(key).sched.class;
        let contended = class == QueueType::Interactive && state.ready.contains(class);
        let (task, policy) = state.task_and_policy(key);
        let slice = policy.time_slice(&task.sched.entity);
        let slice = if contended { slice.min(CONTENDED_SLICE) } else { slice };
        task.stats.time_slice = slice.as_nanos().max(1);
    }

    /// The policy named a task that is not ready in its class, or none although some are, or has lost count of them: the
    /// built-in policy takes over with all that are ready, and the event is counted.
    fn distrust(&self, state: &mut CpuState<C>, class: QueueType, now: Timestamp) {
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
        slot.queued = keys.len();
        if keys.is_empty() {
            state.ready.remove(class);
        }
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
