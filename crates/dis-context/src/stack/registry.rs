//! Which pools exist, for the overflow handler: a fixed table that a signal handler can read at any moment.
//!
//! Each entry is guarded by a sequence number: odd while it is being written, changed by every write.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::error::StackError;
use super::geometry::{Fault, Geometry};

/// How many pools may exist at a time.
const LIMIT: usize = 128;

struct Entry {
    sequence: AtomicUsize,
    /// Base, guard, size, slots; slots = 0 marks a free entry.
    words: [AtomicUsize; 4],
}

static TABLE: [Entry; LIMIT] =
    [const { Entry { sequence: AtomicUsize::new(0), words: [const { AtomicUsize::new(0) }; 4] } }; LIMIT];

/// Serialises writers; readers do not take it.
static WRITERS: Mutex<()> = Mutex::new(());

impl Entry {
    fn write(&self, words: [usize; 4]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// The geometry, or `None` for an entry that is free or changing: a pool that is being made or dropped has no
    /// stack that could overflow.
    fn read(&self) -> Option<Geometry> {
        let before = self.sequence.load(Ordering::Acquire);
        let [base, guard, size, slots] = [0, 1, 2, 3].map(|i: usize| self.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        (before == after && before.is_multiple_of(2) && slots != 0).then_some(Geometry { base, guard, size, slots })
    }
}

/// Enters a pool; returns its place in the table.
pub(super) fn add(g: &Geometry) -> Result<usize, StackError> {
    let _writer = WRITERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let free = TABLE.iter().position(|entry| entry.words[3].load(Ordering::Relaxed) == 0);
    let place = free.ok_or(StackError::TooManyPools { limit: LIMIT })?;
    TABLE[place].write([g.base, g.guard, g.size, g.slots]);
    Ok(place)
}

/// Removes the pool at `place`.
pub(super) fn remove(place: usize) {
    let _writer = WRITERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    TABLE[place].write([0; 4]);
}

/// Finds the stack of any pool that an address belongs to. Async-signal-safe.
pub(crate) fn locate(address: usize) -> Option<Fault> {
    TABLE.iter().find_map(|entry| entry.read()?.locate(address))
}
