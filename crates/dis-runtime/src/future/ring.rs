//! A lane's queue: a bounded ring with one producer and many consumers, first in, first out.
//!
//! The producer is whoever carries the lane's worker, inside the runtime, so there is one at a time. Anybody may take from
//! the front. The algorithm is that of Go's run queues: a consumer reads what it wants to take and then moves `head` by
//! one compare-exchange; as the producer only overwrites what `head` has passed, what it has read is right if the exchange succeeds.
//! Counters of 64 bits do not come round.

use std::ptr;

use crate::atomics::{AtomicPtr, AtomicU64, Ordering, RING};

/// Tasks that a ring holds. The rest goes to the queue that all workers share.
pub(crate) const SIZE: usize = RING;

/// Tasks that are moved at a time, at most.
pub(crate) const BATCH: usize = if RING / 2 < 128 { RING / 2 } else { 128 };

/// A task of [`async_task`] in raw form.
pub(crate) type Raw = *mut ();

/// See the module.
pub(crate) struct Ring {
    head: AtomicU64,
    tail: AtomicU64,
    slots: Box<[AtomicPtr<()>]>,
}

impl Ring {
    pub(crate) fn new() -> Ring {
        Ring {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            slots: (0..SIZE).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
        }
    }

    fn slot(&self, at: u64) -> &AtomicPtr<()> {
        &self.slots[at as usize % SIZE]
    }

    /// How many are in it: exact for the producer while nobody takes, else momentary.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Acquire).saturating_sub(head) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `task`; gives it back if the ring is full. For the producer.
    #[inline]
    pub(crate) fn push(&self, task: Raw) -> Result<(), Raw> {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail - self.head.load(Ordering::Acquire) >= SIZE as u64 {
            return Err(task);
        }
        self.slot(tail).store(task, Ordering::Relaxed);
        self.tail.store(tail + 1, Ordering::Release);
        Ok(())
    }

    /// Takes the first.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Raw> {
        loop {
            let head = self.head.load(Ordering::Acquire);
            if self.tail.load(Ordering::Acquire) <= head {
                return None;
            }
            let task = self.slot(head).load(Ordering::Relaxed);
            if self.head.compare_exchange(head, head + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(task);
            }
        }
    }

    /// Takes half of what is there, rounded up, at most `out.len()`; how many.
    pub(crate) fn take_half(&self, out: &mut [Raw]) -> usize {
        loop {
            let head = self.head.load(Ordering::Acquire);
            let there = self.tail.load(Ordering::Acquire).saturating_sub(head);
            let count = there.div_ceil(2).min(out.len() as u64);
            if count == 0 {
                return 0;
            }
            for (slot, at) in out.iter_mut().zip(head..head + count) {
                *slot = self.slot(at).load(Ordering::Relaxed);
            }
            if self.head.compare_exchange(head, head + count, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return count as usize;
            }
        }
    }
}
