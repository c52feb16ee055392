//! Policies that look at all ready tasks.

use alloc::vec::Vec;

use super::{Arrival, Entity, SchedulingPolicy, TaskKey};
use crate::api::{Duration, TaskId, Timestamp};

/// A policy as the reference has it: it is shown all ready tasks and names one. Simple to write, O(n) to run; see
/// [`ScanAdapter`].
pub trait ScanPolicy: Send {
    /// The policy's name.
    fn name(&self) -> &'static str;

    /// The task to run next, one of `ready`. These are in the order in which they became ready, preempted ones first.
    /// `current` is the task that was selected last and competes still, if it is not among `ready`.
    fn select(&mut self, ready: &[Entity], current: Option<&Entity>) -> Option<TaskId>;

    /// `task` is about to be shown among the ready ones.
    fn on_ready(&mut self, task: &Entity) {
        let _ = task;
    }

    /// `task` does not compete any more.
    fn on_block(&mut self, task: &Entity) {
        let _ = task;
    }

    /// The running task has used `ran` of CPU time.
    fn on_tick(&mut self, task: &Entity, ran: Duration) {
        let _ = (task, ran);
    }

    /// How long `task` may run.
    fn time_slice(&self, task: &Entity) -> Duration;

    /// Whether `ready` should take the CPU from `running` at once.
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        let _ = (ready, running);
        false
    }
}

/// Runs a [`ScanPolicy`] as a [`SchedulingPolicy`].
///
/// Every call that chooses, adds or removes is O(n) in the number of ready tasks: for experiments and teaching, not
/// for many tasks. A policy that names a task that is not ready gets no other chance: [`select`](Self::select)
/// answers `None` although tasks are queued, which tells the core to replace the policy.
#[derive(Debug)]
pub struct ScanAdapter<P> {
    policy: P,
    ready: Vec<Entity>,
    /// The task selected last, while it competes and is not among `ready`.
    current: Option<Entity>,
    /// What the policy answered, as long as nothing has changed: it is asked once, however often the core looks.
    choice: Option<TaskKey>,
}

impl<P: ScanPolicy> ScanAdapter<P> {
    /// Adapts `policy`.
    pub fn new(policy: P) -> Self {
        ScanAdapter { policy, ready: Vec::new(), current: None, choice: None }
    }

    fn position(&self, key: TaskKey) -> Option<usize> {
        self.ready.iter().position(|task| task.key == key)
    }

    /// The place in `ready` of the policy's choice.
    fn choose(&mut self) -> Option<usize> {
        if let Some(key) = self.choice {
            return self.position(key);
        }
        let id = self.policy.select(&self.ready, self.current.as_ref())?;
        let place = self.ready.iter().position(|task| task.id == id)?;
        self.choice = Some(self.ready[place].key);
        Some(place)
    }

    /// Takes a task out of `ready` or `current`. Whether it was in `ready`.
    fn take(&mut self, key: TaskKey) -> bool {
        self.choice = None;
        self.current.take_if(|task| task.key == key);
        let place = self.position(key);
        if let Some(place) = place {
            self.ready.remove(place);
        }
        place.is_some()
    }
}

impl<P: ScanPolicy> SchedulingPolicy for ScanAdapter<P> {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _now: Timestamp) {
        self.take(task.key);
        self.policy.on_ready(task);
        let place = if why == Arrival::Preempt { 0 } else { self.ready.len() };
        self.ready.insert(place, *task);
    }

    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        let place = self.choose()?;
        let task = self.ready.remove(place);
        self.choice = None;
        self.current = Some(task);
        Some(task.key)
    }

    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        let place = self.choose()?;
        Some(self.ready[place].key)
    }

    fn on_block(&mut self, task: &mut Entity, _now: Timestamp) {
        self.take(task.key);
        self.policy.on_block(task);
    }

    fn remove(&mut self, task: &mut Entity, _now: Timestamp) -> bool {
        let queued = self.position(task.key).is_some();
        if queued {
            self.take(task.key);
            self.policy.on_block(task);
        }
        queued
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
        self.choice = None;
        for copy in self.ready.iter_mut().chain(&mut self.current).filter(|copy| copy.key == task.key) {
            *copy = *task;
        }
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, _now: Timestamp) {
        self.choice = None;
        self.policy.on_tick(task, ran);
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        self.policy.time_slice(task)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.policy.preempts(ready, running)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.ready.iter().rev().any(|task| visit(task.key));
    }

    fn len(&self) -> usize {
        self.ready.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.ready.reserve(keys.saturating_sub(self.ready.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{drain, entity, visited};

    const NOW: Timestamp = Timestamp::ZERO;

    /// The reference's priority policy; counts how often it is asked, and names nonsense on request.
    #[derive(Default)]
    struct LowestNumber {
        asked: u32,
        broken: bool,
    }

    impl ScanPolicy for LowestNumber {
        fn name(&self) -> &'static str {
            "lowest-number"
        }
        fn select(&mut self, ready: &[Entity], current: Option<&Entity>) -> Option<TaskId> {
            self.asked += 1;
            assert!(current.is_none_or(|current| ready.iter().all(|task| task.key != current.key)));
            if self.broken {
                return Some(TaskId::from_parts(77, 7));
            }
            ready.iter().min_by_key(|task| task.priority).map(|task| task.id)
        }
        fn time_slice(&self, task: &Entity) -> Duration {
            task.slice
        }
    }

    fn filled() -> ScanAdapter<LowestNumber> {
        let mut policy = ScanAdapter::new(LowestNumber::default());
        for (key, priority) in [(0, 9), (1, 5), (2, 9), (3, 5)] {
            policy.on_ready(&mut Entity { priority, ..entity(key) }, Arrival::Spawn, NOW);
        }
        policy
    }

    #[test]
    fn the_policy_chooses_and_ties_go_by_arrival() {
        let mut policy = filled();
        policy.on_ready(&mut Entity { priority: 9, ..entity(4) }, Arrival::Preempt, NOW);
        assert_eq!(visited(&policy), [3, 2, 1, 0, 4]);
        assert_eq!(drain(&mut policy), [1, 3, 4, 0, 2]);
        assert_eq!(policy.policy.asked, 7, "once a choice, and twice with nothing ready");
    }

    #[test]
    fn removed_and_changed_tasks_are_seen_as_such() {
        let mut policy = filled();
        assert!(policy.remove(&mut entity(1), NOW) && !policy.remove(&mut entity(1), NOW));
        policy.update(&mut entity(2), 1, Timestamp::MAX, NOW);
        assert_eq!(drain(&mut policy), [2, 3, 0]);
    }

    #[test]
    fn the_current_task_is_shown_until_it_is_ready_or_gone() {
        let mut policy = filled();
        policy.select(NOW);
        assert_eq!(policy.current.map(|task| task.key), Some(TaskKey(1)));
        policy.on_ready(&mut entity(1), Arrival::Yield, NOW);
        assert!(policy.current.is_none());
        policy.select(NOW);
        policy.on_block(&mut entity(1), NOW);
        assert!(policy.current.is_none() && policy.len() == 3);
    }

    #[test]
    fn a_policy_that_names_a_stranger_answers_nothing() {
        let mut policy = filled();
        policy.policy.broken = true;
        assert_eq!((policy.peek(NOW), policy.select(NOW), policy.len()), (None, None, 4));
    }
}
