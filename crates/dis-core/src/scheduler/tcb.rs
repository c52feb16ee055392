//! The scheduler's own part of a task, and what follows from it: urgency, charges, and when to decide anew.

use super::duty::Duty;
use super::queue::ClassQueue;
use super::split::Hold;
use crate::api::{BlockReason, Duration, Task, TaskId, Timestamp};
use crate::intent::{Intent, IntentClass, QueueType};
use crate::ipc::{Calls, NOBODY};
use crate::isolation::Domain;
use crate::optimizer::{Arbiter, ClassSet, Credit, Limits, Server};
use crate::policy::{Entity, SchedulingPolicy};

/// How urgent a task is: what a waiting task lends to the one that holds what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Urgency {
    /// Effective class.
    pub class: QueueType,
    /// Effective priority within it.
    pub priority: u8,
    /// Effective deadline; [`Timestamp::MAX`] without one.
    pub deadline: Timestamp,
}

/// How much less weight an Interactive task has while it counts as Batch: what lies between the base priorities of the two.
const DEMOTION: u8 = IntentClass::Batch.to_priority() - IntentClass::Interactive { target_latency_us: 1 }.to_priority();

impl Urgency {
    /// Whether `self` goes before `other`.
    pub fn exceeds(&self, other: &Urgency) -> bool {
        (self.class, self.deadline, self.priority) < (other.class, other.deadline, other.priority)
    }
}

/// Whether a task has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    No,
    ByItself,
    Killed,
}

/// The scheduler's own part of a task; what every decision reads and writes comes first.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct SchedState {
    /// The class whose queue it uses now: its own, Batch for a demoted Interactive task, Realtime while a reservation by
    /// share lasts, or an inherited one.
    pub class: QueueType,
    /// The class of its intent.
    pub own_class: QueueType,
    /// It stands in its class's queue.
    pub queued: bool,
    /// Other CPUs may take it while it is queued, as far as its affinity allows; never set for one that is bound to one CPU, as whoever
    /// looks for something to take would look at it in vain.
    pub stealable: bool,
    /// It ends when its CPU asks next.
    pub killed: bool,
    /// Its class, priority, deadline or affinity changed while it ran.
    pub dirty: bool,
    /// It has a server, a credit, a reservation by share or a domain, or has had a part in a call.
    pub limited: bool,
    /// How often it had been switched to, modulo 128, when a CPU that was ahead gave it away; 128 more if one did so again before it
    /// had run.
    pub given_at: u8,
    pub entity: Entity,
    pub ready_since: Timestamp,
    /// The task's CPU time at its last wake-up, for the history.
    pub burst_start: u64,
    /// A task that is Interactive has one, and one that was keeps it, with all that it uses in another class taken out: a hog would stay
    /// Interactive by declaring itself something else in between.
    pub credit: Option<Credit>,
    /// The target latency of an Interactive task.
    pub target: Duration,
    /// What it is lent, or any server on its time.
    pub inherited: Option<Urgency>,
    pub server: Option<Server>,
    pub calls: Calls,
    /// A wake-up came before the block it was meant for.
    pub token: bool,
    /// It has an entry in the timer queue (sleep, time-out, or replenishment).
    pub timed: bool,
    /// It is ready but out of its budget.
    pub throttled: bool,
    /// The host lets it move to another CPU.
    pub movable: bool,
    /// The next time it becomes ready is the release of a job.
    pub pending_release: bool,
    pub joinable: bool,
    pub block_reason: Option<BlockReason>,
    pub ended: Ended,
    /// What it has reserved, by its period or by its share, and where.
    pub hold: Option<Hold>,
    /// `None`: the root.
    pub domain: Option<Domain>,
    pub duty: Duty,
    pub joiner: TaskId,
    /// What those lend who wait for this very task.
    pub lent: Option<Urgency>,
}

impl SchedState {
    /// Takes over what an intent of this class says: the target latency, what limits the task, and what it holds. `credit` is for a task
    /// that is Interactive for the first time.
    pub fn declare(&mut self, intent: &Intent, server: Option<Server>, credit: Credit, duty: Duty) {
        self.own_class = intent.class.queue();
        self.target = match intent.class {
            IntentClass::Interactive { target_latency_us } => Duration::from_micros(target_latency_us),
            _ => Duration::ZERO,
        };
        self.credit = self.credit.or(self.is_interactive().then_some(credit));
        self.server = server;
        self.duty = duty;
        self.limited = self.credit.is_some() || self.server.is_some() || self.duty.reservation().is_some();
        self.limited |= self.domain.is_some() || self.calls.are_any();
    }

    /// Whether it has a target latency, and a credit.
    #[inline(always)]
    pub fn is_interactive(&self) -> bool {
        self.own_class == QueueType::Interactive
    }

    /// Whether its jobs have deadlines of their own.
    #[inline(always)]
    pub fn is_realtime(&self) -> bool {
        self.own_class == QueueType::Realtime
    }

    /// Another task's stack runs on its time.
    #[inline(always)]
    pub fn carries(&self) -> bool {
        self.limited && self.calls.top != NOBODY
    }

    /// Its stack runs, or waits, on another's time.
    #[inline(always)]
    pub fn is_away(&self) -> bool {
        self.limited && self.calls.on != NOBODY
    }

    /// One of the two.
    #[inline(always)]
    pub fn is_in_calls(&self) -> bool {
        self.limited && self.calls != Calls::NONE
    }
}

/// See [`SchedState::given_at`].
const AGAIN: u8 = 128;

impl<C> Task<C> {
    /// Reckons [`stealable`](SchedState::stealable) anew.
    pub(crate) fn judge_stealable(&mut self) {
        let own = &self.sched;
        let takeable = own.movable && own.hold.is_none() && own.inherited.is_none();
        self.sched.stealable = takeable && self.affinity.has_several();
    }

    /// A CPU gives it to another that is behind.
    pub(crate) fn note_gift(&mut self) {
        let now = self.stats.context_switches as u8 & !AGAIN;
        let again = if self.sched.given_at & !AGAIN == now { AGAIN } else { 0 };
        self.sched.given_at = now | again;
    }

    /// Whether it may be given away: twice before it runs. Without a limit, CPUs whose clocks drift apart, as some are kept from deciding
    /// for long, hand a task on and on.
    pub(crate) fn may_be_given(&self) -> bool {
        self.sched.given_at != self.stats.context_switches as u8 | AGAIN
    }

    /// An execution has come to its end.
    pub(crate) fn end_burst(&mut self, missed: bool) {
        let burst = self.stats.cpu_time - core::mem::replace(&mut self.sched.burst_start, self.stats.cpu_time);
        self.history.record(Duration::from_nanos(burst), missed);
    }

    /// The task has run on `cpu` for `ran`, up to `now`.
    #[inline(always)]
    pub(crate) fn charge(
        &mut self,
        ran: Duration,
        cpu: usize,
        classes: &mut [ClassQueue; 5],
        limits: &Limits,
        now: Timestamp,
    ) {
        classes[self.sched.class.rank()].policy.on_tick(&mut self.sched.entity, ran, now);
        self.charge_itself(ran, cpu, limits, now);
        if !self.sched.limited {
            return;
        }
        let reserves = self.sched.duty.reservation().is_some();
        if reserves {
            self.charge_reservation(ran, classes, limits, now);
        }
        if reserves || self.sched.inherited.is_some() {
            self.keep_up(&mut *classes[self.sched.class.rank()].policy, now);
        }
    }

    /// The same as far as neither its policy nor what it competes with is concerned.
    #[inline(always)]
    pub(crate) fn charge_itself(&mut self, ran: Duration, cpu: usize, limits: &Limits, now: Timestamp) {
        self.stats.cpu_time += ran.as_nanos();
        self.stats.time_slice = self.stats.time_slice.saturating_sub(ran.as_nanos());
        if !self.sched.limited {
            return;
        }
        if let Some(server) = &mut self.sched.server {
            server.charge(ran);
        }
        if let Some(domain) = &self.sched.domain {
            domain.charge_cpu(cpu, ran, now);
        }
        let interactive = self.sched.is_interactive();
        if let Some(credit) = &mut self.sched.credit {
            credit.charge(ran, limits.interactive_share, limits.interactive_burst, now);
            if interactive
                && let Some(domain) = &self.sched.domain
                && domain.charge_credit(cpu, ran, limits, now)
            {
                credit.forfeit();
            }
        }
    }

    /// Brings what it competes with in line with its [urgency](Self::urgency), which has changed by itself: with its credit, its
    /// budget or its target, its own urgency may have come before or behind a loan. Nothing else changes the priority or the
    /// deadline of one that competes, but for calls of others, which do the same. If it belongs to another class now, it moves
    /// there at the next decision.
    pub(crate) fn keep_up(&mut self, policy: &mut dyn SchedulingPolicy, now: Timestamp) {
        let Urgency { class, priority, deadline } = self.urgency();
        let entity = &mut self.sched.entity;
        if class == self.sched.class && (priority, deadline) != (entity.priority, entity.deadline) {
            policy.update(entity, priority, deadline, now);
        }
    }

    /// The class in which it competes by itself when its reservation is used up.
    #[inline(always)]
    pub(super) fn unreserved_class(&self) -> QueueType {
        match self.sched.own_class {
            QueueType::Interactive if self.sched.credit.is_some_and(|c| c.is_exhausted()) => QueueType::Batch,
            // Nothing is reserved for it any more: see `hotplug`.
            QueueType::Realtime if self.sched.hold.is_none() => QueueType::Batch,
            class => class,
        }
    }

    /// Its turn is over: an Interactive task that runs on has its next target behind those who wait already.
    pub(crate) fn renew_target(&mut self, now: Timestamp) {
        if self.sched.is_interactive() {
            self.deadline = Some(now + self.sched.target);
        }
    }

    /// How urgent the task is: its own urgency or what it has inherited, whichever is higher.
    #[inline(always)]
    pub fn urgency(&self) -> Urgency {
        let own = self.own_urgency();
        match self.sched.inherited {
            Some(lent) if lent.exceeds(&own) => lent,
            _ => own,
        }
    }

    #[inline(always)]
    pub(super) fn own_urgency(&self) -> Urgency {
        if self.sched.limited
            && let Some(reservation) = self.sched.duty.reservation()
            && reservation.is_owed()
            && self.sched.hold.is_some()
        {
            let deadline = reservation.deadline();
            return Urgency { class: QueueType::Realtime, priority: self.priority, deadline };
        }
        self.unreserved_urgency()
    }

    #[inline(always)]
    pub(super) fn unreserved_urgency(&self) -> Urgency {
        let class = self.unreserved_class();
        let deadline = match (class, &self.sched.server) {
            (QueueType::Realtime, Some(server)) => server.deadline(),
            (QueueType::Interactive, _) => self.deadline.unwrap_or(Timestamp::MAX),
            _ => Timestamp::MAX,
        };
        // An Interactive task without credit has a Batch task's weight: a hog must not gain by its declaration.
        let priority = match self.sched.own_class {
            QueueType::Interactive if class == QueueType::Batch => self.priority.saturating_add(DEMOTION),
            QueueType::Realtime if class == QueueType::Batch => self.priority.max(IntentClass::Batch.to_priority()),
            _ => self.priority,
        };
        Urgency { class, priority, deadline }
    }

    /// When the CPU on which the task runs must decide anew if nothing happens before. `timer` is when the next timer
    /// fires, `ready` the classes in which others wait.
    #[inline(always)]
    pub(crate) fn horizon(
        &self,
        timer: Timestamp,
        arbiter: &mut Arbiter,
        ready: ClassSet,
        limits: &Limits,
        now: Timestamp,
    ) -> Timestamp {
        let mut horizon = timer;
        let class = self.sched.class;
        if self.sched.limited {
            if let Some(server) = &self.sched.server {
                horizon = horizon.min(now + server.remaining());
            }
            if let Some(domain) = self.sched.domain.as_ref().filter(|_| self.sched.inherited.is_none()) {
                horizon = horizon.min(domain.cpu_horizon(now));
            }
            if let Some(reservation) = self.sched.duty.reservation() {
                horizon = horizon.min(self.reservation_horizon(reservation, ready, now));
            }
        }
        if !ready.is_empty() {
            horizon = horizon.min(arbiter.horizon(class, ready, now).unwrap_or(Timestamp::MAX));
            if ready.contains(class) {
                horizon = horizon.min(now + Duration::from_nanos(self.stats.time_slice));
            }
            // Without credit it is here on loan.
            if let (QueueType::Interactive, Some(credit)) = (class, &self.sched.credit)
                && !credit.is_exhausted()
            {
                horizon = horizon.min(now + credit.lasts(limits.interactive_share));
            }
        }
        // Never "ask again now": the answer would be the same.
        horizon.max(now + Duration::from_nanos(1))
    }

    /// Whether a Realtime task is about to be stopped because it has used all that it may.
    pub(crate) fn overruns(&self, borrowing: bool, now: Timestamp) -> bool {
        let stopped = |server: Server| server.is_exhausted() && !(borrowing && server.may_borrow(now));
        // Those of split tasks are counted when their last pieces are over.
        self.sched.is_realtime() && !self.is_split() && self.sched.server.is_some_and(stopped)
    }

    /// Whether another CPU may take the task out of its queue, as far as its affinity allows.
    #[inline(always)]
    pub(crate) fn may_be_stolen(&self) -> bool {
        self.sched.queued && self.sched.stealable
    }

    /// Whether the task is in its class's queue.
    #[inline(always)]
    pub(crate) fn is_queued(&self) -> bool {
        self.sched.queued
    }
}
