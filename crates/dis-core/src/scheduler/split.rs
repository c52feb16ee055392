//! Tasks that no CPU has room for whole: C=D splitting (Burns, Davis, Wang, Zhang, "Partitioned EDF scheduling for
//! multiprocessors using a C=D task splitting scheme", Real-Time Systems 48(1), 2012).
//!
//! A job of a split task runs in *pieces*, each on its CPU with a budget and a deadline. All but the last have no laxity:
//! the deadline is the budget, so the piece goes before everything else there and is over at an instant known beforehand. When
//! a budget is used up, the job leaves the CPU as a task does whose affinity has changed, and goes on with the next piece. What
//! uses up the budget of the last piece is an overrun. When a job is finished its task goes back at once, so that it
//! is there at the next release.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::TaskManager;
use super::book::{Entry, request};
use super::state::CpuState;
use crate::admission::{Assignment, Piece};
use crate::api::{Duration, Task, TaskId, Timestamp};
use crate::optimizer::{Limits, Wakes};
use crate::policy::{Arrival, TaskKey};

/// What a task holds of the machine, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The CPU on which it may run: that of its reservation, or of its present piece.
    pub cpu: u16,
    /// The present piece of a split task.
    pub piece: PieceId,
}

/// A piece in the table, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceId(u16);

impl PieceId {
    /// Of a task that is not split.
    pub const NONE: PieceId = PieceId(u16::MAX);
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    owner: TaskId,
    piece: Piece,
    first: PieceId,
    next: PieceId,
}

impl Slot {
    /// The time from the earliest start of the piece to its deadline.
    fn deadline(&self) -> Duration {
        self.piece.deadline - self.piece.offset
    }
}

/// The pieces of all split tasks. A task's pieces stay as they are while it holds them. Its lock is taken under those of
/// CPUs, by split tasks alone, and only when a piece or a job is over.
#[derive(Debug)]
pub(crate) struct Pieces(Vec<Option<Slot>>);

impl Pieces {
    /// Room for the most pieces that there can be: of all CPUs but one a task is split, each has at most one piece of a task.
    pub fn new(cpus: usize) -> Self {
        Pieces(alloc::vec![None; cpus * (cpus - 1)])
    }

    /// Enters the pieces of a task instead of those it has. Answers the first. `gone` are owners whose pieces are not needed
    /// any more. O(room).
    fn replace(&mut self, owner: TaskId, pieces: &[Piece], gone: impl Fn(TaskId) -> bool) -> PieceId {
        self.clear(|other| other == owner || gone(other));
        // From the last to the first, as each names the next.
        let mut next = PieceId::NONE;
        for piece in pieces.iter().rev() {
            let place = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
            if place == self.0.len() {
                // More than there can be of what has been admitted.
                self.0.push(None);
            }
            self.0[place] = Some(Slot { owner, piece: *piece, first: PieceId::NONE, next });
            next = PieceId(place as u16);
        }
        self.0.iter_mut().flatten().filter(|slot| slot.owner == owner).for_each(|slot| slot.first = next);
        next
    }

    /// Takes out the pieces of some owners.
    fn clear(&mut self, whose: impl Fn(TaskId) -> bool) {
        self.0.iter_mut().filter(|slot| slot.is_some_and(|slot| whose(slot.owner))).for_each(|slot| *slot = None);
    }

    fn get(&self, id: PieceId) -> Option<&Slot> {
        self.0.get(usize::from(id.0))?.as_ref()
    }
}

impl<C> Task<C> {
    /// Whether it may run on the CPU of this number (see [`CpuState::seat`]): by its affinity, and by where its reservation is.
    #[inline(always)]
    pub(crate) fn may_run(&self, cpu: usize) -> bool {
        self.affinity.contains(cpu) && (!self.sched.limited || self.reserved_on().is_none_or(|on| on == cpu))
    }

    /// The CPU on which it has a reservation, or its present piece; `None` without one.
    pub fn reserved_on(&self) -> Option<usize> {
        self.sched.hold.map(|hold| hold.cpu.into())
    }

    /// Whether no CPU had room for it whole.
    #[inline]
    pub fn is_split(&self) -> bool {
        self.sched.hold.is_some_and(|hold| hold.piece != PieceId::NONE)
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// The budget of a split task's piece is used up, and the task would go on. It does not run and is in no queue.
    #[cold]
    pub(super) fn change_piece(&self, state: &mut CpuState<C>, key: TaskKey, why: Arrival, now: Timestamp) {
        if let Some(at) = self.next_piece(state, key, now) {
            // It waits where it will go on.
            state.task(key).sched.throttled = true;
            state.set_timer(key, at);
            let seat = state.seat;
            if !state.task(key).may_run(seat) {
                self.evict(state, key);
            }
        } else {
            self.admit_to_queue(state, key, why, now);
        }
    }

    /// The budget of a split task's piece is used up: the first of the pieces after it whose budget the debt leaves
    /// something of is its present one from now on. After the last one, the job has overrun; it goes on in the next period,
    /// at once if it may borrow, or then. Answers that instant if it is to come.
    pub(super) fn next_piece(&self, state: &mut CpuState<C>, key: TaskKey, now: Timestamp) -> Option<Timestamp> {
        let borrowing = state.limits.budget_borrowing;
        let task = state.task(key);
        let pieces = self.pieces.lock();
        let mut resumes = None;
        while let (Some(hold), Some(server)) = (task.sched.hold, &mut task.sched.server)
            && server.is_exhausted()
        {
            let slot = pieces.get(hold.piece)?;
            let mut period = server.start - slot.piece.offset;
            let last = slot.next == PieceId::NONE;
            if last && !(borrowing && period <= now) {
                task.stats.overruns += u64::from(resumes.is_none());
                // One that is a budget ahead may borrow again when that one's period begins.
                resumes = Some(period);
            }
            if last {
                period = server.next_period(period, now);
            }
            let id = if last { slot.first } else { slot.next };
            let slot = pieces.get(id)?;
            let (piece, deadline) = (&slot.piece, slot.deadline());
            server.enter(piece.budget, deadline, period + piece.offset);
            if !borrowing && resumes.is_some() {
                resumes = Some(server.start);
            }
            task.sched.hold = Some(Hold { cpu: piece.cpu as u16, piece: id });
        }
        resumes.filter(|&at| at > now)
    }

    /// Gives a task that begins anew what has been planned for it. A split one begins with its first piece at its next
    /// release.
    pub(super) fn assign(&self, task: &mut Task<C>, assignment: Option<&Assignment>) {
        let first = match assignment {
            Some(Assignment::Split(pieces)) => pieces.first(),
            _ => None,
        };
        let piece = self.enter_pieces(task, assignment);
        task.sched.hold = assignment.map(|assignment| Hold { cpu: assignment.first_cpu() as u16, piece });
        task.judge_stealable();
        if let (Some(first), Some(server)) = (first, &mut task.sched.server) {
            server.prepare(first.budget, first.deadline - first.offset, server.start);
        }
    }

    /// Gives a task that goes on what has been planned for it instead of what it held, if anything. In mid-job, it begins a
    /// budget now, or what is left of its budget counts as if it woke up on its new CPU, as nobody there has reckoned with
    /// it; if it is split now, or was, it goes on with the next period's then.
    pub(super) fn reassign(
        &self,
        state: &mut CpuState<C>,
        key: TaskKey,
        assignment: &Assignment,
        entry: Entry,
        now: Timestamp,
    ) {
        let limits = state.limits;
        let task = state.task(key);
        let whole = whole(task, &limits);
        let was_split = task.is_split();
        let mut id = self.enter_pieces(task, Some(assignment));
        let (mut cpu, mut size) = (assignment.first_cpu(), whole);
        let waits = task.sched.pending_release;
        let anew = entry == Entry::Anew;
        let exhausted = !waits && !anew && task.sched.server.is_some_and(|server| server.is_exhausted());
        if let Assignment::Split(all) = assignment {
            let pieces = self.pieces.lock();
            // Behind the last piece, the next period's first one comes.
            while let Some(slot) = pieces.get(id).filter(|slot| exhausted && slot.next != PieceId::NONE) {
                id = slot.next;
            }
            if let Some(piece) = if exhausted { all.last() } else { all.first() } {
                (cpu, size) = (piece.cpu, (piece.budget, piece.deadline - piece.offset));
            }
        }
        let elsewhere = task.sched.hold.is_none_or(|hold| usize::from(hold.cpu) != cpu);
        let realtime = task.sched.is_realtime();
        if let Some(server) = task.sched.server.as_mut().filter(|_| realtime) {
            if anew && !waits {
                server.enter(size.0, size.1, now);
            } else if was_split || assignment.is_split() {
                if waits {
                    server.prepare(size.0, size.1, server.start);
                } else {
                    server.resize(size.0, size.1);
                    server.wake(now, Duration::ZERO, Wakes::Postponed);
                }
            } else if let Entry::Awake(wakes) = entry
                && elsewhere
                && !waits
                && !server.is_exhausted()
            {
                server.wake(now, Duration::ZERO, wakes);
            }
        }
        task.sched.hold = Some(Hold { cpu: cpu as u16, piece: id });
        state.recount_stealable(key);
    }

    /// Takes away what a task holds, and leaves it nothing. Its budget and its jobs stay what they are.
    pub(super) fn give_up(&self, state: &mut CpuState<C>, key: TaskKey) {
        let limits = state.limits;
        let task = state.task(key);
        self.enter_pieces(task, None);
        if task.is_split() {
            let (budget, deadline) = whole(task, &limits);
            if let Some(server) = &mut task.sched.server {
                server.resize(budget, deadline);
            }
        }
        task.sched.hold = None;
        state.recount_stealable(key);
    }

    /// A split task wakes up in mid-job: see [`Wakes::Postponed`].
    pub(super) fn wake_split(&self, task: &mut Task<C>, now: Timestamp) {
        let (Some(hold), Some(server)) = (&mut task.sched.hold, &mut task.sched.server) else { return };
        if server.is_exhausted() || now <= server.start {
            return;
        }
        let pieces = self.pieces.lock();
        let Some(slot) = pieces.get(hold.piece) else { return };
        let Some(first) = pieces.get(slot.first) else { return };
        let next = server.start - slot.piece.offset + server.period;
        server.enter(first.piece.budget, first.deadline(), next.max(now));
        (hold.cpu, hold.piece) = (first.piece.cpu as u16, slot.first);
    }

    /// Names the CPUs of all pieces, if what is held is one.
    pub(super) fn each_piece(&self, hold: Hold, mut f: impl FnMut(usize)) {
        if hold.piece == PieceId::NONE {
            return;
        }
        let pieces = self.pieces.lock();
        let mut next = pieces.get(hold.piece).map(|slot| slot.first);
        while let Some(slot) = next.and_then(|id| pieces.get(id)) {
            f(slot.piece.cpu);
            next = Some(slot.next);
        }
    }

    /// Enters the pieces of a new assignment instead of those that the task holds. Answers the first, if it is split.
    fn enter_pieces(&self, task: &Task<C>, assignment: Option<&Assignment>) -> PieceId {
        match assignment {
            Some(Assignment::Split(pieces)) => {
                self.pieces.lock().replace(task.id, pieces, |owner| self.homes.has_ended(owner))
            }
            _ => {
                if task.is_split() {
                    self.pieces.lock().clear(|owner| owner == task.id);
                }
                PieceId::NONE
            }
        }
    }

    /// The job of a split task is finished: if the next one, released at `release`, begins a period, that is on the CPU of the
    /// first piece.
    pub(crate) fn back_to_first_piece(&self, task: &mut Task<C>, release: Timestamp) {
        let (Some(hold), Some(server)) = (&mut task.sched.hold, &mut task.sched.server) else { return };
        if hold.piece == PieceId::NONE {
            return;
        }
        let pieces = self.pieces.lock();
        let Some(slot) = pieces.get(hold.piece) else { return };
        let period = server.start - slot.piece.offset;
        let Some(first) = pieces.get(slot.first).filter(|_| release >= period + server.period) else { return };
        server.prepare(first.piece.budget, first.deadline(), period);
        (hold.cpu, hold.piece) = (first.piece.cpu as u16, slot.first);
    }
}

/// The budget and the relative deadline of a whole job.
fn whole<C>(task: &Task<C>, limits: &Limits) -> (Duration, Duration) {
    request(&task.intent, limits).map_or_else(Default::default, |request| (request.task.wcet, request.task.deadline))
}
