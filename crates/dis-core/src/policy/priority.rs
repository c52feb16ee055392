//! Fixed priorities.

use super::{Arrival, Entity, SchedulingPolicy, TaskKey};
use crate::api::{Duration, Timestamp};
use crate::queues::{LEVELS, PriorityQueue};

/// The slice of priority 0.
const BASE_SLICE: Duration = Duration::from_millis(10);

/// The task with the lowest priority number first, first come first served among equals. Every call is O(1).
///
/// A preempted task goes to the front of its level and a task whose slice ended, or that yields, to the back.
/// A task of a higher level preempts at once. Slices grow with the priority: 10 ms · (256 − priority) / 256.
#[derive(Debug)]
pub struct PriorityPolicy {
    levels: u16,
    ready: PriorityQueue<TaskKey>,
}

impl PriorityPolicy {
    /// A policy that tells `levels` (1..=256) priorities apart; the 256 priorities are spread over them evenly.
    pub fn new(levels: u16) -> Self {
        PriorityPolicy { levels: levels.clamp(1, LEVELS as u16), ready: PriorityQueue::new() }
    }

    /// The level of a priority, below 256 as `priority < 256` and `levels <= 256`.
    fn level(&self, priority: u8) -> u8 {
        (u32::from(priority) * u32::from(self.levels) / LEVELS as u32) as u8
    }
}

impl Default for PriorityPolicy {
    /// Every priority is a level of its own.
    fn default() -> Self {
        Self::new(LEVELS as u16)
    }
}

impl SchedulingPolicy for PriorityPolicy {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _now: Timestamp) {
        let level = self.level(task.priority);
        match why {
            Arrival::Preempt => self.ready.push_front(task.key, level),
            _ => self.ready.push_back(task.key, level),
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
        self.ready.exchange(task.key, self.level(task.priority))
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
        self.ready.update_priority(task.key, self.level(priority));
    }

    fn on_tick(&mut self, _task: &mut Entity, _ran: Duration, _now: Timestamp) {}

    fn time_slice(&self, task: &Entity) -> Duration {
        BASE_SLICE.mul_div(256 - u64::from(task.priority), 256)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.level(ready.priority) < self.level(running.priority)
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

    fn task(key: u32, priority: u8) -> Entity {
        Entity { priority, ..entity(key) }
    }

    #[test]
    fn lower_numbers_first_and_fifo_among_equals() {
        let mut policy = PriorityPolicy::default();
        for (key, priority) in [(0, 200), (1, 0), (2, 200), (3, 255), (4, 64), (5, 0)] {
            policy.on_ready(&mut task(key, priority), Arrival::Wake, NOW);
        }
        assert_eq!(visited(&policy), [3, 2, 0, 4, 5, 1]);
        assert_eq!(drain(&mut policy), [1, 5, 4, 0, 2, 3]);
    }

    #[test]
    fn a_preempted_task_stays_first_and_a_yielding_one_goes_last() {
        let mut policy = PriorityPolicy::default();
        policy.on_ready(&mut task(1, 5), Arrival::Spawn, NOW);
        policy.on_ready(&mut task(0, 5), Arrival::Preempt, NOW);
        policy.on_ready(&mut task(2, 5), Arrival::Yield, NOW);
        assert_eq!(drain(&mut policy), [0, 1, 2]);
    }

    #[test]
    fn a_queued_task_moves_to_its_new_level() {
        let mut policy = PriorityPolicy::default();
        let mut tasks = [task(0, 10), task(1, 20), task(2, 30)];
        tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, NOW));
        policy.update(&mut tasks[2], 10, Timestamp::MAX, NOW);
        assert_eq!(tasks[2].priority, 10);
        policy.update(&mut tasks[0], 20, Timestamp::MAX, NOW);
        assert_eq!(drain(&mut policy), [2, 0, 1], "raised: behind its new equals; lowered: before them");
    }

    #[test]
    fn few_levels_hold_neighbouring_priorities() {
        let mut policy = PriorityPolicy::new(2);
        for (key, priority) in [(0, 127), (1, 128), (2, 255), (3, 0)] {
            policy.on_ready(&mut task(key, priority), Arrival::Spawn, NOW);
        }
        assert!(policy.preempts(&task(9, 127), &task(8, 128)) && !policy.preempts(&task(9, 0), &task(8, 127)));
        assert_eq!(drain(&mut policy), [0, 3, 1, 2]);
        PriorityPolicy::new(0).on_ready(&mut task(0, 255), Arrival::Spawn, NOW);
    }

    #[test]
    fn higher_priority_has_the_longer_slice() {
        let policy = PriorityPolicy::default();
        assert_eq!(policy.time_slice(&task(0, 0)), Duration::from_millis(10));
        assert_eq!(policy.time_slice(&task(0, 128)), Duration::from_millis(5));
        assert_eq!(policy.time_slice(&task(0, 255)), Duration::from_nanos(39_062));
    }
}
