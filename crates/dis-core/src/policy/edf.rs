//! Earliest deadline first.

use super::{Arrival, Entity, SchedulingPolicy, TaskKey};
use crate::api::{Duration, TaskId, Timestamp};
use crate::queues::{DeadlineQueue, QueueItem};

/// The task with the earliest absolute deadline first; equal deadlines in the order of ids.
///
/// Optimal on one CPU: if any order meets all deadlines, this one does (Liu and Layland, "Scheduling Algorithms for
/// Multiprogramming in a Hard-Real-Time Environment", JACM 20(1), 1973; Dertouzos 1974 for arbitrary arrivals).
/// Only a strictly earlier deadline preempts, so equal deadlines cost no switch. Calls are O(log n), `peek` O(1).
#[derive(Debug, Default)]
pub struct EdfPolicy {
    ready: DeadlineQueue<Member>,
}

/// A task in the queue: ordered by id, found by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    id: TaskId,
    key: TaskKey,
}

impl QueueItem for Member {
    const NONE: Self = Member { id: TaskId::INVALID, key: TaskKey::NONE };

    fn index(self) -> usize {
        self.key.index()
    }

    fn rank(self) -> u64 {
        self.id.0
    }
}

impl From<&mut Entity> for Member {
    fn from(task: &mut Entity) -> Self {
        Member { id: task.id, key: task.key }
    }
}

impl EdfPolicy {
    /// A policy without tasks.
    pub fn new() -> Self {
        Self::default()
    }
}

impl SchedulingPolicy for EdfPolicy {
    fn name(&self) -> &'static str {
        "edf"
    }

    fn on_ready(&mut self, task: &mut Entity, _why: Arrival, _now: Timestamp) {
        let deadline = task.deadline;
        self.ready.insert(task.into(), deadline);
    }

    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.pop().map(|member| member.key)
    }

    fn exchange(&mut self, task: &mut Entity, _why: Arrival, _now: Timestamp) -> Option<TaskKey> {
        let deadline = task.deadline;
        self.ready.exchange(task.into(), deadline).map(|member| member.key)
    }

    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.peek().map(|member| member.key)
    }

    fn on_block(&mut self, _task: &mut Entity, _now: Timestamp) {}

    fn remove(&mut self, task: &mut Entity, _now: Timestamp) -> bool {
        self.ready.remove(task.into())
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
        self.ready.update(task.into(), deadline);
    }

    fn on_tick(&mut self, _task: &mut Entity, _ran: Duration, _now: Timestamp) {}

    fn time_slice(&self, task: &Entity) -> Duration {
        task.slice
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        ready.deadline < running.deadline
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.ready.iter_late_first().any(|member| visit(member.key));
    }

    fn len(&self) -> usize {
        self.ready.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.ready.reserve(keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{drain, entity, visited};

    const NOW: Timestamp = Timestamp::ZERO;

    fn task(key: u32, deadline: u64) -> Entity {
        Entity { deadline: Timestamp::from_nanos(deadline), ..entity(key) }
    }

    #[test]
    fn orders_by_deadline_then_id_and_tasks_without_deadline_last() {
        let mut policy = EdfPolicy::new();
        for mut task in [entity(9), task(5, 30), task(4, 20), task(3, 30), task(2, 10), entity(1)] {
            policy.on_ready(&mut task, Arrival::Wake, NOW);
        }
        assert_eq!(visited(&policy).len(), 6);
        assert_eq!(drain(&mut policy), [2, 4, 3, 5, 1, 9]);
    }

    #[test]
    fn only_a_strictly_earlier_deadline_preempts() {
        let policy = EdfPolicy::new();
        assert!(policy.preempts(&task(2, 9), &task(1, 10)));
        assert!(!policy.preempts(&task(1, 10), &task(2, 10)));
    }

    #[test]
    fn a_queued_task_moves_to_its_new_deadline() {
        let mut policy = EdfPolicy::new();
        let mut tasks = [task(0, 10), task(1, 20), task(2, 30)];
        tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, NOW));
        policy.update(&mut tasks[2], 0, Timestamp::from_nanos(5), NOW);
        policy.update(&mut tasks[0], 0, Timestamp::from_nanos(25), NOW);
        assert!(policy.remove(&mut tasks[1], NOW));
        assert_eq!(drain(&mut policy), [2, 0]);
    }
}
