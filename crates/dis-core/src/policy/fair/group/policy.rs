//! Group fairness as a policy: what each event does to a task's group, and to those above it.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::heap::{self, NIL};
use super::weights::{LONGEST, fraction, length, whole};
use super::{GroupRoom, GroupShare, GroupedFair};
use crate::api::{Duration, Timestamp};
use crate::policy::{Arrival, Claim, Entity, Progress, SchedulingPolicy, TaskKey};

impl SchedulingPolicy for GroupedFair {
    fn name(&self) -> &'static str {
        self.fair.name()
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if !self.is_grouped(task) {
            return self.fair.on_ready(task, why, now);
        }
        if self.cover(task.key).queued {
            self.remove(task, now);
        }
        if self.rows[task.key.index()].weight == 0 {
            let new = why == Arrival::Spawn;
            self.join(task.key, task.group, fraction(task.priority), task.id, new, task.slice);
            self.bring(task, new);
        }
        self.waiting.push_back(task.key);
        self.queue(task.key, why, now);
    }

    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        let mut key = self.fair.select(now)?;
        let mut slot = self.rows.get(key.index()).map_or(0, |row| row.stands_for);
        if slot == 0 {
            return Some(key);
        }
        self.standing -= 1;
        while slot != 0 {
            let group = &mut self.groups[usize::from(slot)];
            if group.heap == NIL {
                return None;
            }
            key = TaskKey(group.heap);
            heap::remove(&mut self.rows, &mut group.heap, key.0);
            let row = &mut self.rows[key.index()];
            row.queued = false;
            group.clock = group.clock.max(row.start);
            group.runs = Some(key);
            slot = row.stands_for;
        }
        self.waiting.remove(key);
        Some(key)
    }

    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        let mut key = self.fair.peek(now)?;
        loop {
            let slot = self.rows.get(key.index()).map_or(0, |row| row.stands_for);
            if slot == 0 {
                return Some(key);
            }
            key = TaskKey(self.groups[usize::from(slot)].heap);
        }
    }

    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        if !self.is_grouped(task) {
            return self.fair.on_block(task, now);
        }
        if self.cover(task.key).weight != 0 {
            self.waiting.remove(task.key);
            self.leave(task.key, now);
        }
    }

    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        if !self.is_grouped(task) {
            return self.fair.remove(task, now);
        }
        let queued = self.cover(task.key).queued;
        if queued {
            self.waiting.remove(task.key);
            self.leave(task.key, now);
        }
        queued
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        if !self.is_grouped(task) {
            return self.fair.update(task, priority, deadline, now);
        }
        (task.priority, task.deadline) = (priority, deadline);
        let row = self.cover(task.key);
        if row.weight != 0 {
            let before = core::mem::replace(&mut row.weight, fraction(priority));
            self.reweigh(task.group, before, fraction(priority));
        }
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        if !self.is_grouped(task) {
            return self.fair.on_tick(task, ran, now);
        }
        let (mut key, mut slot) = (task.key, task.group);
        if self.cover(key).weight == 0 {
            return;
        }
        self.refresh(slot);
        loop {
            let row = &mut self.rows[key.index()];
            row.start = row.start.after(length(ran, row.weight));
            let group = &mut self.groups[usize::from(slot)];
            if group.share.parent == 0 {
                let known = fraction(group.entity.priority);
                let ran = (ran.as_nanos().min(LONGEST) * known + group.exact / 2) / group.exact;
                return self.fair.on_tick(&mut group.entity, Duration::from_nanos(ran), now);
            }
            (key, slot) = (group.entity.key, group.share.parent);
        }
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        if !self.is_grouped(task) {
            return self.fair.time_slice(task);
        }
        let group = self.top(task.group);
        let (rest, full) = (self.fair.time_slice(&group.entity), self.fair.request(&group.entity));
        rest.mul_div(group.exact, fraction(group.entity.priority)).clamp(self.fair.min_granularity.min(full), full)
    }

    /// Between clients of the fair queue, as there. Within a group nobody takes the CPU from another before the turn is over.
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        let (ready, running) = (self.client(ready), self.client(running));
        ready.key != running.key && self.fair.preempts(ready, running)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        if self.waiting.iter_back().any(&mut *visit) {
            return;
        }
        let rows = &self.rows;
        let is_task = |key: TaskKey| rows.get(key.index()).is_none_or(|row| row.stands_for == 0);
        self.fair.visit(&mut |key| is_task(key) && visit(key));
    }

    fn progress(&mut self) -> Option<Progress> {
        self.fair.progress()
    }

    fn vruntime(&self, key: TaskKey) -> Option<i64> {
        match self.rows.get(key.index()) {
            Some(row) if row.weight != 0 => self.fair.vruntime(self.top(row.group).entity.key),
            _ => self.fair.vruntime(key),
        }
    }

    fn weight_of(&self, task: &Entity) -> Claim {
        if !self.is_grouped(task) {
            return self.fair.weight_of(task);
        }
        let (mut exact, mut slot) = (fraction(task.priority), task.group);
        loop {
            let group = &self.groups[usize::from(slot)];
            // What all of it deserves, by the part that is this task's.
            exact = group.share.of(exact, group.share.all());
            if group.share.parent == 0 {
                let own = whole(exact);
                let whole = if group.members > 0 { whole(group.exact) } else { own };
                return Claim { own, whole: whole.max(own) };
            }
            slot = group.share.parent;
        }
    }

    fn add_group(
        &mut self,
        key: TaskKey,
        share: &Arc<GroupShare>,
        room: &mut GroupRoom,
    ) -> Option<Box<dyn SchedulingPolicy>> {
        self.add(key, share, room);
        None
    }

    fn len(&self) -> usize {
        self.fair.len() - self.standing + self.waiting.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.fair.reserve(keys);
        self.reserve_groups(keys);
    }
}
