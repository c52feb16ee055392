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
/// Marks a position as one in the run.
const IN_RUN: u32 = 1 << 31;

/// A minimum queue of (key, item), ordered by key and then by item, with a table of positions by item index.
///
/// `peek` is O(1); `push`, `pop`, `remove` and `update` are O(log n); nothing allocates after
/// [`reserve`](Self::reserve).
///
/// Keys of schedulers mostly arrive in ascending order: now + a latency, a clock + a request. Such an entry is appended to
/// a *run*, a ring that is sorted by construction, in O(1), and taken from its front in O(1). What arrives out of order
/// goes to a heap, and the first is the lesser of the two firsts. So no order of arrival costs more than the heap,
/// and the usual one costs nothing. The heap is an implicit one (Williams 1964) with several children a
/// node, as in Johnson's d-heaps (1975): flatter than a binary heap, and the children of a node lie side by side.
#[derive(Debug, Clone)]
pub struct IndexedHeap<K, T = TaskKey> {
    entries: Vec<Entry<K, T>>,
    run: Run<K, T>,
    position: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry<K, T> {
    key: K,
    item: T,
}

impl<K: Ord + Copy, T: QueueItem> Entry<K, T> {
    /// Lexicographic order without a jump: the outcome is random, so a jump would be mispredicted half the time.
    #[inline(always)]
    fn before(&self, other: &Self) -> bool {
        (self.key < other.key) | ((self.key == other.key) & (self.item < other.item))
    }
}

impl<K, T> Default for IndexedHeap<K, T> {
    fn default() -> Self {
        IndexedHeap { entries: Vec::new(), run: Run::default(), position: Vec::new() }
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
        if let Some(mut run) = self.run.larger(indices) {
            for entry in self.run.iter_back().collect::<Vec<_>>().into_iter().rev() {
                let slot = run.append(*entry).expect("the larger run has room for the entries of the smaller");
                self.position[entry.item.index()] = slot | IN_RUN;
            }
            self.run = run;
        }
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len() + self.run.live as usize
    }

    /// Whether there is no item.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&self, position: u32) -> Option<&Entry<K, T>> {
        if position & IN_RUN == 0 {
            self.entries.get(position as usize)
        } else if position == ABSENT {
            None
        } else {
            self.run.slots.get((position & !IN_RUN) as usize)
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

    /// The item with the lowest key.
    #[inline]
    pub fn peek(&self) -> Option<(K, T)> {
        let first = match (self.run.front(), self.entries.first()) {
            (Some(run), Some(heap)) => {
                if heap.before(run) {
                    heap
                } else {
                    run
                }
            }
            (run, heap) => run.or(heap)?,
        };
        Some((first.key, first.item))
    }

    /// Queues `item`. An item of this index that is queued already makes place for it.
    #[inline]
    pub fn push(&mut self, item: T, key: K) {
        let index = item.index();
        if index >= self.position.len() {
            self.position.resize(index + 1, ABSENT);
        }
        let entry = Entry { key, item };
        match self.position[index] {
            ABSENT => {}
            at if at & IN_RUN == 0 => return self.settle(at as usize, entry),
            at => self.run.take(at & !IN_RUN),
        }
        match self.run.append(entry) {
            Some(slot) => self.position[index] = slot | IN_RUN,
            None => {
                self.entries.push(entry);
                self.sift_up(self.entries.len() - 1, entry);
            }
        }
    }

    /// Takes out the item with the lowest key.
    #[inline]
    pub fn pop(&mut self) -> Option<(K, T)> {
        let run = self.run.front().copied();
        match (run, self.entries.first()) {
            (Some(run), heap) if heap.is_none_or(|heap| !heap.before(&run)) => {
                self.position[run.item.index()] = ABSENT;
                self.run.pop_front();
                Some((run.key, run.item))
            }
            (_, Some(&top)) => {
                self.take(0);
                Some((top.key, top.item))
            }
            (_, None) => None,
        }
    }

    /// Takes out `item`, which may stand anywhere.
    pub fn remove(&mut self, item: T) -> Option<K> {
        let at = self.find(item)?;
        let key = self.entry(at)?.key;
        if at & IN_RUN == 0 {
            self.take(at as usize);
        } else {
            self.position[item.index()] = ABSENT;
            self.run.take(at & !IN_RUN);
        }
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
        self.run.iter_back().chain(self.entries.iter().rev()).map(|entry| (entry.key, entry.item))
    }

    /// Takes out of the heap what stands at `at` and lets the last entry fill the hole.
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

/// A ring of entries in ascending order. Those taken out of the middle leave gaps, which hold [`QueueItem::NONE`]; the first
/// and the last entry are never gaps.
#[derive(Debug, Clone)]
struct Run<K, T> {
    /// As many as have ever been used, at most the capacity.
    slots: Vec<Entry<K, T>>,
    /// Numbers of the first entry and behind the last one; a number's low bits are its slot.
    head: u32,
    tail: u32,
    /// Number of slots, less one; a power of two, less one.
    mask: u32,
    /// Entries that are not gaps.
    live: u32,
}

impl<K, T> Default for Run<K, T> {
    fn default() -> Self {
        Run { slots: Vec::new(), head: 0, tail: 0, mask: 0, live: 0 }
    }
}

impl<K: Ord + Copy, T: QueueItem> Run<K, T> {
    /// An empty run with room for as many entries, unless this one has it. Memory that is not used is not touched.
    fn larger(&self, entries: usize) -> Option<Self> {
        let room = entries.next_power_of_two().min(1 << 30);
        let enough = room <= self.slots.capacity().min(self.mask as usize + 1);
        (!enough).then(|| Run { slots: Vec::with_capacity(room), mask: room as u32 - 1, ..Run::default() })
    }

    #[inline]
    fn front(&self) -> Option<&Entry<K, T>> {
        if self.live == 0 { None } else { self.slots.get((self.head & self.mask) as usize) }
    }

    /// Appends the entry and answers its slot, unless it belongs before the last one or there is no room.
    #[inline]
    fn append(&mut self, entry: Entry<K, T>) -> Option<u32> {
        if self.live == 0 {
            (self.head, self.tail) = (0, 0);
        } else if entry.before(self.slots.get((self.tail.wrapping_sub(1) & self.mask) as usize)?) {
            return None;
        }
        if self.tail.wrapping_sub(self.head) > self.mask {
            return None;
        }
        let slot = self.tail & self.mask;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = entry;
        } else if self.slots.len() < self.slots.capacity() {
            self.slots.push(entry);
        } else {
            return None;
        }
        self.tail = self.tail.wrapping_add(1);
        self.live += 1;
        Some(slot)
    }

    #[inline]
    fn pop_front(&mut self) {
        self.live -= 1;
        self.head = self.head.wrapping_add(1);
        if self.live > 0 {
            while self.is_gap(self.head) {
                self.head = self.head.wrapping_add(1);
            }
        }
    }

    #[inline]
    fn is_gap(&self, number: u32) -> bool {
        self.slots.get((number & self.mask) as usize).is_none_or(|entry| entry.item == T::NONE)
    }

    /// Takes out the entry in `slot`.
    fn take(&mut self, slot: u32) {
        if slot == self.head & self.mask {
            return self.pop_front();
        }
        self.slots[slot as usize].item = T::NONE;
        self.live -= 1;
        while self.is_gap(self.tail.wrapping_sub(1)) {
            self.tail = self.tail.wrapping_sub(1);
        }
    }

    /// The entries from the last to the first.
    fn iter_back(&self) -> impl Iterator<Item = &Entry<K, T>> {
        let count = if self.live == 0 { 0 } else { self.tail.wrapping_sub(self.head) };
        (1..=count)
            .filter_map(|back| self.slots.get((self.tail.wrapping_sub(back) & self.mask) as usize))
            .filter(|entry| entry.item != T::NONE)
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
