//! Who competes in a group: members that come, wait, run and go.

use super::GroupedFair;
use super::heap::{self, NIL};
use super::weights::fraction;
use crate::api::{Duration, TaskId, Timestamp};
use crate::policy::fair::FairPolicy;
use crate::policy::fair::queue::Queued;
use crate::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};

impl FairPolicy {
    /// A member is owed `lag` of virtual time more.
    fn owe(&mut self, key: TaskKey, lag: i64) {
        let Some(member) = self.queue.member(key) else { return };
        let (vruntime, vdeadline) = (member.vruntime.after(-lag), member.vdeadline.after(-lag));
        self.clock.leave(member.vruntime, member.weight);
        self.clock.join(vruntime, member.weight);
        let queued = self.queue.take(key);
        self.queue.set(key, crate::policy::fair::Member { vruntime, vdeadline, queued: Queued::No, ..member });
        if queued {
            self.queue.insert(key, &self.clock);
        }
    }
}

impl GroupedFair {
    /// A member begins to compete in `slot`; the group too if it is the first.
    pub(super) fn join(&mut self, key: TaskKey, slot: u16, weight: u64, owner: TaskId, new: bool, slice: Duration) {
        let clock = self.group(slot).clock;
        let row = self.cover(key);
        let goes_on = row.owner == owner && row.group == slot && !new && row.start > clock;
        (row.owner, row.group, row.weight) = (owner, slot, weight);
        row.start = if goes_on { row.start } else { clock };
        let group = self.group(slot);
        group.members += 1;
        let first = group.members == 1;
        let (key, parent) = (group.entity.key, group.share.parent);
        if first {
            group.entity.slice = slice;
        }
        self.reweigh(slot, 0, weight);
        if first && parent != 0 {
            let exact = self.group(slot).exact;
            self.join(key, parent, exact, TaskId::idle(usize::from(slot)), false, slice);
        }
    }

    /// A member that competes and is not queued waits; so does its group, if it did not compete before or this member ran.
    pub(super) fn queue(&mut self, key: TaskKey, why: Arrival, now: Timestamp) {
        self.turns = self.turns.wrapping_add(1);
        let turn = self.turns;
        let row = &mut self.rows[key.index()];
        (row.turn, row.queued) = (turn, true);
        let group = &mut self.groups[usize::from(row.group)];
        if why == Arrival::Yield && group.heap != NIL {
            // Behind the first of those who wait; what its service falls short by is lost.
            let first = self.rows[group.heap as usize].start;
            let row = &mut self.rows[key.index()];
            row.start = row.start.max(first);
        }
        let idle = group.members == 1 && group.runs.is_none();
        let ran = group.runs == Some(key);
        let alone = group.heap == NIL;
        heap::push(&mut self.rows, &mut group.heap, key.0);
        if !idle && !ran {
            return;
        }
        group.runs = None;
        // A group does not yield because a member does while others wait in it.
        let why = if ran && why == Arrival::Yield && !alone { Arrival::Preempt } else { why };
        if group.share.parent == 0 {
            self.standing += 1;
            let why = if ran { why } else { Arrival::Wake };
            self.fair.on_ready(&mut group.entity, why, now);
        } else {
            let key = group.entity.key;
            self.queue(key, why, now);
        }
    }

    /// A member stops competing; if it is queued, it is taken out. So does the group, if it was the last; if it ran, the group waits.
    pub(super) fn leave(&mut self, key: TaskKey, now: Timestamp) {
        let row = &mut self.rows[key.index()];
        let (slot, weight, start) = (row.group, core::mem::take(&mut row.weight), row.start);
        let queued = core::mem::take(&mut row.queued);
        let group = &mut self.groups[usize::from(slot)];
        if queued {
            heap::remove(&mut self.rows, &mut group.heap, key.0);
        }
        group.members -= 1;
        let ran = group.runs == Some(key);
        let (last, parent, own) = (group.members == 0, group.share.parent, group.entity.key);
        if ran {
            group.runs = None;
        }
        if last {
            // Nobody is ahead of anybody any more.
            group.clock = group.clock.max(start);
            if parent != 0 {
                self.leave(own, now);
            } else if ran {
                self.fair.on_block(&mut group.entity, now);
            } else {
                self.standing -= usize::from(self.fair.remove(&mut group.entity, now));
            }
        } else if ran && parent != 0 {
            self.queue(own, Arrival::Preempt, now);
        } else if ran {
            self.standing += 1;
            self.fair.on_ready(&mut group.entity, Arrival::Preempt, now);
        }
        self.reweigh(slot, weight, 0);
    }

    /// What `task` is owed when it begins to compete goes to its group.
    pub(super) fn bring(&mut self, task: &mut Entity, new: bool) {
        let lag = core::mem::take(&mut task.virt.lag);
        if new || lag == 0 {
            return;
        }
        let owed = i128::from(lag) * i128::from(fraction(task.priority));
        let slot = self.top(task.group).share.slot;
        let group = &mut self.groups[usize::from(slot)];
        let lag = (owed / i128::from(group.exact)).clamp(-(1 << 50), 1 << 50) as i64;
        if self.fair.queue.member(group.entity.key).is_some() {
            self.fair.owe(group.entity.key, lag);
        } else {
            group.entity.virt.lag += lag;
        }
    }
}
