//! Fixed priorities: one list a level, and a bitmap of the levels that hold something.

use super::QueueItem;
use super::links::{Links, List};
use crate::api::TaskId;

/// Number of levels of a [`PriorityQueue`].
pub const LEVELS: usize = 256;

/// Items by level, 0 first, and in order of arrival within a level. Every operation is O(1): the first level that
/// holds something is found with four "find first set" instructions at most.
#[derive(Debug, Clone)]
pub struct PriorityQueue<T = TaskId> {
    /// Each item is noted with its level.
    links: Links<T>,
    lists: [List; LEVELS],
    /// Bit `l` is set if and only if list `l` holds something.
    occupied: [u64; LEVELS / 64],
    len: usize,
}

impl<T> Default for PriorityQueue<T> {
    fn default() -> Self {
        PriorityQueue { links: Links::default(), lists: [List::EMPTY; LEVELS], occupied: [0; LEVELS / 64], len: 0 }
    }
}

impl<T: QueueItem> PriorityQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.links.reserve(indices);
    }

    /// Queues `item` behind the others of its level. An item of this index that is queued already makes place for it.
    #[inline]
    pub fn push_back(&mut self, item: T, level: u8) {
        self.admit(item, level);
        self.links.push_back(&mut self.lists[level as usize], item, level);
    }

    /// Queues `item` before the others of its level. An item of this index that is queued already makes place for it.
    pub fn push_front(&mut self, item: T, level: u8) {
        self.admit(item, level);
        self.links.push_front(&mut self.lists[level as usize], item, level);
    }

    /// Does the books for an item that is about to be linked.
    #[inline(always)]
    fn admit(&mut self, item: T, level: u8) {
        if let Some(old) = self.links.cover(item.index()) {
            self.remove(old);
        }
        self.occupied[level as usize / 64] |= 1 << (level % 64);
        self.len += 1;
    }

    /// The first level that holds something.
    #[inline]
    pub fn first_level(&self) -> Option<u8> {
        let word = self.occupied.iter().position(|&word| word != 0)?;
        Some((word * 64) as u8 + self.occupied[word].trailing_zeros() as u8)
    }

    /// The first item of the first level that holds something.
    pub fn peek(&self) -> Option<T> {
        self.links.front(&self.lists[self.first_level()? as usize])
    }

    /// Takes out the first item of the first level that holds something.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let level = self.first_level()?;
        let item = self.links.pop_front(&mut self.lists[level as usize])?;
        self.left(level);
        Some(item)
    }

    /// [Queues](Self::push_back) `item` behind the others of its level and [takes out](Self::pop) the first of all.
    #[inline]
    pub fn exchange(&mut self, item: T, level: u8) -> Option<T> {
        // Its level is the first that holds something: the numbers stay the same.
        if self.first_level() == Some(level)
            && let Some(first) = self.links.exchange(&mut self.lists[level as usize], item, level)
        {
            return Some(first);
        }
        self.push_back(item, level);
        self.pop()
    }

    /// Takes out `item` wherever it stands. False if it is not queued.
    pub fn remove(&mut self, item: T) -> bool {
        let Some(level) = self.level_of(item) else { return false };
        self.links.unlink(&mut self.lists[level as usize], item);
        self.left(level);
        true
    }

    /// Does the books for an item that has left `level`.
    #[inline(always)]
    fn left(&mut self, level: u8) {
        self.len -= 1;
        if self.lists[level as usize].is_empty() {
            self.occupied[level as usize / 64] &= !(1 << (level % 64));
        }
    }

    /// Moves a queued item to `level`. False if it is not queued.
    ///
    /// As POSIX has it for `pthread_setschedprio`: a raised item goes behind the others of its new level, a lowered
    /// one before them (so that the end of a boost costs it nothing), and one that stays keeps its place.
    pub fn update_priority(&mut self, item: T, level: u8) -> bool {
        let Some(old) = self.level_of(item) else { return false };
        match level.cmp(&old) {
            core::cmp::Ordering::Less => self.push_back(item, level),
            core::cmp::Ordering::Greater => self.push_front(item, level),
            core::cmp::Ordering::Equal => {}
        }
        true
    }

    /// The level of a queued item.
    pub fn level_of(&self, item: T) -> Option<u8> {
        self.links.tag(item)
    }

    /// The items from the last of the last level to the first of the first.
    pub fn iter_back(&self) -> impl Iterator<Item = T> + '_ {
        self.lists.iter().rev().flat_map(|list| self.links.iter_back(list))
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
