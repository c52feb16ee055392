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
/// Most tasks that one CPU can own; few in the models, which fill one.
pub(super) const MAX_KEYS: usize = if cfg!(feature = "shuttle") { 64 } else { 1 << KEY_BITS };
const FIRST_CHUNK_BITS: u32 = 10;
const CHUNKS: usize = (32 - FIRST_CHUNK_BITS) as usize;

/// The mark of a task that has ended and is still there.
const ENDED: u32 = 1;

/// The table. It grows in chunks of doubling size, so a lookup is two loads and no lock, and nothing moves.
///
/// A word is `generation (32) | cpu (10) | key (22)`. A word whose generation differs from an id's is another task's
/// or nobody's. Words are written under the lock of the CPU that owns the task (both locks, for a migration).
///
/// Slots whose tasks are gone form a stack (Treiber 1986) whose head carries a count of changes, so that a head that is
/// the same again after being taken and put back is told from one that never changed.
pub(super) struct Homes {
    chunks: [OnceBox<Vec<Slot>>; CHUNKS],
    /// Number of slots ever used.
    next: AtomicU32,
    /// Count of changes (32) and the first free slot plus one (32); 0 in the latter: none.
    free: AtomicU64,
    capacity: u32,
}

struct Slot {
    home: AtomicU64,
    /// The generation of its last task; 0 before the first.
    generation: AtomicU32,
    /// While it is free: the next free slot plus one. Before: [`ENDED`] once its task has ended.
    next: AtomicU32,
}

impl Homes {
    pub fn new(capacity: u32) -> Self {
        let chunks = core::array::from_fn(|_| OnceBox::new());
        Homes { chunks, next: AtomicU32::new(0), free: AtomicU64::new(0), capacity }
    }

    /// An id that no task has had; `None` beyond the capacity. Allocates when the table grows, see [`grow`](Self::grow).
    pub fn fresh_id(&self) -> Option<TaskId> {
        let number = match self.pop_free() {
            Some(number) => number,
            None => self
                .next
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < self.capacity).then_some(n + 1))
                .ok()?,
        };
        let slot = self.slot(number);
        // The slot is the caller's alone until its id is cleared.
        let generation = slot.generation.load(Ordering::Relaxed) + 1;
        slot.generation.store(generation, Ordering::Relaxed);
        slot.next.store(0, Ordering::Relaxed);
        Some(TaskId::from_parts(number, generation))
    }

    fn pop_free(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let number = (head as u32).checked_sub(1)?;
            let next = self.slot(number).next.load(Ordering::Relaxed);
            let after = changed(head) | u64::from(next);
            match self.free.compare_exchange_weak(head, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(now) => head = now,
            }
        }
    }

    /// Allocates the table for the first `slots` slots, so that handing them out does not.
    pub fn grow(&self, slots: u32) {
        if let Some(last) = slots.checked_sub(1) {
            for chunk in 0..=position(last).0 {
                self.chunk(chunk);
            }
        }
    }

    /// Where `id` lives, unless its slot belongs to another generation.
    pub fn get(&self, id: TaskId) -> Option<Home> {
        let (chunk, offset) = position(id.slot());
        let word = self.chunks[chunk].get()?.get(offset)?.home.load(Ordering::Acquire);
        (word >> 32 == u64::from(id.generation()) && id.generation() != 0).then_some(Home {
            cpu: (word >> KEY_BITS) as usize & ((1 << CPU_BITS) - 1),
            key: TaskKey(word as u32 & ((1 << KEY_BITS) - 1)),
        })
    }

    /// The ids of those who live, in the order of their slots. One that is born or dies meanwhile may be missed, one that moves is
    /// not.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        (0..self.next.load(Ordering::Acquire)).filter_map(|number| {
            let word = self.slot(number).home.load(Ordering::Acquire);
            (word != 0).then(|| TaskId::from_parts(number, (word >> 32) as u32))
        })
    }

    /// Records where `id` lives.
    pub fn set(&self, id: TaskId, home: Home) {
        let word = u64::from(id.generation()) << 32 | (home.cpu as u64) << KEY_BITS | u64::from(home.key.0);
        self.slot(id.slot()).home.store(word, Ordering::Release);
    }

    /// Marks a live task as one that has ended.
    pub fn mark_ended(&self, id: TaskId) {
        self.slot(id.slot()).next.store(ENDED, Ordering::Release);
    }

    /// Whether a task that was once live is marked, or gone.
    pub fn has_ended(&self, id: TaskId) -> bool {
        let slot = self.slot(id.slot());
        // In this order: a slot that is still its own after the look at the mark was so before.
        let marked = slot.next.load(Ordering::Acquire) == ENDED;
        marked || self.get(id).is_none()
    }

    /// Records that `id` is gone; the slot's next task is of the next generation. A slot whose generations are used up
    /// is retired.
    pub fn clear(&self, id: TaskId) {
        let slot = self.slot(id.slot());
        slot.home.store(0, Ordering::Release);
        if id.generation() == u32::MAX {
            return;
        }
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            let after = changed(head) | u64::from(id.slot() + 1);
            match self.free.compare_exchange_weak(head, after, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn slot(&self, number: u32) -> &Slot {
        let (chunk, offset) = position(number);
        &self.chunk(chunk)[offset]
    }

    fn chunk(&self, chunk: usize) -> &[Slot] {
        let size = 1usize << (chunk as u32 + FIRST_CHUNK_BITS);
        let empty = || Slot { home: AtomicU64::new(0), generation: AtomicU32::new(0), next: AtomicU32::new(0) };
        self.chunks[chunk].get_or_init(|| Box::new(core::iter::repeat_with(empty).take(size).collect()))
    }
}

/// The head's count of changes, one up, without a slot.
const fn changed(head: u64) -> u64 {
    (head & !0xffff_ffff).wrapping_add(1 << 32)
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
        homes.grow(2);
        let old = homes.fresh_id().unwrap();
        assert_eq!(homes.get(old), None);
        let home = Home { cpu: 1023, key: TaskKey((1 << 22) - 1) };
        homes.set(old, home);
        assert_eq!(homes.get(old), Some(home));
        homes.clear(old);
        assert_eq!(homes.get(old), None);
        let new = homes.fresh_id().unwrap();
        assert_eq!((new.slot(), new.generation()), (old.slot(), old.generation() + 1));
        homes.set(new, home);
        assert_eq!((homes.get(old), homes.get(new)), (None, Some(home)));
        assert_eq!(homes.get(TaskId::IDLE), None);
        assert_eq!(homes.get(TaskId::INVALID), None);
    }

    #[test]
    fn slots_are_used_again_up_to_the_capacity() {
        let homes = Homes::new(3);
        let ids: std::vec::Vec<_> = core::iter::from_fn(|| homes.fresh_id()).collect();
        assert_eq!(ids.len(), 3);
        ids.iter().for_each(|&id| homes.clear(id));
        let again: std::vec::Vec<_> = core::iter::from_fn(|| homes.fresh_id()).collect();
        assert_eq!(
            again.iter().map(|id| (id.slot(), id.generation())).collect::<std::vec::Vec<_>>(),
            [(2, 2), (1, 2), (0, 2)]
        );
    }
}
