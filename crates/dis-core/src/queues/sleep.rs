//! The queue of tasks that wait for an instant.

use super::{IndexedHeap, QueueItem};
use crate::api::{TaskId, Timestamp};

/// Items by wake-up time, earliest first; equal times in the order of the items.
#[derive(Debug, Clone)]
pub struct SleepQueue<T = TaskId> {
    heap: IndexedHeap<Timestamp, T>,
    /// The first wake-up time, [`Timestamp::MAX`] if nothing sleeps: it is asked for far more often than it changes.
    due: Timestamp,
}

impl<T> Default for SleepQueue<T> {
    fn default() -> Self {
        SleepQueue { heap: IndexedHeap::default(), due: Timestamp::MAX }
    }
}

impl<T: QueueItem> SleepQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.heap.reserve(indices);
    }

    /// After a change: when the first is due now.
    fn look(&mut self) {
        self.due = self.next().unwrap_or(Timestamp::MAX);
    }

    /// The next wake-up time; [`Timestamp::MAX`] if nothing sleeps. O(1), a single load.
    #[inline(always)]
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// `item` sleeps until `wake`. An item that sleeps already gets the new time. O(log n).
    pub fn insert(&mut self, item: T, wake: Timestamp) {
        self.heap.push(item, wake);
        self.look();
    }

    /// Takes out the first item whose time has come. Call it until it answers `None`. O(log n).
    #[inline]
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<T> {
        if self.due > now {
            return None;
        }
        let (_, item) = self.heap.pop()?;
        self.look();
        Some(item)
    }

    /// The next wake-up time; what a host's timer is set to. O(1).
    pub fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|(wake, _)| wake)
    }

    /// When `item` wakes up, if it sleeps. O(1).
    pub fn wake_time(&self, item: T) -> Option<Timestamp> {
        self.heap.key(item)
    }

    /// Takes out `item` before its time (it has been woken, or it ends). False if it does not sleep. O(log n).
    pub fn remove(&mut self, item: T) -> bool {
        let asleep = self.heap.remove(item).is_some();
        self.look();
        asleep
    }

    /// Number of sleepers.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing sleeps.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
