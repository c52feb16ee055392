//! A plain scheduler of five queues in strict class order.

use alloc::vec::Vec;

use super::{DeadlineQueue, FifoQueue, PriorityQueue, QueueItem, SleepQueue};
use crate::api::{SchedError, SchedResult, TaskId, Timestamp};
use crate::intent::QueueType;
use crate::stats::QueueStats;

/// The five classes' queues and the sleepers, for kernels that want strict class order and no more: System and
/// Interactive by priority, Realtime by deadline, Batch and Background in order of arrival.
///
/// A lower class waits as long as a higher one has work, without bound. The executor of this crate bounds the wait;
/// it orders tasks with policies instead of these queues. A task is in one queue, or asleep, or not here at all; which,
/// and since when, is kept by the task's slot, so no call searches. Calls are O(1), those that concern deadlines and
/// sleep O(log n).
#[derive(Debug, Clone, Default)]
pub struct SchedulerQueues {
    system: PriorityQueue,
    realtime: DeadlineQueue,
    interactive: PriorityQueue,
    batch: FifoQueue,
    background: FifoQueue,
    sleeping: SleepQueue,
    places: Vec<Place>,
    stats: QueueStats,
}

/// Where the task of a slot is, if it is here.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: TaskId,
    /// `None`: asleep.
    queue: Option<QueueType>,
    since: Timestamp,
}

const NOWHERE: Place = Place { id: TaskId::INVALID, queue: None, since: Timestamp::ZERO };

impl SchedulerQueues {
    /// Empty queues.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for tasks with slots below `slots`, so that later calls do not allocate.
    pub fn reserve(&mut self, slots: usize) {
        self.system.reserve(slots);
        self.realtime.reserve(slots);
        self.interactive.reserve(slots);
        self.batch.reserve(slots);
        self.background.reserve(slots);
        self.sleeping.reserve(slots);
        if slots > self.places.len() {
            self.places.resize(slots, NOWHERE);
        }
    }

    /// Puts the task into a queue. Only System and Interactive look at `priority` (lower first), only Realtime looks
    /// at `deadline`; a task without one goes behind all that have one.
    ///
    /// # Errors
    /// [`SchedError::TaskExists`] if the task, or another of its slot, is queued or asleep;
    /// [`SchedError::TaskNotFound`] for [`TaskId::INVALID`].
    pub fn enqueue(
        &mut self,
        id: TaskId,
        queue: QueueType,
        priority: u8,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> SchedResult<()> {
        self.settle(Place { id, queue: Some(queue), since: now })?;
        match queue {
            QueueType::System => self.system.push_back(id, priority),
            QueueType::Realtime => self.realtime.insert(id, deadline.unwrap_or(Timestamp::MAX)),
            QueueType::Interactive => self.interactive.push_back(id, priority),
            QueueType::Batch => self.batch.push_back(id),
            QueueType::Background => self.background.push_back(id),
        }
        self.stats[queue].record_enqueue();
        Ok(())
    }

    /// Takes out the task to run next: the first of the highest class that has one.
    pub fn next(&mut self, now: Timestamp) -> Option<TaskId> {
        let id = (self.system.pop())
            .or_else(|| self.realtime.pop())
            .or_else(|| self.interactive.pop())
            .or_else(|| self.batch.pop())
            .or_else(|| self.background.pop())?;
        self.leave(id, now);
        Some(id)
    }

    /// The task that [`next`](Self::next) would take.
    pub fn peek(&self) -> Option<TaskId> {
        (self.system.peek())
            .or_else(|| self.realtime.peek())
            .or_else(|| self.interactive.peek())
            .or_else(|| self.batch.peek())
            .or_else(|| self.background.peek())
    }

    /// The task sleeps until `wake`.
    ///
    /// # Errors
    /// [`SchedError::TaskExists`] if the task, or another of its slot, is queued or asleep;
    /// [`SchedError::TaskNotFound`] for [`TaskId::INVALID`].
    pub fn add_sleeper(&mut self, id: TaskId, wake: Timestamp) -> SchedResult<()> {
        self.settle(Place { id, queue: None, since: wake })?;
        self.sleeping.insert(id, wake);
        Ok(())
    }

    /// The sleepers whose time has come, earliest first. Each is taken out as the iterator hands it over; the others
    /// sleep on if the iterator is dropped.
    pub fn wake_sleepers(&mut self, now: Timestamp) -> impl Iterator<Item = TaskId> + '_ {
        core::iter::from_fn(move || {
            let id = self.sleeping.pop_expired(now)?;
            self.places[id.index()] = NOWHERE;
            Some(id)
        })
    }

    /// When the next sleeper wakes up.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.sleeping.next()
    }

    /// Takes the task out of whichever queue it is in, the sleepers included.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] if it is in none.
    pub fn remove(&mut self, id: TaskId, now: Timestamp) -> SchedResult<()> {
        match self.place(id)?.queue {
            None => self.sleeping.remove(id),
            Some(QueueType::System) => self.system.remove(id),
            Some(QueueType::Realtime) => self.realtime.remove(id),
            Some(QueueType::Interactive) => self.interactive.remove(id),
            Some(QueueType::Batch) => self.batch.remove(id),
            Some(QueueType::Background) => self.background.remove(id),
        };
        self.leave(id, now);
        Ok(())
    }

    /// Moves a queued task to the place that its new priority gives it: see [`PriorityQueue::update_priority`].
    /// Nothing changes for a sleeper, or in a class that is not ordered by priority.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] if the task is not here.
    pub fn update_priority(&mut self, id: TaskId, priority: u8) -> SchedResult<()> {
        match self.place(id)?.queue {
            Some(QueueType::System) => self.system.update_priority(id, priority),
            Some(QueueType::Interactive) => self.interactive.update_priority(id, priority),
            _ => false,
        };
        Ok(())
    }

    /// Number of queued tasks of all five classes, without the sleepers.
    pub fn total_queued(&self) -> usize {
        self.system.len() + self.realtime.len() + self.interactive.len() + self.batch.len() + self.background.len()
    }

    /// Number of sleepers.
    pub fn total_sleeping(&self) -> usize {
        self.sleeping.len()
    }

    /// The class in whose queue the task is; `None` if it sleeps or is not here.
    pub fn queue_of(&self, id: TaskId) -> Option<QueueType> {
        self.place(id).ok()?.queue
    }

    /// What has gone through each queue, and how long it waited.
    pub fn stats(&self) -> &QueueStats {
        &self.stats
    }

    fn place(&self, id: TaskId) -> SchedResult<Place> {
        let place = self.places.get(id.index()).filter(|place| place.id == id && id != TaskId::INVALID);
        place.copied().ok_or(SchedError::TaskNotFound)
    }

    /// Notes where a task goes that is not here yet.
    fn settle(&mut self, place: Place) -> SchedResult<()> {
        if place.id == TaskId::INVALID {
            return Err(SchedError::TaskNotFound);
        }
        let slot = place.id.index();
        if slot >= self.places.len() {
            self.places.resize(slot + 1, NOWHERE);
        }
        if self.places[slot].id != TaskId::INVALID {
            return Err(SchedError::TaskExists);
        }
        self.places[slot] = place;
        Ok(())
    }

    /// Does the books for a task that has been taken out of its queue.
    fn leave(&mut self, id: TaskId, now: Timestamp) {
        let place = core::mem::replace(&mut self.places[id.index()], NOWHERE);
        if let Some(queue) = place.queue {
            self.stats[queue].record_dequeue(now.since(place.since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueueType::*;
    use alloc::vec::Vec;

    fn id(slot: u32) -> TaskId {
        TaskId::from_parts(slot, 1)
    }

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn filled() -> SchedulerQueues {
        let mut queues = SchedulerQueues::new();
        let tasks = [
            (0, Background, 0, None),
            (1, Batch, 0, None),
            (2, Interactive, 60, None),
            (3, Interactive, 50, None),
            (4, Realtime, 0, None),
            (5, Realtime, 0, Some(at(90))),
            (6, System, 7, None),
            (7, Batch, 0, None),
        ];
        for (slot, queue, priority, deadline) in tasks {
            queues.enqueue(id(slot), queue, priority, deadline, at(10)).unwrap();
        }
        queues
    }

    fn drain(queues: &mut SchedulerQueues, now: Timestamp) -> Vec<u32> {
        core::iter::from_fn(|| {
            let peeked = queues.peek();
            let next = queues.next(now);
            assert_eq!(peeked, next);
            next.map(TaskId::slot)
        })
        .collect()
    }

    #[test]
    fn classes_in_strict_order_and_each_in_its_own() {
        let mut queues = filled();
        assert_eq!(queues.total_queued(), 8, "Realtime counts as well");
        assert_eq!(drain(&mut queues, at(30)), [6, 5, 4, 3, 2, 1, 7, 0]);
        assert_eq!(queues.total_queued(), 0);
    }

    #[test]
    fn statistics_are_exact() {
        let mut queues = filled();
        let max = queues.stats().batch.max_length;
        drain(&mut queues, at(30));
        let stats = queues.stats();
        assert_eq!((stats.realtime.enqueued, stats.realtime.dequeued, stats.realtime.avg_wait_time), (2, 2, 20));
        assert_eq!((max, stats.batch.max_length, stats.batch.length), (2, 2, 0));
    }

    #[test]
    fn a_task_is_removed_wherever_it_is() {
        let mut queues = filled();
        queues.add_sleeper(id(8), at(99)).unwrap();
        for slot in [0, 2, 4, 6, 7, 8] {
            assert_eq!(queues.remove(id(slot), at(10)), Ok(()));
            assert_eq!(queues.remove(id(slot), at(10)), Err(SchedError::TaskNotFound));
        }
        assert_eq!((queues.total_sleeping(), queues.next_wake()), (0, None));
        assert_eq!(drain(&mut queues, at(10)), [5, 3, 1]);
    }

    #[test]
    fn a_new_priority_moves_a_queued_task() {
        let mut queues = filled();
        queues.update_priority(id(2), 1).unwrap();
        queues.update_priority(id(1), 1).unwrap();
        assert_eq!(queues.update_priority(id(99), 1), Err(SchedError::TaskNotFound));
        assert_eq!(drain(&mut queues, at(10)), [6, 5, 4, 2, 3, 1, 7, 0]);
    }

    #[test]
    fn sleepers_wake_once_in_order_and_only_when_due() {
        let mut queues = SchedulerQueues::new();
        for (slot, wake) in [(0, 30), (1, 20), (2, 20), (3, 40)] {
            queues.add_sleeper(id(slot), at(wake)).unwrap();
        }
        assert_eq!(queues.add_sleeper(id(0), at(1)), Err(SchedError::TaskExists));
        assert_eq!(queues.enqueue(id(0), Batch, 0, None, at(1)), Err(SchedError::TaskExists));
        assert_eq!(queues.wake_sleepers(at(19)).count(), 0);
        assert_eq!(queues.next_wake(), Some(at(20)));
        assert_eq!(queues.wake_sleepers(at(35)).map(TaskId::slot).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(queues.wake_sleepers(at(35)).count(), 0);
        assert_eq!(queues.enqueue(id(0), Batch, 0, None, at(35)), Ok(()));
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut queues = filled();
        let stale = TaskId::from_parts(5, 2);
        assert_eq!(queues.remove(stale, at(10)), Err(SchedError::TaskNotFound));
        assert_eq!(queues.enqueue(stale, System, 0, None, at(10)), Err(SchedError::TaskExists));
        assert_eq!((queues.queue_of(stale), queues.queue_of(id(5))), (None, Some(Realtime)));
    }
}
