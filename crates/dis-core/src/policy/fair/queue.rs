//! The members of a fair queue, and those of them that wait for the CPU.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::clock::{Instant, VirtualClock};
use crate::policy::TaskKey;
use crate::queues::{IndexedHeap, QueueItem};

/// Tasks that are put back for one choice at most, when V has fallen behind them.
pub(super) const RECHECKS: usize = 8;

/// What the policy knows of a task that competes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) vruntime: Instant,
    pub(super) vdeadline: Instant,
    /// Its place among equals.
    pub(super) turn: u32,
    /// 0: it does not compete.
    pub(super) weight: u16,
    pub(super) queued: Queued,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// Running.
    No,
    /// Among those not yet eligible.
    Later,
    /// Among the eligible.
    Eligible,
}

const NOBODY: Member = Member { vruntime: Instant(0), vdeadline: Instant(0), turn: 0, weight: 0, queued: Queued::No };

/// A task in a heap: ordered by turn, found by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    turn: u32,
    key: TaskKey,
}

impl Ord for Turn {
    /// Turns wrap around; those of tasks that wait at the same time are less than 2^31 apart.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.turn.wrapping_sub(other.turn) as i32).cmp(&0)
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl QueueItem for Turn {
    const NONE: Self = Turn { turn: 0, key: TaskKey::NONE };

    fn index(self) -> usize {
        self.key.index()
    }
}

/// All members by key, and two heaps of the queued ones.
#[derive(Debug, Default)]
pub(super) struct VirtualQueue {
    members: Vec<Member>,
    /// By virtual runtime: the first to become eligible first.
    later: IndexedHeap<Instant, Turn>,
    /// By virtual deadline.
    eligible: IndexedHeap<Instant, Turn>,
}

impl VirtualQueue {
    pub(super) fn reserve(&mut self, keys: usize) {
        if keys > self.members.len() {
            self.members.resize(keys, NOBODY);
        }
        self.later.reserve(keys);
        self.eligible.reserve(keys);
    }

    pub(super) fn len(&self) -> usize {
        self.later.len() + self.eligible.len()
    }

    pub(super) fn member(&self, key: TaskKey) -> Option<Member> {
        self.members.get(key.index()).copied().filter(|member| member.weight != 0)
    }

    pub(super) fn is_queued(&self, key: TaskKey) -> bool {
        self.member(key).is_some_and(|member| member.queued != Queued::No)
    }

    /// Writes back what [`member`](Self::member) answered; the task must be where it was.
    pub(super) fn set(&mut self, key: TaskKey, member: Member) {
        self.members[key.index()] = member;
    }

    /// The task does not compete any more.
    pub(super) fn forget(&mut self, key: TaskKey) {
        self.members[key.index()] = NOBODY;
    }

    /// Queues a member that is not queued.
    pub(super) fn insert(&mut self, key: TaskKey, mut member: Member, clock: &VirtualClock) {
        if key.index() >= self.members.len() {
            self.members.resize(key.index() + 1, NOBODY);
        }
        let turn = Turn { turn: member.turn, key };
        member.queued = if clock.reached(member.vruntime) {
            self.eligible.push(turn, member.vdeadline);
            Queued::Eligible
        } else {
            self.later.push(turn, member.vruntime);
            Queued::Later
        };
        self.members[key.index()] = member;
    }

    /// Takes a member out of the heap it is in, if any. Whether it was in one.
    pub(super) fn take(&mut self, key: TaskKey) -> bool {
        let Some(member) = self.members.get_mut(key.index()) else { return false };
        let turn = Turn { turn: member.turn, key };
        match core::mem::replace(&mut member.queued, Queued::No) {
            Queued::No => false,
            Queued::Later => self.later.remove(turn).is_some(),
            Queued::Eligible => self.eligible.remove(turn).is_some(),
        }
    }

    /// The queued task to run next: of the eligible ones, the one with the earliest deadline. If none is eligible (it
    /// is the running task that is owed service), the first to become so.
    pub(super) fn first(&mut self, clock: &VirtualClock) -> Option<TaskKey> {
        while let Some((vruntime, turn)) = self.later.peek()
            && clock.reached(vruntime)
        {
            self.later.pop();
            let member = &mut self.members[turn.key.index()];
            member.queued = Queued::Eligible;
            self.eligible.push(turn, member.vdeadline);
        }
        for _ in 0..RECHECKS {
            let Some((_, turn)) = self.eligible.peek() else { break };
            let member = &mut self.members[turn.key.index()];
            if clock.reached(member.vruntime) {
                break;
            }
            self.eligible.pop();
            member.queued = Queued::Later;
            self.later.push(turn, member.vruntime);
        }
        self.eligible.peek().or_else(|| self.later.peek()).map(|(_, turn)| turn.key)
    }

    /// The queued tasks, those to be served late rather first.
    pub(super) fn iter_late_first(&self) -> impl Iterator<Item = TaskKey> + '_ {
        self.later.iter_late_first().chain(self.eligible.iter_late_first()).map(|(_, turn)| turn.key)
    }
}
