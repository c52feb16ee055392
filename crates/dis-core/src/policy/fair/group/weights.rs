//! What groups weigh here, and how their virtual times pass.

use super::GroupedFair;
use crate::api::{Duration, Timestamp};
use crate::policy::SchedulingPolicy;
use crate::policy::fair::{SCALE_BITS, weight};

/// Weights are in units of 2^-12 of a task's least, so that one of ten thousand tasks has a share still.
pub(super) const FRACTION: u32 = 12;

/// The longest charge that is reckoned with, 34 s.
pub(super) const LONGEST: u64 = 1 << 35;

/// The virtual time in which a member of `weight` gains `ran`.
pub(super) fn length(ran: Duration, weight: u64) -> i64 {
    ((ran.as_nanos().min(LONGEST) << (SCALE_BITS + FRACTION)) / weight.max(1)).min(1 << 50) as i64
}

/// The nearest weight that the fair queue knows.
pub(super) fn whole(exact: u64) -> u16 {
    ((exact + (1 << (FRACTION - 1))) >> FRACTION).clamp(1, 256) as u16
}

pub(super) fn fraction(priority: u8) -> u64 {
    u64::from(weight(priority)) << FRACTION
}

impl GroupedFair {
    /// Changes what the members of a group weigh, and with it what the groups above do.
    pub(super) fn reweigh(&mut self, mut slot: u16, mut before: u64, mut now: u64) {
        loop {
            let group = self.group(slot);
            let old = group.weight;
            group.weight = old - before + now;
            if old != group.weight {
                group.share.publish(old, group.weight);
            }
            if group.members == 0 {
                return;
            }
            group.all = group.share.all();
            (before, now) = (group.exact, group.share.of(group.weight, group.all));
            if before == now {
                return;
            }
            group.exact = now;
            let (key, parent) = (group.entity.key, group.share.parent);
            if parent == 0 {
                let priority = (256 - whole(now)) as u8;
                let group = &mut self.groups[usize::from(slot)];
                if group.entity.priority != priority {
                    self.fair.update(&mut group.entity, priority, Timestamp::MAX, Timestamp::ZERO);
                }
                return;
            }
            let row = &mut self.rows[key.index()];
            if row.weight == 0 {
                // It does not compete there yet, or no more.
                return;
            }
            row.weight = now;
            slot = parent;
        }
    }

    /// Reckons anew what the groups from `slot` on weigh, if CPUs have got or lost tasks of theirs since. O(depth); for a group of which
    /// nothing has changed that is a comparison.
    pub(super) fn refresh(&mut self, mut slot: u16) {
        while slot != 0 {
            let group = self.group(slot);
            let (parent, changed) = (group.share.parent, group.share.all() != group.all);
            if changed {
                self.reweigh(slot, 0, 0);
            }
            slot = parent;
        }
    }
}
