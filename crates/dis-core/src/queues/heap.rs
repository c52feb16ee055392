//! A priority queue whose items can be found, moved and removed by index.

use alloc::vec::Vec;
use core::hint::select_unpredictable;

use super::QueueItem;
use crate::policy::TaskKey;

/// Children of a node. Measured on this crate's `queues` benchmark: 4 and 8 differ little at 1,000 items; 8 saves a
/// third of the levels, and with them cache misses, at 100,000.
const ARITY: usize = 8;

/// Stands for "not queued" in the position table.
const ABSENT: u32 = u32::MAX;

/// A minimum heap of (key, item), ordered by key and then by item, with a table of positions by item index.
///
/// `peek` is O(1); `push`, `pop`, `remove` and `update` are O(log n); nothing allocates after
/// [`reserve`](Self::reserve). The heap is an implicit one (Williams 1964) with several children a node, as
/// in Johnson's d-heaps (1975): flatter than a binary heap, and the children of a node lie side by side.
#[derive(Debug, Clone)]
pub struct IndexedHeap<K, T = TaskKey> {
    entries: Vec<Entry<K, T>>,
    position: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry<K, T> {
    key: K,
    item: T,
}

impl<K: Ord + Copy, T: QueueItem> Entry<K, T> {
    /// Lexicographic order without a jump: the outcome is random, so a jump would be mispredicted half the time.
    fn before(&self, other: &Self) -> bool {
        (self.key < other.key) | ((self.key == other.key) & (self.item < other.item))
    }
}

impl<K, T> Default for IndexedHeap<K, T> {
    fn default() -> Self {
        IndexedHeap { entries: Vec::new(), position: Vec::new() }
    }
}

impl<K: Ord + Copy, T: QueueItem> IndexedHeap<K, T> {
    /// An empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        if indices > self.position.len() {
            self.position.resize(indices, ABSENT);
        }
        self.entries.reserve(indices.saturating_sub(self.entries.len()));
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where `item` stands, if it does.
    fn find(&self, item: T) -> Option<usize> {
        let at = *self.position.get(item.index())? as usize;
        self.entries.get(at).is_some_and(|entry| entry.item == item).then_some(at)
    }

    /// Whether `item` is queued.
    pub fn contains(&self, item: T) -> bool {
        self.find(item).is_some()
    }

    /// The key of a queued item.
    pub fn key(&self, item: T) -> Option<K> {
        self.find(item).map(|at| self.entries[at].key)
    }

    /// The item with the lowest key.
    pub fn peek(&self) -> Option<(K, T)> {
        self.entries.first().map(|entry| (entry.key, entry.item))
    }

    /// Queues `item`. An item of this index that is queued already makes place for it.
    pub fn push(&mut self, item: T, key: K) {
        let index = item.index();
        if index >= self.position.len() {
            self.position.resize(index + 1, ABSENT);
        }
        let entry = Entry { key, item };
        match self.position[index] {
            ABSENT => {
                self.entries.push(entry);
                self.sift_up(self.entries.len() - 1, entry);
            }
            at => self.settle(at as usize, entry),
        }
    }

    /// Takes out the item with the lowest key.
    pub fn pop(&mut self) -> Option<(K, T)> {
        let top = *self.entries.first()?;
        self.take(0);
        Some((top.key, top.item))
    }

    /// Takes out `item`, which may stand anywhere.
    pub fn remove(&mut self, item: T) -> Option<K> {
        let at = self.find(item)?;
        let key = self.entries[at].key;
        self.take(at);
        Some(key)
    }

    /// Gives a queued item another key. False if it is not queued.
    pub fn update(&mut self, item: T, key: K) -> bool {
        let Some(at) = self.find(item) else { return false };
        self.settle(at, Entry { key, item });
        true
    }

    /// All items, those with high keys rather first; otherwise in no particular order.
    pub fn iter_late_first(&self) -> impl Iterator<Item = (K, T)> + '_ {
        self.entries.iter().rev().map(|entry| (entry.key, entry.item))
    }

    /// Takes out what stands at `at` and lets the last entry fill the hole.
    fn take(&mut self, at: usize) {
        self.position[self.entries[at].item.index()] = ABSENT;
        let last = self.entries.pop().expect("an entry stands at `at`");
        if at < self.entries.len() {
            self.settle(at, last);
        }
    }

    /// Puts `entry` into the hole at `at`, or where it belongs above or below.
    fn settle(&mut self, at: usize, entry: Entry<K, T>) {
        if at > 0 && entry.before(&self.entries[(at - 1) / ARITY]) {
            self.sift_up(at, entry);
        } else {
            self.sift_down(at, entry);
        }
    }

    /// Moves the hole at `at` towards the root until `entry` fits.
    fn sift_up(&mut self, mut at: usize, entry: Entry<K, T>) {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            let above = self.entries[parent];
            if !entry.before(&above) {
                break;
            }
            self.place(at, above);
            at = parent;
        }
        self.place(at, entry);
    }

    /// Moves the hole at `at` towards the leaves until `entry` fits.
    fn sift_down(&mut self, mut at: usize, entry: Entry<K, T>) {
        loop {
            let first = at * ARITY + 1;
            let (child, below) = match self.entries.get(first..first + ARITY) {
                Some(full) => least(full, first),
                None if first < self.entries.len() => least(&self.entries[first..], first),
                None => break,
            };
            if !below.before(&entry) {
                break;
            }
            self.place(at, below);
            at = child;
        }
        self.place(at, entry);
    }

    fn place(&mut self, at: usize, entry: Entry<K, T>) {
        self.entries[at] = entry;
        // A heap has at most as many entries as there are indices, and those are 32 bits wide.
        self.position[entry.item.index()] = at as u32;
    }
}

/// The least of some siblings, the first of which stands at `first`, and its place.
#[inline(always)]
fn least<K: Ord + Copy, T: QueueItem>(siblings: &[Entry<K, T>], first: usize) -> (usize, Entry<K, T>) {
    let (mut place, mut best) = (first, siblings[0]);
    for (i, entry) in siblings.iter().enumerate().skip(1) {
        let better = entry.before(&best);
        place = select_unpredictable(better, first + i, place);
        best = select_unpredictable(better, *entry, best);
    }
    (place, best)
}
