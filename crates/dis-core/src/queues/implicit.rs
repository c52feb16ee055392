//! An implicit heap with a table of positions.

use alloc::vec::Vec;
use core::hint::select_unpredictable;

use super::QueueItem;
use super::entry::{Entry, HeapKey};

/// Children of a node. Of 2, 4 and 8, 4 is the fastest at 100 to 1,000 entries and within a tenth of the fastest
/// elsewhere: a level costs two dependent comparisons, and siblings of 16 bytes fill a cache line.
const ARITY: usize = 4;

/// Entries in an array whose order is a tree (Williams 1964) with four children a node, as in Johnson's d-heaps (1975):
/// flatter than a binary heap, and the children of a node lie side by side.
///
/// `pop` leaves a hole at the root and lets the next call fill it. In a scheduler that is mostly the `push` of the task
/// that has been running; it goes straight down from the root, and the last entry stays where it is.
#[derive(Debug, Clone)]
pub(super) struct ImplicitHeap<K, T> {
    entries: Vec<Entry<K, T>>,
    /// The first of `entries` has been taken out and is not there any more.
    hole: bool,
    /// Where the item of each index stands; for items that are here.
    position: Vec<u32>,
}

impl<K, T> Default for ImplicitHeap<K, T> {
    fn default() -> Self {
        ImplicitHeap { entries: Vec::new(), hole: false, position: Vec::new() }
    }
}

impl<K: HeapKey, T: QueueItem> ImplicitHeap<K, T> {
    pub(super) fn reserve(&mut self, indices: usize) {
        // Room only: the tables grow within it as items come, so memory that nothing needs is never touched.
        self.position.reserve(indices.saturating_sub(self.position.len()));
        // With a hole there may be one entry more than there are items.
        self.entries.reserve((indices + 1).saturating_sub(self.entries.len()));
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() == usize::from(self.hole)
    }

    #[inline(always)]
    pub(super) fn first(&self) -> Option<Entry<K, T>> {
        match self.hole {
            true => least(&self.entries, 1).map(|(_, entry)| entry),
            false => self.entries.first().copied(),
        }
    }

    /// Queues an item that is not here.
    pub(super) fn push(&mut self, entry: Entry<K, T>) {
        let index = entry.item.index();
        if index >= self.position.len() {
            self.position.resize(index + 1, 0);
        }
        if core::mem::take(&mut self.hole) {
            self.sift_down(0, entry);
        } else {
            self.entries.push(entry);
            self.sift_up(self.entries.len() - 1, entry);
        }
    }

    pub(super) fn pop(&mut self) {
        self.fill_hole();
        self.hole = !self.entries.is_empty();
    }

    /// Takes out an item that is here.
    pub(super) fn remove(&mut self, item: T) {
        let at = self.position[item.index()] as usize;
        // A hole at the root may stay: what stood there went before all others and stops them like a root.
        if let Some(last) = self.entries.pop()
            && at < self.entries.len()
        {
            self.settle(at, last);
        }
    }

    /// The entries, those with high keys rather first.
    pub(super) fn iter_late_first(&self) -> impl Iterator<Item = Entry<K, T>> + '_ {
        self.entries[usize::from(self.hole)..].iter().rev().copied()
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
        (select_unpredictable(second, two.0, one.0), one.1.or(two.1, second))
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
