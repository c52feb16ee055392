//! The members of a fair queue, and those of them that wait for the CPU.

use alloc::vec::Vec;

use super::clock::{Instant, VirtualClock};
use crate::policy::TaskKey;
use crate::queues::{HeapKey, IndexedHeap, QueueItem};

/// Promoted tasks that are put back for one choice at most, as V has fallen behind them.
pub(super) const RECHECKS: usize = 8;

/// What the policy knows of a task that competes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) vruntime: Instant,
    pub(super) vdeadline: Instant,
    /// The virtual length of its requests.
    pub(super) length: i64,
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
    /// In the heap of deadlines, eligible or not.
    ByDeadline,
    /// Seen not to be eligible and moved to the heap of virtual runtimes.
    Later,
    /// Become eligible and moved back to the heap of deadlines.
    Promoted,
}

const NOBODY: Member =
    Member { vruntime: Instant(0), vdeadline: Instant(0), length: 0, turn: 0, weight: 0, queued: Queued::No };

/// A task in a heap: ranked by turn, found by key. Turns start again from 0 after 2^32 arrivals; of two tasks with
/// equal deadlines at that moment the later may go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    turn: u32,
    key: TaskKey,
}

impl QueueItem for Turn {
    const NONE: Self = Turn { turn: 0, key: TaskKey::NONE };

    fn index(self) -> usize {
        self.key.index()
    }

    fn rank(self) -> u64 {
        u64::from(self.turn) << 32 | u64::from(self.key.0)
    }
}

impl HeapKey for Instant {
    fn to_bits(self) -> u64 {
        self.0 as u64
    }

    /// As instants compare: by the sign of the difference, which is right even if they wrap.
    fn before(one: u128, other: u128) -> bool {
        (one.wrapping_sub(other) as i128) < 0
    }
}

/// All members by key, and two heaps that share the queued ones.
#[derive(Debug, Default)]
pub(super) struct VirtualQueue {
    members: Vec<Member>,
    /// By virtual deadline.
    by_deadline: IndexedHeap<Instant, Turn>,
    /// By virtual runtime: the first to become eligible first.
    later: IndexedHeap<Instant, Turn>,
}

impl VirtualQueue {
    pub(super) fn reserve(&mut self, keys: usize) {
        self.members.reserve(keys.saturating_sub(self.members.len()));
        self.by_deadline.reserve(keys);
        self.later.reserve(keys);
    }

    pub(super) fn len(&self) -> usize {
        self.by_deadline.len() + self.later.len()
    }

    #[inline]
    pub(super) fn member(&self, key: TaskKey) -> Option<Member> {
        self.members.get(key.index()).copied().filter(|member| member.weight != 0)
    }

    #[inline]
    pub(super) fn member_mut(&mut self, key: TaskKey) -> Option<&mut Member> {
        self.members.get_mut(key.index()).filter(|member| member.weight != 0)
    }

    /// A member that is not queued.
    #[inline]
    pub(super) fn running_mut(&mut self, key: TaskKey) -> Option<&mut Member> {
        self.member_mut(key).filter(|member| member.queued == Queued::No)
    }

    pub(super) fn is_queued(&self, key: TaskKey) -> bool {
        self.member(key).is_some_and(|member| member.queued != Queued::No)
    }

    /// Writes a member's numbers; it must be in no heap, or where it was.
    pub(super) fn set(&mut self, key: TaskKey, member: Member) {
        if key.index() >= self.members.len() {
            self.members.resize(key.index() + 1, NOBODY);
        }
        self.members[key.index()] = member;
    }

    /// The task does not compete any more.
    pub(super) fn forget(&mut self, key: TaskKey) {
        self.members[key.index()] = NOBODY;
    }

    /// Queues a member that is not queued.
    #[inline(always)]
    pub(super) fn insert(&mut self, key: TaskKey, clock: &VirtualClock) {
        let member = &mut self.members[key.index()];
        let turn = Turn { turn: member.turn, key };
        // Whether it is eligible matters when it is the first by deadline; then this spares it the way there and back.
        let first = self.by_deadline.peek().is_none_or(|(vdeadline, _)| member.vdeadline < vdeadline);
        if first && !clock.reached(member.vruntime) {
            member.queued = Queued::Later;
            self.later.push(turn, member.vruntime);
        } else {
            member.queued = Queued::ByDeadline;
            self.by_deadline.push(turn, member.vdeadline);
        }
    }

    /// [Queues](Self::insert) a member that is not queued and [takes out](Self::pop) the next. `None`, and nothing has happened, if
    /// that needs a closer look: usually the first by deadline is eligible, and stays the first.
    #[inline(always)]
    pub(super) fn exchange(&mut self, key: TaskKey, clock: &VirtualClock) -> Option<TaskKey> {
        let (vdeadline, Turn { key: first, .. }) = self.by_deadline.peek()?;
        let member = &self.members[key.index()];
        let stays = member.vdeadline > vdeadline && self.later.is_empty();
        if !(stays && clock.reached(self.members[first.index()].vruntime)) {
            return None;
        }
        let member = &mut self.members[key.index()];
        member.queued = Queued::ByDeadline;
        let (_, Turn { key, .. }) = self.by_deadline.exchange(Turn { turn: member.turn, key }, member.vdeadline)?;
        self.members[key.index()].queued = Queued::No;
        Some(key)
    }

    /// Takes a member out of the heap it is in, if any. Whether it was in one.
    pub(super) fn take(&mut self, key: TaskKey) -> bool {
        let Some(member) = self.members.get_mut(key.index()) else { return false };
        let turn = Turn { turn: member.turn, key };
        match core::mem::replace(&mut member.queued, Queued::No) {
            Queued::No => false,
            Queued::Later => self.later.remove(turn).is_some(),
            Queued::ByDeadline | Queued::Promoted => self.by_deadline.remove(turn).is_some(),
        }
    }

    /// The queued task to run next: of the eligible ones, the one with the earliest deadline. If none is eligible (it
    /// is the running task that is owed service), the first to become so.
    pub(super) fn first(&mut self, clock: &VirtualClock) -> Option<TaskKey> {
        self.sort(clock);
        self.by_deadline.peek().or_else(|| self.later.peek()).map(|(_, turn)| turn.key)
    }

    /// Takes out the task that [`first`](Self::first) names.
    #[inline(always)]
    pub(super) fn pop(&mut self, clock: &VirtualClock) -> Option<TaskKey> {
        self.sort(clock);
        let (_, Turn { key, .. }) = self.by_deadline.pop().or_else(|| self.later.pop())?;
        self.members[key.index()].queued = Queued::No;
        Some(key)
    }

    /// Sees to it that the first by deadline is eligible, if any task is.
    ///
    /// Eligibility is looked at as late as that: if requests are of one length, the first by deadline is always
    /// eligible, and the other heap is empty. A task is moved at most twice each time it is queued, and
    /// [`RECHECKS`] tasks more a call.
    #[inline(always)]
    fn sort(&mut self, clock: &VirtualClock) {
        let first = self.by_deadline.peek().map(|(_, turn)| self.members[turn.key.index()].vruntime);
        if !(self.later.is_empty() && first.is_some_and(|first| clock.reached(first))) {
            self.move_between(clock);
        }
    }

    fn move_between(&mut self, clock: &VirtualClock) {
        while let Some((vruntime, turn)) = self.later.peek()
            && clock.reached(vruntime)
        {
            self.later.pop();
            let member = &mut self.members[turn.key.index()];
            member.queued = Queued::Promoted;
            self.by_deadline.push(turn, member.vdeadline);
        }
        let mut rechecks = 0;
        while let Some((_, turn)) = self.by_deadline.peek() {
            let member = &mut self.members[turn.key.index()];
            rechecks += usize::from(member.queued == Queued::Promoted);
            if clock.reached(member.vruntime) || rechecks > RECHECKS {
                break;
            }
            self.by_deadline.pop();
            member.queued = Queued::Later;
            self.later.push(turn, member.vruntime);
        }
    }

    /// The queued tasks, those to be served late rather first.
    pub(super) fn iter_late_first(&self) -> impl Iterator<Item = TaskKey> + '_ {
        self.later.iter_late_first().chain(self.by_deadline.iter_late_first()).map(|(_, turn)| turn.key)
    }
}
