//! Counters of lanes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Changed by the lane's server alone, but for those of displaced ones.
#[derive(Default)]
pub(crate) struct LaneCounters {
    pub(crate) polls: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) longest: AtomicU64,
    pub(crate) stolen: AtomicU64,
    pub(crate) displaced: AtomicU64,
    pub(crate) displaced_busy: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl LaneCounters {
    /// A poll has held the worker for so long, ns.
    #[inline]
    pub(crate) fn polled(&self, held: u64) {
        add(&self.polls, 1);
        add(&self.busy, held);
        if held > self.longest.load(Ordering::Relaxed) {
            self.longest.store(held, Ordering::Relaxed);
        }
    }

    /// The server has taken tasks from another lane.
    pub(crate) fn stolen(&self, tasks: u64) {
        add(&self.stolen, tasks);
    }

    /// A server was displaced.
    pub(crate) fn displaced(&self) {
        add(&self.displaced, 1);
    }

    /// The poll of a displaced server has ended.
    pub(crate) fn overran(&self, held: u64) {
        self.displaced_busy.fetch_add(held, Ordering::Relaxed);
        self.longest.fetch_max(held, Ordering::Relaxed);
    }
}
