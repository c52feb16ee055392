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
//! full weight, and a member the same share wherever it is. The part is reckoned anew when somebody joins or leaves here, and at a charge
//! of the group if somebody has elsewhere. It may be any fraction; the fair queue knows whole weights from 1 to 256. The group is charged for its
//! time times (whole weight)/(exact weight), so it has exactly its share in the long run: what a client gets is w·Δv, and the
//! eligibility rule keeps the v of all together whichever weights the mean is taken with.
//!
//! **Nobody gains by coming and going.** The group's virtual runtime belongs to the group, not to the task that ran: a child that ends
//! leaves behind what it has had.
//!
//! **Cost.** Joining and leaving are O(depth + log n), a charge O(depth), and nothing is allocated. Two levels deep a charge is 260
//! instructions, and 140 more if something has changed at both. Machines without groups have the plain
//! [`FairPolicy`]; this takes its place when the first group comes.

mod heap;
mod members;
mod policy;
mod room;
mod share;
#[cfg(test)]
mod tests;
mod weights;

use alloc::sync::Arc;
use alloc::vec::Vec;

use self::heap::{Link, NIL};
pub use self::room::GroupRoom;
pub use self::share::GroupShare;
use super::FairPolicy;
use super::clock::Instant;
use crate::api::{Duration, TaskId, Timestamp};
use crate::policy::{Entity, TaskKey, VirtualTime};
use crate::queues::FifoQueue;

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
    /// What all who compete in it weighed, on all CPUs, when that was reckoned.
    all: u64,
    /// Its virtual time: the start of the member served last.
    clock: Instant,
    /// The member that runs.
    runs: Option<TaskKey>,
}

impl Group {
    fn new(key: TaskKey, share: Arc<GroupShare>) -> Group {
        let id = TaskId::INVALID;
        let (deadline, slice, virt) = (Timestamp::MAX, Duration::ZERO, VirtualTime::default());
        let entity = Entity { key, priority: 255, group: share.parent, id, deadline, slice, virt };
        Group { share, entity, heap: NIL, members: 0, weight: 0, exact: 1, all: 0, clock: Instant(0), runs: None }
    }
}

impl GroupedFair {
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
}
