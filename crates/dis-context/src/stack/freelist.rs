//! Lock-free LIFO lists of slot indices.
//!
//! A spin lock would be as fast, but a task may be preempted anywhere, also between lock and unlock.
//!
//! A head is one word: the index of the first slot plus 1 (24 bits, 0 = empty) and a tag (40 bits) that every change
//! increments, so that a head which was seen, taken away and put back again is not mistaken for the same one. A link
//! is one word per slot: the next index plus 1, and the length of the list from this slot on, so that the length needs
//! no counter of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use super::map::Region;

const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// One link per slot, shared by all lists of a pool: a slot is on one list at most.
pub(super) struct Links {
    region: Region,
    slots: usize,
}

impl Links {
    /// Links for `slots` slots. The error is the error number.
    pub(super) fn new(slots: usize) -> Result<Self, i32> {
        Ok(Self { region: Region::new(slots * size_of::<AtomicU64>())?, slots })
    }

    #[inline]
    fn of(&self, index: u64) -> &AtomicU64 {
        debug_assert!((index as usize) < self.slots);
        // SAFETY: indices come from the pool and are below `slots`; the mapping is zeroed, aligned to a page, lives as
        // long as `self`, and is only ever accessed as atomics.
        unsafe { &*self.region.base().cast::<AtomicU64>().add(index as usize) }
    }

    /// The length of the list that starts at `first` (index plus 1). A stale answer is harmless: the tag has changed.
    #[inline]
    fn len_from(&self, first: u64) -> u64 {
        if first == 0 { 0 } else { self.of(first - 1).load(Ordering::Relaxed) >> INDEX_BITS }
    }
}

/// The head of a list.
pub(super) struct List(AtomicU64);

impl List {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The head that follows `head`, starting at `first` (index plus 1).
    #[inline]
    fn next_head(head: u64, first: u64) -> u64 {
        ((head >> INDEX_BITS).wrapping_add(1) << INDEX_BITS) | first
    }

    /// Puts `index` in front, unless the list has `limit` entries already. Returns its new length, or `None` if full.
    #[inline]
    pub(super) fn push(&self, links: &Links, index: usize, limit: usize) -> Option<usize> {
        let index = index as u64;
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let first = head & INDEX_MASK;
            let len = links.len_from(first);
            if len >= limit as u64 {
                return None;
            }
            links.of(index).store(((len + 1) << INDEX_BITS) | first, Ordering::Relaxed);
            let new = Self::next_head(head, index + 1);
            // Release: the link, and all that was done with the slot, is visible to whoever pops it.
            match self.0.compare_exchange_weak(head, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Some(len as usize + 1),
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes the first index.
    #[inline]
    pub(super) fn pop(&self, links: &Links) -> Option<usize> {
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let first = head & INDEX_MASK;
            if first == 0 {
                return None;
            }
            let next = links.of(first - 1).load(Ordering::Relaxed) & INDEX_MASK;
            let new = Self::next_head(head, next);
            match self.0.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some((first - 1) as usize),
                Err(seen) => head = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn last_in_first_out_with_a_limit() {
        let links = Links::new(8).unwrap();
        let list = List::new();
        assert_eq!(list.pop(&links), None);
        assert_eq!(list.push(&links, 3, 2), Some(1));
        assert_eq!(list.push(&links, 5, 2), Some(2));
        assert_eq!(list.push(&links, 7, 2), None);
        assert_eq!((list.pop(&links), list.pop(&links), list.pop(&links)), (Some(5), Some(3), None));
        assert_eq!(list.push(&links, 0, 1), Some(1));
    }

    #[test]
    fn no_index_is_held_twice_and_none_is_lost() {
        const N: usize = 16;
        let links = Links::new(N).unwrap();
        let lists = [List::new(), List::new()];
        (0..N).for_each(|i| assert!(lists[0].push(&links, i, N).is_some()));
        let held: Vec<AtomicBool> = (0..N).map(|_| AtomicBool::new(false)).collect();
        std::thread::scope(|s| {
            for t in 0..4 {
                let (links, lists, held) = (&links, &lists, &held);
                s.spawn(move || {
                    for round in 0..50_000 {
                        let Some(i) = lists[(t + round) % 2].pop(links) else { continue };
                        assert!(!held[i].swap(true, Ordering::Relaxed));
                        held[i].store(false, Ordering::Relaxed);
                        assert!(lists[round % 2].push(links, i, N).is_some());
                    }
                });
            }
        });
        let mut left: Vec<_> = lists.iter().flat_map(|l| std::iter::from_fn(|| l.pop(&links))).collect();
        left.sort_unstable();
        assert_eq!(left, (0..N).collect::<Vec<_>>());
    }
}
