//! Where each task lives: one atomic word per slot of the task table.

use alloc::boxed::Box;
use alloc::vec::Vec;

use once_cell::race::OnceBox;

use crate::api::TaskId;
use crate::policy::TaskKey;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The place of a live task: the CPU whose lock protects it, and its key there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub cpu: usize,
    pub key: TaskKey,
}

const KEY_BITS: u32 = 22;
const CPU_BITS: u32 = 10;
/// Most tasks that one CPU can own.
pub(super) const MAX_KEYS: usize = 1 << KEY_BITS;
const FIRST_CHUNK_BITS: u32 = 10;
const CHUNKS: usize = (32 - FIRST_CHUNK_BITS) as usize;

/// The table. It grows in chunks of doubling size, so a lookup is two loads and no lock, and nothing moves.
///
/// A word is `generation (32) | cpu (10) | key (22)`. A word whose generation differs from an id's is another task's
/// or nobody's. Words are written under the lock of the CPU that owns the task (both locks, for a migration).
pub(super) struct Homes {
    chunks: [OnceBox<Vec<AtomicU64>>; CHUNKS],
    next: AtomicU32,
    capacity: u32,
}

impl Homes {
    pub fn new(capacity: u32) -> Self {
        Homes { chunks: core::array::from_fn(|_| OnceBox::new()), next: AtomicU32::new(0), capacity }
    }

    /// A slot that was never used; `None` beyond the capacity.
    pub fn fresh_slot(&self) -> Option<u32> {
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.capacity).then_some(n + 1)).ok()
    }

    /// Where `id` lives, unless its slot belongs to another generation.
    pub fn get(&self, id: TaskId) -> Option<Home> {
        let (chunk, offset) = position(id.slot());
        let word = self.chunks[chunk].get()?.get(offset)?.load(Ordering::Acquire);
        (word >> 32 == u64::from(id.generation()) && id.generation() != 0).then_some(Home {
            cpu: (word >> KEY_BITS) as usize & ((1 << CPU_BITS) - 1),
            key: TaskKey(word as u32 & ((1 << KEY_BITS) - 1)),
        })
    }

    /// Records where `id` lives.
    pub fn set(&self, id: TaskId, home: Home) {
        let word = u64::from(id.generation()) << 32 | (home.cpu as u64) << KEY_BITS | u64::from(home.key.0);
        self.word(id.slot()).store(word, Ordering::Release);
    }

    /// Records that `id` is gone; the slot's next task is of the next generation.
    pub fn clear(&self, id: TaskId) {
        self.word(id.slot()).store(0, Ordering::Release);
    }

    fn word(&self, slot: u32) -> &AtomicU64 {
        let (chunk, offset) = position(slot);
        let size = 1usize << (chunk as u32 + FIRST_CHUNK_BITS);
        let words = self.chunks[chunk]
            .get_or_init(|| Box::new(core::iter::repeat_with(|| AtomicU64::new(0)).take(size).collect()));
        &words[offset]
    }
}

/// Chunk `c` holds `1024 << c` words: slots `1024 * (2^c - 1)` and on.
fn position(slot: u32) -> (usize, usize) {
    let n = u64::from(slot) + (1 << FIRST_CHUNK_BITS);
    let chunk = n.ilog2() - FIRST_CHUNK_BITS;
    ((chunk as usize).min(CHUNKS - 1), (n - (1 << (chunk + FIRST_CHUNK_BITS))) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_map_to_distinct_words() {
        assert_eq!(position(0), (0, 0));
        assert_eq!(position(1023), (0, 1023));
        assert_eq!(position(1024), (1, 0));
        assert_eq!(position(3071), (1, 2047));
        assert_eq!(position(3072), (2, 0));
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let homes = Homes::new(2);
        let slot = homes.fresh_slot().unwrap();
        let (old, new) = (TaskId::from_parts(slot, 1), TaskId::from_parts(slot, 2));
        assert_eq!(homes.get(old), None);
        let home = Home { cpu: 1023, key: TaskKey((1 << 22) - 1) };
        homes.set(old, home);
        assert_eq!(homes.get(old), Some(home));
        assert_eq!(homes.get(new), None);
        homes.clear(old);
        assert_eq!(homes.get(old), None);
        assert_eq!(homes.get(TaskId::IDLE), None);
        assert_eq!(homes.get(TaskId::INVALID), None);
        assert!(homes.fresh_slot().is_some());
        assert_eq!(homes.fresh_slot(), None);
    }
}
