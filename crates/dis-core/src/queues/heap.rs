//! A priority queue whose items can be found, moved and removed by index.

use alloc::vec::Vec;

use super::QueueItem;
use super::entry::{Entry, HeapKey};
use super::implicit::ImplicitHeap;
use crate::policy::TaskKey;

/// Most runs.
const RUNS: usize = 16;

/// End of a run.
const NIL: u32 = u32::MAX;
/// Instead of a predecessor: the item stands in the heap.
const IN_HEAP: u32 = u32::MAX - 1;

/// A minimum queue of (key, item), ordered by key and then by the item's rank, with a table by item index.
///
/// `peek` is O(1); `push`, `pop`, `remove` and `update` are O(log n); nothing allocates after
/// [`reserve`](Self::reserve).
///
/// Keys of schedulers mostly arrive in ascending order: now + a latency, a clock + a request. Such an entry is appended
/// to a *run*, a list that is sorted by construction, in O(1), and taken from its front in O(1). Where there are several
/// latencies there are several ascending sequences, so there may be several runs; an entry goes to the first that it
/// does not break, and one that goes before all is prepended. The first entry of all is the least of the runs' firsts. What fits nowhere goes to a heap, so no order
/// of arrival costs more than that, and the usual ones cost nothing.
///
/// With k different latencies, k runs suffice: of any descending sequence of deadlines each has a different latency, and
/// the first run that fits, in the order of their last entries, is a chain decomposition as in patience sorting.
#[derive(Debug, Clone)]
pub struct IndexedHeap<K, T = TaskKey> {
    rows: Vec<Row<K, T>>,
    /// None is empty. As long as nothing is removed from their ends, the later ones end earlier.
    runs: Vec<Run<K, T>>,
    /// The runs' numbers in the order of their first entries.
    order: [u8; RUNS],
    heap: ImplicitHeap<K, T>,
    /// Where the first entry of all stands.
    first: Place,
    len: usize,
}

/// A queued item and its neighbours in its run.
#[derive(Debug, Clone, Copy)]
struct Row<K, T> {
    /// Its item is [`QueueItem::NONE`] if none of this index is queued.
    entry: Entry<K, T>,
    prev: u32,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Run<K, T> {
    first: Entry<K, T>,
    last: Entry<K, T>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Nowhere,
    /// In the run of this number.
    Run(u8),
    Heap,
}

impl<K, T> Default for IndexedHeap<K, T> {
    fn default() -> Self {
        IndexedHeap {
            rows: Vec::new(),
            runs: Vec::new(),
            order: [0; RUNS],
            heap: ImplicitHeap::default(),
            first: Place::Nowhere,
            len: 0,
        }
    }
}

impl<K: HeapKey, T: QueueItem> IndexedHeap<K, T> {
    /// An empty heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for items with an index below `indices`.
    pub fn reserve(&mut self, indices: usize) {
        self.rows.reserve(indices.saturating_sub(self.rows.len()));
        self.runs.reserve(RUNS - self.runs.len());
        self.heap.reserve(indices);
    }

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `item` is queued.
    pub fn contains(&self, item: T) -> bool {
        self.key(item).is_some()
    }

    /// The key of a queued item.
    pub fn key(&self, item: T) -> Option<K> {
        self.rows.get(item.index()).filter(|row| row.entry.item == item).map(|row| row.entry.key)
    }

    /// The item with the lowest key.
    #[inline(always)]
    pub fn peek(&self) -> Option<(K, T)> {
        self.first().map(|first| (first.key, first.item))
    }

    #[inline(always)]
    fn first(&self) -> Option<Entry<K, T>> {
        match self.first {
            Place::Nowhere => None,
            Place::Run(run) => self.runs.get(usize::from(run)).map(|run| run.first),
            Place::Heap => self.heap.first(),
        }
    }

    /// Queues `item`. An item of this index that is queued already makes place for it.
    #[inline(always)]
    pub fn push(&mut self, item: T, key: K) {
        let entry = Entry { key, item };
        let at = item.index();
        match self.rows.get(at) {
            Some(row) if row.entry.item == T::NONE => {}
            Some(_) => self.take(at),
            None => self.cover(at, key),
        }
        self.len += 1;
        let Some(run) = self.runs.iter_mut().find(|run| !entry.before(&run.last)) else {
            return if self.len == 1 { self.push_alone(entry) } else { self.push_apart(entry) };
        };
        let prev = core::mem::replace(&mut run.last, entry).item.index();
        self.rows[prev].next = at as u32;
        self.rows[at] = Row { entry, prev: prev as u32, next: NIL };
    }

    /// Makes rows up to `at`.
    #[cold]
    fn cover(&mut self, at: usize, key: K) {
        self.rows.resize(at + 1, Row { entry: Entry { key, item: T::NONE }, prev: NIL, next: NIL });
    }

    /// Queues the only entry.
    #[inline(always)]
    fn push_alone(&mut self, entry: Entry<K, T>) {
        self.rows[entry.item.index()] = Row { entry, prev: NIL, next: NIL };
        self.runs.push(Run { first: entry, last: entry });
        self.order[0] = 0;
        self.first = Place::Run(0);
    }

    /// Queues an entry that goes before the last of every run.
    fn push_apart(&mut self, entry: Entry<K, T>) {
        let at = entry.item.index();
        let first = self.first().is_none_or(|first| entry.before(&first));
        if let (true, Place::Run(run)) = (first, self.first) {
            // It goes before all: then it may as well be prepended to this run.
            let next = core::mem::replace(&mut self.runs[usize::from(run)].first, entry).item.index();
            self.rows[next].prev = at as u32;
            self.rows[at] = Row { entry, prev: NIL, next: next as u32 };
            return;
        }
        let run = self.runs.len();
        self.rows[at] = Row { entry, prev: if run < RUNS { NIL } else { IN_HEAP }, next: NIL };
        if run < RUNS {
            self.runs.push(Run { first: entry, last: entry });
            self.order[run] = run as u8;
            // Towards the front, to where it belongs.
            let firsts = |&number: &u8| entry.before(&self.runs[usize::from(number)].first);
            let later = self.order[..run].iter().rev().take_while(|number| firsts(number)).count();
            self.order[run - later..=run].rotate_right(1);
        } else {
            self.heap.push(entry);
        }
        self.look();
    }

    /// Takes out the item with the lowest key.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(K, T)> {
        let first = self.first()?;
        let row = &mut self.rows[first.item.index()];
        row.entry.item = T::NONE;
        let next = row.next;
        self.len -= 1;
        if let (0, Place::Run(_)) = (self.len, self.first) {
            self.runs.clear();
            self.first = Place::Nowhere;
            return Some((first.key, first.item));
        }
        match self.first {
            Place::Run(_) => self.advance(0, next),
            _ => self.heap.pop(),
        }
        self.look();
        Some((first.key, first.item))
    }

    /// [Queues](Self::push) `item` and [takes out](Self::pop) the first.
    #[inline(always)]
    pub fn exchange(&mut self, item: T, key: K) -> Option<(K, T)> {
        let (entry, at) = (Entry { key, item }, item.index());
        // There is one run and nothing else, and it goes to its end: what is first, and how many there are, needs no look.
        if let [run] = self.runs.as_mut_slice()
            && self.heap.is_empty()
            && !entry.before(&run.last)
            && self.rows.get(at).is_some_and(|row| row.entry.item == T::NONE)
        {
            let prev = core::mem::replace(&mut run.last, entry).item.index();
            self.rows[prev].next = at as u32;
            self.rows[at] = Row { entry, prev: prev as u32, next: NIL };
            let first = run.first;
            let row = &mut self.rows[first.item.index()];
            row.entry.item = T::NONE;
            let next = row.next as usize;
            let row = &mut self.rows[next];
            row.prev = NIL;
            run.first = row.entry;
            return Some((first.key, first.item));
        }
        self.push(item, key);
        self.pop()
    }

    /// The first of the run at `place` in the order is gone; `next` followed.
    #[inline(always)]
    fn advance(&mut self, place: usize, next: u32) {
        let number = self.order[place];
        let count = self.runs.len();
        let Some(row) = self.rows.get_mut(next as usize) else {
            self.runs.remove(usize::from(number));
            self.order[place..count].rotate_left(1);
            self.order[..count - 1].iter_mut().for_each(|other| *other -= u8::from(*other > number));
            return;
        };
        row.prev = NIL;
        let first = row.entry;
        self.runs[usize::from(number)].first = first;
        // Towards the back, to where it belongs.
        let mut at = place;
        while let Some(&other) = self.order[..count].get(at + 1)
            && self.runs[usize::from(other)].first.before(&first)
        {
            self.order[at] = other;
            at += 1;
        }
        self.order[at] = number;
    }

    /// Looks for the first entry of all.
    #[inline(always)]
    fn look(&mut self) {
        let run = self.order[0];
        self.first = match (self.runs.get(usize::from(run)), self.heap.first()) {
            (None, None) => Place::Nowhere,
            (Some(run), Some(heap)) if heap.before(&run.first) => Place::Heap,
            (Some(_), _) => Place::Run(run),
            (None, Some(_)) => Place::Heap,
        };
    }

    /// Takes out `item`, which may stand anywhere.
    pub fn remove(&mut self, item: T) -> Option<K> {
        let key = self.key(item)?;
        self.take(item.index());
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
        let run = |run: &Run<K, T>| {
            let before = |row: &&Row<K, T>| self.rows.get(row.prev as usize);
            core::iter::successors(self.rows.get(run.last.item.index()), before).map(|row| row.entry)
        };
        self.runs.iter().flat_map(run).chain(self.heap.iter_late_first()).map(|entry| (entry.key, entry.item))
    }

    /// Takes out the item of index `at`, which is queued.
    fn take(&mut self, at: usize) {
        let Row { entry, prev, next } = self.rows[at];
        self.rows[at].entry.item = T::NONE;
        self.len -= 1;
        if prev == IN_HEAP {
            self.heap.remove(entry.item);
        } else if prev == NIL {
            let begins = |&run: &u8| self.runs[usize::from(run)].first.item == entry.item;
            if let Some(place) = self.order[..self.runs.len()].iter().position(begins) {
                self.advance(place, next);
            }
        } else {
            let before = &mut self.rows[prev as usize];
            before.next = next;
            let before = before.entry;
            if let Some(after) = self.rows.get_mut(next as usize) {
                after.prev = prev;
            } else if let Some(run) = self.runs.iter_mut().find(|run| run.last.item == entry.item) {
                run.last = before;
            }
        }
        self.look();
    }
}
