//! The queue of tasks that wait for an instant.

use super::{IndexedHeap, QueueItem};
use crate::api::{TaskId, Timestamp};

/// Items by wake-up time, earliest first; equal times in the order of the items.
#[derive(Debug, Clone)]
pub struct SleepQueue<T = TaskId>(IndexedHeap<Timestamp, T>);

impl<T> Default for SleepQueue<T> {
    fn default() -> Self {
        SleepQueue(IndexedHeap::default())
    }
}

impl<T: QueueItem> SleepQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.0.reserve(indices);
    }

    /// `item` sleeps until `wake`. An item that sleeps already gets the new time. O(log n).
    pub fn insert(&mut self, item: T, wake: Timestamp) {
        self.0.push(item, wake);
    }

    /// Takes out the first item whose time has come. Call it until it answers `None`. O(log n).
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<T> {
        self.next().filter(|&wake| wake <= now)?;
        self.0.pop().map(|(_, item)| item)
    }

    /// The next wake-up time; what a host's timer is set to. O(1).
    pub fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|(wake, _)| wake)
    }

    /// When `item` wakes up, if it sleeps. O(1).
    pub fn wake_time(&self, item: T) -> Option<Timestamp> {
        self.0.key(item)
    }

    /// Takes out `item` before its time (it has been woken, or it ends). False if it does not sleep. O(log n).
    pub fn remove(&mut self, item: T) -> bool {
        self.0.remove(item).is_some()
    }

    /// Number of sleepers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing sleeps.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
