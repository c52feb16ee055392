//! A priority queue whose items can be found, moved and removed by index.

use alloc::vec::Vec;
use core::hint::select_unpredictable;

use super::QueueItem;
use super::entry::{Entry, HeapKey};
use super::run::Run;
use crate::policy::TaskKey;

/// Children of a node. Of 2, 4 and 8, 4 is the fastest at 100 to 1,000 entries and within a tenth of the fastest
/// elsewhere: a level costs two dependent comparisons, and siblings of 16 bytes fill a cache line.
const ARITY: usize = 4;

/// Stands for "not queued" in the position table.
const ABSENT: u32 = u32::MAX;
/// Marks a position as one in the run.
const IN_RUN: u32 = 1 << 31;

/// A minimum queue of (key, item), ordered by key and then by the item's rank, with a table of positions by item index.
///
/// `peek` is O(1); `push`, `pop`, `remove` and `update` are O(log n); nothing allocates after
/// [`reserve`](Self::reserve).
///
/// Keys of schedulers mostly arrive in ascending order: now + a latency, a clock + a request. Such an entry is appended
/// to a *run*, a ring that is sorted by construction, in O(1), and taken from its front in O(1). What arrives out of
/// order goes to a heap, and the first is the lesser of the two firsts. So no order of arrival costs more than the
/// heap, and the usual one costs nothing. The heap is an implicit one (Williams 1964) with four children a node, as in
/// Johnson's d-heaps (1975): flatter than a binary heap, and the children of a node lie side by side.
///
/// `pop` leaves a hole at the heap's root and lets the next call fill it. In a scheduler that is mostly the `push` of
/// the task that has been running; it goes straight down from the root, and the last entry stays where it is.
#[derive(Debug, Clone)]
pub struct IndexedHeap<K, T = TaskKey> {
    entries: Vec<Entry<K, T>>,
    /// The first of `entries` has been taken out and is not there any more.
    hole: bool,
    run: Run<K, T>,
    position: Vec<u32>,
}

impl<K, T> Default for IndexedHeap<K, T> {
    fn default() -> Self {
        IndexedHeap { entries: Vec::new(), hole: false, run: Run::default(), position: Vec::new() }
    }
}

impl<K: HeapKey, T: QueueItem> IndexedHeap<K, T> {
    /// An empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        // Room only: the table grows within it as indices come, so memory that no task needs is never touched.
        self.position.reserve(indices.saturating_sub(self.position.len()));
        // With a hole there may be one entry more than there are items.
        self.entries.reserve((indices + 1).saturating_sub(self.entries.len()));
        if self.run.reserve(indices) {
            for (slot, entry) in (0u32..).zip(self.run.iter()) {
                self.position[entry.item.index()] = slot | IN_RUN;
            }
        }
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len() - usize::from(self.hole) + self.run.len()
    }

    /// Whether there is no item.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&self, position: u32) -> Option<&Entry<K, T>> {
        match position {
            ABSENT => None,
            at if at & IN_RUN == 0 => self.entries.get(at as usize),
            at => self.run.slot(at & !IN_RUN),
        }
    }

    /// Where `item` stands, if it does.
    fn find(&self, item: T) -> Option<u32> {
        let position = *self.position.get(item.index())?;
        self.entry(position).is_some_and(|entry| entry.item == item).then_some(position)
    }

    /// Whether `item` is queued.
    pub fn contains(&self, item: T) -> bool {
        self.find(item).is_some()
    }

    /// The key of a queued item.
    pub fn key(&self, item: T) -> Option<K> {
        self.entry(self.find(item)?).map(|entry| entry.key)
    }

    /// The first entry of the heap.
    #[inline(always)]
    fn heap_first(&self) -> Option<Entry<K, T>> {
        match self.hole {
            true => least(&self.entries, 1).map(|(_, entry)| entry),
            false => self.entries.first().copied(),
        }
    }

    /// The first entry of the run, if there is none in the heap that goes before it.
    #[inline(always)]
    fn run_first(&self) -> Option<Entry<K, T>> {
        let run = *self.run.front()?;
        self.heap_first().is_none_or(|heap| run.before(&heap)).then_some(run)
    }

    /// The item with the lowest key.
    #[inline]
    pub fn peek(&self) -> Option<(K, T)> {
        let first = self.run_first().or_else(|| self.heap_first())?;
        Some((first.key, first.item))
    }

    /// Queues `item`. An item of this index that is queued already makes place for it.
    #[inline]
    pub fn push(&mut self, item: T, key: K) {
        let index = item.index();
        if index >= self.position.len() {
            self.position.resize(index + 1, ABSENT);
        }
        if self.position[index] != ABSENT {
            self.take(self.position[index]);
        }
        let entry = Entry { key, item };
        if let Some(slot) = self.run.append(entry) {
            self.position[index] = slot | IN_RUN;
        } else if core::mem::take(&mut self.hole) {
            self.sift_down(0, entry);
        } else {
            self.entries.push(entry);
            self.sift_up(self.entries.len() - 1, entry);
        }
    }

    /// Takes out the item with the lowest key.
    #[inline]
    pub fn pop(&mut self) -> Option<(K, T)> {
        let first = if let Some(run) = self.run_first() {
            self.run.pop_front();
            run
        } else {
            self.fill_hole();
            let first = *self.entries.first()?;
            self.hole = true;
            first
        };
        self.position[first.item.index()] = ABSENT;
        Some((first.key, first.item))
    }

    /// Takes out `item`, which may stand anywhere.
    pub fn remove(&mut self, item: T) -> Option<K> {
        let at = self.find(item)?;
        let key = self.entry(at)?.key;
        self.take(at);
        Some(key)
    }

    /// Gives a queued item another key. False if it is not queued.
    pub fn update(&mut self, item: T, key: K) -> bool {
        let queued = self.contains(item);
        if queued {
            self.push(item, key);
        }
        queued
    }

    /// All items, those with high keys rather first; otherwise in no particular order.
    pub fn iter_late_first(&self) -> impl Iterator<Item = (K, T)> + '_ {
        let heap = self.entries[usize::from(self.hole)..].iter().rev().copied();
        self.run.iter().rev().chain(heap).map(|entry| (entry.key, entry.item))
    }

    /// Takes out what stands at `position`.
    fn take(&mut self, position: u32) {
        if position & IN_RUN != 0 {
            let slot = position & !IN_RUN;
            if let Some(entry) = self.run.slot(slot) {
                self.position[entry.item.index()] = ABSENT;
                self.run.take(slot);
            }
            return;
        }
        let at = position as usize;
        self.position[self.entries[at].item.index()] = ABSENT;
        // A hole at the root may stay: what stood there went before all others and stops them like a root.
        if let Some(last) = self.entries.pop()
            && at < self.entries.len()
        {
            self.settle(at, last);
        }
    }

    /// Lets the last entry fill the hole at the root, if there is one.
    #[inline]
    fn fill_hole(&mut self) {
        if core::mem::take(&mut self.hole)
            && let Some(last) = self.entries.pop()
            && !self.entries.is_empty()
        {
            self.sift_down(0, last);
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
        while let Some((child, below)) = least(&self.entries, at * ARITY + 1) {
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
        // A heap has at most as many entries as there are indices, and those have 31 bits.
        self.position[entry.item.index()] = at as u32;
    }
}

/// The least of the siblings of which the first stands at `first`, and its place.
#[inline(always)]
fn least<K: HeapKey, T: QueueItem>(entries: &[Entry<K, T>], first: usize) -> Option<(usize, Entry<K, T>)> {
    let lower = |one: (usize, Entry<K, T>), two: (usize, Entry<K, T>)| {
        let second = two.1.before(&one.1);
        let key = select_unpredictable(second, two.1.key, one.1.key);
        let item = select_unpredictable(second, two.1.item, one.1.item);
        (select_unpredictable(second, two.0, one.0), Entry { key, item })
    };
    if let Some(&[a, b, c, d]) = entries.get(first..first + ARITY) {
        return Some(lower(lower((first, a), (first + 1, b)), lower((first + 2, c), (first + 3, d))));
    }
    // The last siblings, which may be fewer.
    let siblings = entries.get(first..)?;
    let mut least = (first, *siblings.first()?);
    for (i, &entry) in siblings.iter().enumerate().skip(1) {
        least = lower(least, (first + i, entry));
    }
    Some(least)
}
