//! First in, first out.

use super::QueueItem;
use super::links::{Links, List};
use crate::api::TaskId;

/// Items in order of arrival. Every operation is O(1), removal from the middle included.
#[derive(Debug, Clone)]
pub struct FifoQueue<T = TaskId> {
    links: Links<T>,
    list: List,
    len: usize,
}

impl<T> Default for FifoQueue<T> {
    fn default() -> Self {
        FifoQueue { links: Links::default(), list: List::EMPTY, len: 0 }
    }
}

impl<T: QueueItem> FifoQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.links.reserve(indices);
    }

    /// Queues `item` behind all others. An item of this index that is queued already makes place for it.
    #[inline]
    pub fn push_back(&mut self, item: T) {
        self.admit(item);
        self.links.push_back(&mut self.list, item, 0);
        self.len += 1;
    }

    /// Queues `item` before all others. An item of this index that is queued already makes place for it.
    pub fn push_front(&mut self, item: T) {
        self.admit(item);
        self.links.push_front(&mut self.list, item, 0);
        self.len += 1;
    }

    /// Makes place for an item that is about to be linked.
    #[inline(always)]
    fn admit(&mut self, item: T) {
        if let Some(old) = self.links.cover(item.index()) {
            self.remove(old);
        }
    }

    /// The first item.
    pub fn peek(&self) -> Option<T> {
        self.links.front(&self.list)
    }

    /// Takes out the first item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let item = self.links.pop_front(&mut self.list)?;
        self.len -= 1;
        Some(item)
    }

    /// [Queues](Self::push_back) `item` behind all others and [takes out](Self::pop) the first.
    #[inline]
    pub fn exchange(&mut self, item: T) -> Option<T> {
        if let Some(first) = self.links.exchange(&mut self.list, item, 0) {
            return Some(first);
        }
        self.push_back(item);
        self.pop()
    }

    /// Takes out `item` wherever it stands. False if it is not queued.
    pub fn remove(&mut self, item: T) -> bool {
        let queued = self.links.contains(item);
        if queued {
            self.links.unlink(&mut self.list, item);
            self.len -= 1;
        }
        queued
    }

    /// Whether `item` is queued.
    pub fn contains(&self, item: T) -> bool {
        self.links.contains(item)
    }

    /// The items from the last to the first.
    pub fn iter_back(&self) -> impl Iterator<Item = T> + '_ {
        self.links.iter_back(&self.list)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
