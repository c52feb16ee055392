//! Room for groups, made where memory may be had.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Group, GroupShare, GroupedFair};
use crate::policy::fair::FairPolicy;
use crate::policy::{SchedulingPolicy, TaskKey};
use crate::queues::FifoQueue;

/// Room for a policy's groups; made where memory may be had.
#[derive(Default)]
pub struct GroupRoom {
    fresh: Option<Box<GroupedFair>>,
    groups: Vec<Group>,
    /// What was replaced.
    old: Option<Group>,
    kept: Option<Box<dyn SchedulingPolicy>>,
}

impl GroupRoom {
    /// Room for groups in `slots` slots, in a queue of tasks with keys below `keys`.
    pub fn new(slots: usize, keys: usize) -> Self {
        let mut fresh = GroupedFair {
            fair: FairPolicy::new(),
            rows: Vec::new(),
            groups: Vec::new(),
            waiting: FifoQueue::new(),
            standing: 0,
            turns: 0,
        };
        fresh.reserve_groups(keys);
        GroupRoom { fresh: Some(Box::new(fresh)), groups: Vec::with_capacity(slots), old: None, kept: None }
    }

    /// Keeps what is not needed any more until it may be dropped.
    pub(crate) fn keep(&mut self, policy: Box<dyn SchedulingPolicy>) {
        self.kept = Some(policy);
    }
}

impl FairPolicy {
    /// This policy with all its tasks, and with groups.
    pub(in crate::policy::fair) fn with_groups(&mut self, room: &mut GroupRoom) -> Option<Box<GroupedFair>> {
        let mut grouped = room.fresh.take()?;
        core::mem::swap(&mut grouped.fair, self);
        Some(grouped)
    }
}

impl GroupedFair {
    /// Takes a group in, for which there is room.
    pub(in crate::policy::fair) fn add(&mut self, key: TaskKey, share: &Arc<GroupShare>, room: &mut GroupRoom) {
        let slot = usize::from(share.slot);
        if self.groups.capacity() <= slot {
            room.groups.append(&mut self.groups);
            core::mem::swap(&mut self.groups, &mut room.groups);
        }
        // Where no group is told of, the slot's number is not that of what stands there.
        while self.groups.len() <= slot {
            self.groups.push(Group::new(key, share.clone()));
        }
        room.old = Some(core::mem::replace(&mut self.groups[slot], Group::new(key, share.clone())));
        self.cover(key).stands_for = share.slot;
    }

    pub(super) fn reserve_groups(&mut self, keys: usize) {
        self.rows.reserve(keys.saturating_sub(self.rows.len()));
        self.waiting.reserve(keys);
    }
}
