//! A sorted run of entries.

use alloc::vec::Vec;

use super::QueueItem;
use super::entry::{Entry, HeapKey};

/// A ring of entries in ascending order. Those taken out of the middle leave gaps, which hold [`QueueItem::NONE`]; the
/// first and the last entry are never gaps.
#[derive(Debug, Clone)]
pub(super) struct Run<K, T> {
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

impl<K: HeapKey, T: QueueItem> Run<K, T> {
    /// Number of entries.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.live as usize
    }

    /// Makes room for as many entries. Where they stand changes, if the answer is true. Memory that is not used is not
    /// touched.
    pub(super) fn reserve(&mut self, entries: usize) -> bool {
        let room = entries.next_power_of_two().min(1 << 30);
        if room <= self.slots.capacity().min(self.mask as usize + 1) {
            return false;
        }
        let mut slots = Vec::with_capacity(room);
        slots.extend(self.iter());
        (self.head, self.tail) = (0, slots.len() as u32);
        self.mask = room as u32 - 1;
        self.slots = slots;
        true
    }

    /// What stands in `slot`: an entry, or what is left of one that has been taken out.
    pub(super) fn slot(&self, slot: u32) -> Option<&Entry<K, T>> {
        self.slots.get(slot as usize)
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&Entry<K, T>> {
        if self.live == 0 { None } else { self.slot(self.head & self.mask) }
    }

    /// Appends the entry and answers its slot, unless it belongs before the last one or there is no room.
    #[inline]
    pub(super) fn append(&mut self, entry: Entry<K, T>) -> Option<u32> {
        if self.live == 0 {
            (self.head, self.tail) = (0, 0);
        } else if entry.before(self.slot(self.tail.wrapping_sub(1) & self.mask)?) {
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
    pub(super) fn pop_front(&mut self) {
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
        self.slot(number & self.mask).is_none_or(|entry| entry.item == T::NONE)
    }

    /// Takes out the entry in `slot`.
    pub(super) fn take(&mut self, slot: u32) {
        if slot == self.head & self.mask {
            return self.pop_front();
        }
        self.slots[slot as usize].item = T::NONE;
        self.live -= 1;
        while self.is_gap(self.tail.wrapping_sub(1)) {
            self.tail = self.tail.wrapping_sub(1);
        }
    }

    /// The entries from the first to the last.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Entry<K, T>> {
        let count = if self.live == 0 { 0 } else { self.tail.wrapping_sub(self.head) };
        (0..count)
            .filter_map(|number| self.slot(self.head.wrapping_add(number) & self.mask).copied())
            .filter(|entry| entry.item != T::NONE)
    }
}
