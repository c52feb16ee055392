//! The queue of earliest-deadline-first scheduling.

use super::{IndexedHeap, QueueItem};
use crate::api::{TaskId, Timestamp};

/// Items by deadline, earliest first. Equal deadlines are served in the order of the items: for [`TaskId`]s, and for
/// the EDF policy, in the total order (deadline, id).
#[derive(Debug, Clone)]
pub struct DeadlineQueue<T = TaskId>(IndexedHeap<Timestamp, T>);

impl<T> Default for DeadlineQueue<T> {
    fn default() -> Self {
        DeadlineQueue(IndexedHeap::default())
    }
}

impl<T: QueueItem> DeadlineQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.0.reserve(indices);
    }

    /// Queues `item`; [`Timestamp::MAX`] means without deadline, behind all that have one. O(log n).
    pub fn insert(&mut self, item: T, deadline: Timestamp) {
        self.0.push(item, deadline);
    }

    /// Takes out the item with the earliest deadline. O(log n).
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop().map(|(_, item)| item)
    }

    /// [Queues](Self::insert) `item` and [takes out](Self::pop) the one with the earliest deadline. O(log n).
    pub fn exchange(&mut self, item: T, deadline: Timestamp) -> Option<T> {
        self.0.exchange(item, deadline).map(|(_, item)| item)
    }

    /// The item with the earliest deadline. O(1).
    pub fn peek(&self) -> Option<T> {
        self.0.peek().map(|(_, item)| item)
    }

    /// The earliest deadline. O(1).
    pub fn earliest(&self) -> Option<Timestamp> {
        self.0.peek().map(|(deadline, _)| deadline)
    }

    /// Takes out `item`. False if it is not queued. O(log n).
    pub fn remove(&mut self, item: T) -> bool {
        self.0.remove(item).is_some()
    }

    /// Gives a queued item another deadline. False if it is not queued. O(log n).
    pub fn update(&mut self, item: T, deadline: Timestamp) -> bool {
        self.0.update(item, deadline)
    }

    /// Whether `item` is queued. O(1).
    pub fn contains(&self, item: T) -> bool {
        self.0.contains(item)
    }

    /// All items, those with late deadlines rather first; otherwise in no particular order.
    pub fn iter_late_first(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter_late_first().map(|(_, item)| item)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
