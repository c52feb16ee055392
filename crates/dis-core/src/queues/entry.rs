//! What an indexed heap holds.

use core::hint::select_unpredictable;

use super::QueueItem;
use crate::api::Timestamp;

/// A key of an [`IndexedHeap`](super::IndexedHeap): something that is ordered like a 64-bit number.
pub trait HeapKey: Copy {
    /// The number.
    fn to_bits(self) -> u64;

    /// Whether one entry goes before another. An entry's number is its key's number, followed by its item's rank.
    #[inline(always)]
    fn before(one: u128, other: u128) -> bool {
        one < other
    }
}

impl HeapKey for Timestamp {
    fn to_bits(self) -> u64 {
        self.as_nanos()
    }
}

impl HeapKey for u64 {
    fn to_bits(self) -> u64 {
        self
    }
}

/// An item and its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<K, T> {
    pub(super) key: K,
    pub(super) item: T,
}

impl<K: HeapKey, T: QueueItem> Entry<K, T> {
    /// Key and rank in one number: two such are compared in two instructions and without a jump, which would be
    /// mispredicted half the time.
    #[inline(always)]
    fn bits(&self) -> u128 {
        u128::from(self.key.to_bits()) << 64 | u128::from(self.item.rank())
    }

    /// `other` if so, else `self`; without a jump.
    #[inline(always)]
    pub(super) fn or(self, other: Self, so: bool) -> Self {
        Entry {
            key: select_unpredictable(so, other.key, self.key),
            item: select_unpredictable(so, other.item, self.item),
        }
    }

    #[inline(always)]
    pub(super) fn before(&self, other: &Self) -> bool {
        K::before(self.bits(), other.bits())
    }
}
