//! Everyone in turn.

use super::{Arrival, Entity, SchedulingPolicy, TaskKey};
use crate::api::{Duration, Timestamp};
use crate::queues::FifoQueue;

/// Tasks take turns of one quantum, in the order in which they became ready. A task that was preempted goes on where
/// it was: at the front. Every call is O(1).
#[derive(Debug)]
pub struct RoundRobinPolicy {
    quantum: Duration,
    ready: FifoQueue<TaskKey>,
}

impl RoundRobinPolicy {
    /// A policy with turns of `quantum`.
    pub fn new(quantum: Duration) -> Self {
        RoundRobinPolicy { quantum, ready: FifoQueue::new() }
    }
}

impl Default for RoundRobinPolicy {
    /// Turns of 10 ms.
    fn default() -> Self {
        Self::new(Duration::from_millis(10))
    }
}

impl SchedulingPolicy for RoundRobinPolicy {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _now: Timestamp) {
        match why {
            Arrival::Preempt => self.ready.push_front(task.key),
            _ => self.ready.push_back(task.key),
        }
    }

    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.pop()
    }

    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        if why == Arrival::Preempt {
            self.on_ready(task, why, now);
            return self.select(now);
        }
        self.ready.exchange(task.key)
    }

    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.peek()
    }

    fn on_block(&mut self, _task: &mut Entity, _now: Timestamp) {}

    fn remove(&mut self, task: &mut Entity, _now: Timestamp) -> bool {
        self.ready.remove(task.key)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
    }

    fn on_tick(&mut self, _task: &mut Entity, _ran: Duration, _now: Timestamp) {}

    fn time_slice(&self, _task: &Entity) -> Duration {
        self.quantum
    }

    fn preempts(&self, _ready: &Entity, _running: &Entity) -> bool {
        false
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.ready.iter_back().any(visit);
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

    #[test]
    fn turns_go_round_and_a_preempted_task_keeps_its_place() {
        let mut policy = RoundRobinPolicy::new(Duration::from_nanos(7));
        for key in 0..3 {
            policy.on_ready(&mut entity(key), Arrival::Spawn, NOW);
        }
        assert_eq!(policy.select(NOW), Some(TaskKey(0)));
        policy.on_ready(&mut entity(0), Arrival::Preempt, NOW);
        assert_eq!(policy.select(NOW), Some(TaskKey(0)));
        policy.on_ready(&mut entity(0), Arrival::SliceEnd, NOW);
        assert_eq!(visited(&policy), [0, 2, 1]);
        assert_eq!(policy.time_slice(&entity(0)), Duration::from_nanos(7));
        assert!(!policy.preempts(&entity(0), &entity(1)));
        assert_eq!(drain(&mut policy), [1, 2, 0]);
    }

    #[test]
    fn a_removed_task_is_not_served() {
        let mut policy = RoundRobinPolicy::default();
        for key in 0..3 {
            policy.on_ready(&mut entity(key), Arrival::Spawn, NOW);
        }
        assert!(policy.remove(&mut entity(1), NOW));
        assert!(!policy.remove(&mut entity(1), NOW));
        assert_eq!(drain(&mut policy), [0, 2]);
    }
}
