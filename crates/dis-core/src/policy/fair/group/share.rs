//! What a group deserves on one CPU: its weight, split between the CPUs as its tasks are.

use super::weights::FRACTION;
use crate::sync::{AtomicU64, Ordering};

/// What the queues of one class on all CPUs know together of a group.
#[derive(Debug)]
pub struct GroupShare {
    /// Its number, from 1; that of a group that is gone may be used again.
    pub(crate) slot: u16,
    /// The group in which it shares; 0: none.
    pub(crate) parent: u16,
    /// The weight with which all of it shares in its parent. As all weights here in units of 2^-[`FRACTION`] of a task's.
    full: u64,
    /// The weights of all who compete in it, on all CPUs.
    competing: AtomicU64,
}

impl GroupShare {
    /// `weight` is in hundredths of `unit`, a task's weight.
    pub(crate) fn new(slot: u16, parent: u16, unit: u16, weight: u16) -> Self {
        let full = ((u64::from(unit) << FRACTION) * u64::from(weight) / 100).max(1);
        GroupShare { slot, parent, full, competing: AtomicU64::new(0) }
    }

    /// A CPU's tasks weigh `now` instead of `before`.
    pub(super) fn publish(&self, before: u64, now: u64) {
        // Wraps around for a decrease.
        self.competing.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// What all who compete in it weigh.
    pub(super) fn all(&self) -> u64 {
        self.competing.load(Ordering::Relaxed)
    }

    /// The part of the group's weight for those of its tasks that weigh `part`, of `all`.
    pub(super) fn of(&self, part: u64, all: u64) -> u64 {
        let all = all.max(part).max(1);
        if part == all {
            return self.full;
        }
        ((u128::from(self.full) * u128::from(part) / u128::from(all)) as u64).max(1)
    }
}
