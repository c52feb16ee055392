//! Where a task leaves what was measured of it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use once_cell::race::OnceBox;

use crate::report::{Deadlines, Record};

/// Where a task shows how far it is, and leaves its record at its end.
#[derive(Debug, Default)]
pub struct Slot {
    /// Passes completed so far.
    pub jobs: AtomicU64,
    /// Deadlines missed so far by a task that paces itself.
    pub misses: AtomicU64,
    /// How the jobs of a periodic task fared so far.
    pub deadlines: Deadlines,
    /// It waits for a release, as far as it is concerned: it can be ended there.
    pub between_jobs: AtomicBool,
    /// Written once, by the task itself.
    record: OnceBox<Record>,
}

impl Slot {
    /// Whether the task has left its record.
    pub fn is_done(&self) -> bool {
        self.record.get().is_some()
    }

    /// Whether nothing is left to be waited for.
    pub fn is_at_rest(&self) -> bool {
        self.is_done() || self.between_jobs.load(Ordering::Acquire)
    }

    /// The record; of a task that has left none what is known from outside. `missed` is what [`Deadlines::missed`]
    /// says of it.
    pub fn take(&self, missed: u64) -> Record {
        let mut record = self.record.get().cloned().unwrap_or_else(|| Record {
            jobs: self.jobs.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            ..Record::default()
        });
        record.misses += missed;
        record
    }

    pub(super) fn leave(&self, record: Record) {
        // A task ends once.
        let _ = self.record.set(Box::new(record));
    }
}
