//! Groups that share as one: a group of fifty tasks gets what a group of one gets.
//!
//! A group competes on each CPU as a single client of the [fair queue](super::FairPolicy) there, beside tasks that are in no group. What
//! it gets goes to its own members, tasks and groups below it, by *start-time fair queueing* (Goyal, Guo and Vin, "A Hierarchical
//! CPU Scheduler for Multimedia Operating Systems", OSDI 1996): each member has a virtual start time; the member with the least is
//! served, and its start time goes on by (time run)/(weight); whoever joins begins at that of the member served last, or where it
//! left off, whichever is later. That is fair however unevenly the group itself is served, which EEVDF is not known to be; so any
//! number of levels may be nested.
//!
//! **Its weight** on a CPU is its part, by weight, of all who compete in the group on all CPUs ([`GroupShare`]). So all CPUs together give it its
//! full weight, and a member the same share wherever it is. The part is reckoned anew when somebody joins or leaves here and whenever
//! the group is charged. It may be any fraction; the fair queue knows whole weights from 1 to 256. The group is charged for its
//! time times (whole weight)/(exact weight), so it has exactly its share in the long run: what a client gets is w·Δv, and the
//! eligibility rule keeps the v of all together whichever weights the mean is taken with.
//!
//! **Nobody gains by coming and going.** The group's virtual runtime belongs to the group, not to the task that ran: a child that ends
//! leaves behind what it has had.
//!
//! **Cost.** Joining and leaving are O(depth + log n), a charge O(depth), and nothing is allocated. Machines without groups have the plain
//! [`FairPolicy`]; this takes its place when the first group comes.

mod heap;
mod share;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::heap::{Link, NIL};
pub use self::share::GroupShare;
use super::clock::Instant;
use super::{FairPolicy, SCALE_BITS, weight};
use crate::api::{Duration, TaskId, Timestamp};
use crate::policy::{Arrival, Claim, Entity, Progress, SchedulingPolicy, TaskKey, VirtualTime};
use crate::queues::FifoQueue;

/// Weights are in units of 2^-12 of a task's least, so that one of ten thousand tasks has a share still.
const FRACTION: u32 = 12;

/// The longest charge that is reckoned with, 34 s.
const LONGEST: u64 = 1 << 35;

/// The greatest weight of a group, in hundredths of a task's.
pub(crate) const MOST_WEIGHT: u16 = 10_000;

/// A fair queue in which groups share as one.
#[derive(Debug)]
pub struct GroupedFair {
    fair: FairPolicy,
    /// By key: what is known of a member of a group, or of the key that stands for a group.
    rows: Vec<Row>,
    /// By slot; the first is no group.
    groups: Vec<Group>,
    /// The queued tasks of all groups, in the order in which they came.
    waiting: FifoQueue<TaskKey>,
    /// How many groups stand in the fair queue.
    standing: usize,
    turns: u32,
}

/// Room for a policy's groups; made where memory may be had.
#[derive(Default)]
pub struct GroupRoom {
    fresh: Option<Box<GroupedFair>>,
    groups: Vec<Group>,
    /// What was replaced.
    old: Option<Group>,
    kept: Option<Box<dyn SchedulingPolicy>>,
}

/// A member of a group.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Where it goes on in its group's virtual time.
    start: Instant,
    /// Whose `start` that is.
    owner: TaskId,
    /// What it weighs in its group; 0: it does not compete.
    weight: u64,
    /// Its place among equals.
    turn: u32,
    link: Link,
    /// The group in which it competes, or did last.
    group: u16,
    /// The group for which it stands; 0: it is a task's.
    stands_for: u16,
    queued: bool,
}

impl Row {
    const NOBODY: Row = Row {
        start: Instant(0),
        owner: TaskId::INVALID,
        weight: 0,
        turn: 0,
        link: Link::NONE,
        group: 0,
        stands_for: 0,
        queued: false,
    };

    fn goes_before(&self, other: &Row) -> bool {
        let turns = self.turn.wrapping_sub(other.turn) as i32;
        self.start.since(other.start).cmp(&0).then(turns.cmp(&0)).is_lt()
    }
}

/// A group on this CPU.
#[derive(Debug)]
struct Group {
    share: Arc<GroupShare>,
    /// What it is in the fair queue, or its key in its parent.
    entity: Entity,
    /// Those who wait in it.
    heap: u32,
    /// How many compete in it: wait, or run.
    members: u32,
    /// What those weigh.
    weight: u64,
    /// Its own weight.
    exact: u64,
    /// Its virtual time: the start of the member served last.
    clock: Instant,
    /// The member that runs.
    runs: Option<TaskKey>,
}

/// The virtual time in which a member of `weight` gains `ran`.
fn length(ran: Duration, weight: u64) -> i64 {
    ((ran.as_nanos().min(LONGEST) << (SCALE_BITS + FRACTION)) / weight.max(1)).min(1 << 50) as i64
}

/// The nearest weight that the fair queue knows.
fn whole(exact: u64) -> u16 {
    ((exact + (1 << (FRACTION - 1))) >> FRACTION).clamp(1, 256) as u16
}

fn fraction(priority: u8) -> u64 {
    u64::from(weight(priority)) << FRACTION
}

impl Group {
    fn new(key: TaskKey, share: Arc<GroupShare>) -> Group {
        let id = TaskId::INVALID;
        let (deadline, slice, virt) = (Timestamp::MAX, Duration::ZERO, VirtualTime::default());
        let entity = Entity { key, priority: 255, group: share.parent, id, deadline, slice, virt };
        Group { share, entity, heap: NIL, members: 0, weight: 0, exact: 1, clock: Instant(0), runs: None }
    }
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
    /// A member is owed `lag` of virtual time more.
    fn owe(&mut self, key: TaskKey, lag: i64) {
        let Some(member) = self.queue.member(key) else { return };
        let (vruntime, vdeadline) = (member.vruntime.after(-lag), member.vdeadline.after(-lag));
        self.clock.leave(member.vruntime, member.weight);
        self.clock.join(vruntime, member.weight);
        let queued = self.queue.take(key);
        self.queue.set(key, super::Member { vruntime, vdeadline, queued: super::queue::Queued::No, ..member });
        if queued {
            self.queue.insert(key, &self.clock);
        }
    }

    /// This policy with all its tasks, and with groups.
    pub(super) fn with_groups(&mut self, room: &mut GroupRoom) -> Option<Box<GroupedFair>> {
        let mut grouped = room.fresh.take()?;
        core::mem::swap(&mut grouped.fair, self);
        Some(grouped)
    }
}

impl GroupedFair {
    /// Takes a group in, for which there is room.
    pub(super) fn add(&mut self, key: TaskKey, share: &Arc<GroupShare>, room: &mut GroupRoom) {
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

    fn reserve_groups(&mut self, keys: usize) {
        self.rows.reserve(keys.saturating_sub(self.rows.len()));
        self.waiting.reserve(keys);
    }

    fn cover(&mut self, key: TaskKey) -> &mut Row {
        if self.rows.len() <= key.index() {
            self.rows.resize(key.index() + 1, Row::NOBODY);
        }
        &mut self.rows[key.index()]
    }

    /// Whether the task shares in a group here.
    #[inline]
    fn is_grouped(&self, task: &Entity) -> bool {
        task.group != 0 && self.groups.get(usize::from(task.group)).is_some_and(|group| group.share.slot == task.group)
    }

    fn group(&mut self, slot: u16) -> &mut Group {
        &mut self.groups[usize::from(slot)]
    }

    /// The group in the fair queue by which a task of `slot` shares.
    fn top(&self, mut slot: u16) -> &Group {
        loop {
            let group = &self.groups[usize::from(slot)];
            if group.share.parent == 0 {
                return group;
            }
            slot = group.share.parent;
        }
    }

    /// Which entity of the fair queue a task is or shares in.
    fn client<'a>(&'a self, task: &'a Entity) -> &'a Entity {
        if self.is_grouped(task) { &self.top(task.group).entity } else { task }
    }

    /// Changes what the members of a group weigh, and with it what the groups above do.
    fn reweigh(&mut self, mut slot: u16, mut before: u64, mut now: u64) {
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
            (before, now) = (group.exact, group.share.of(group.weight));
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

    /// Reckons anew what the groups from `slot` on weigh, as CPUs may have got or lost tasks of theirs.
    fn refresh(&mut self, slot: u16) {
        self.reweigh(slot, 0, 0);
        let parent = self.group(slot).share.parent;
        if parent != 0 {
            self.refresh(parent);
        }
    }

    /// A member begins to compete in `slot`; the group too if it is the first.
    fn join(&mut self, key: TaskKey, slot: u16, weight: u64, owner: TaskId, new: bool, slice: Duration) {
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
    fn queue(&mut self, key: TaskKey, why: Arrival, now: Timestamp) {
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
    fn leave(&mut self, key: TaskKey, now: Timestamp) {
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
    fn bring(&mut self, task: &mut Entity, new: bool) {
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
            exact = group.share.of(exact);
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
