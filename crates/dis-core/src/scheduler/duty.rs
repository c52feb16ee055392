//! What a task has to do in which time, or is to get: jobs, and reservations by share.

use core::num::NonZeroU16;

use super::queue::ClassQueue;
use super::tcb::Urgency;
use crate::api::{Duration, Task, Timestamp};
use crate::executor::Job;
use crate::intent::{Intent, QueueType};
use crate::optimizer::{ClassSet, Limits, Reservation};
use crate::policy::{virtual_length, weight};

/// What a task has to do in which time, or is to get.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Duty {
    /// Nothing of the kind.
    Free,
    /// The present job of a Realtime task.
    Job(Job),
    /// The `cpu_min` of any other.
    Share(Reservation),
}

impl Duty {
    /// For a new intent: a job that is released at `release`, or the reservation by share that it asks for.
    pub fn of(intent: &Intent, release: Timestamp) -> Duty {
        if intent.class.queue() == QueueType::Realtime {
            return Duty::Job(Job { release, ..Job::default() });
        }
        NonZeroU16::new(intent.qos.cpu_min).map_or(Duty::Free, |share| Duty::Share(Reservation::new(share)))
    }

    /// The present job of a Realtime task.
    #[inline(always)]
    pub fn job(&mut self) -> Option<&mut Job> {
        if let Duty::Job(job) = self { Some(job) } else { None }
    }

    /// A reservation by share.
    #[inline(always)]
    pub fn reservation(&self) -> Option<&Reservation> {
        if let Duty::Share(reservation) = self { Some(reservation) } else { None }
    }

    /// The same, to change it.
    #[inline(always)]
    pub fn reservation_mut(&mut self) -> Option<&mut Reservation> {
        if let Duty::Share(reservation) = self { Some(reservation) } else { None }
    }
}

impl<C> Task<C> {
    /// The task has run for `ran`, up to `now`. What its reservation by share gives is part of the task's fair share, not an addition to it: a task
    /// with a fair queue pays for it there, as if it had run in that.
    pub(super) fn charge_reservation(
        &mut self,
        ran: Duration,
        classes: &mut [ClassQueue; 5],
        limits: &Limits,
        now: Timestamp,
    ) {
        let reserved = self.is_on_reservation();
        let own = self.unreserved_class();
        let Some(reservation) = self.sched.duty.reservation_mut() else { return };
        reservation.charge(ran, reserved, limits.window, now);
        if !reserved {
            return;
        }
        if let Some(others) = classes[own.rank()].policy.progress() {
            // Among them it would have pulled the mean along.
            let weight = weight(self.priority);
            let lag = i128::from(virtual_length(ran, weight)) * i128::from(others.weight)
                / i128::from(others.weight + i64::from(weight));
            let lag = i64::try_from(lag).unwrap_or(i64::MAX);
            self.sched.entity.virt.lag = self.sched.entity.virt.lag.saturating_sub(lag);
        }
    }

    /// Whether the running task is in a class that is not its own any more, for want of credit or of what it had reserved, or
    /// as it has reserved something anew. `ready` are the classes in which others wait: against nobody it needs no reservation.
    #[inline(always)]
    pub(crate) fn changes_class(&self, ready: ClassSet) -> bool {
        if !self.sched.limited {
            return false;
        }
        let class = self.urgency().class;
        let needless = self.sched.duty.reservation().is_some() && class == QueueType::Realtime && ready.is_empty();
        class != self.sched.class && !needless
    }

    /// Whether it competes as a Realtime task because of its reservation by share, and not on loan.
    fn is_on_reservation(&self) -> bool {
        let own = self.own_urgency();
        self.sched.class == QueueType::Realtime
            && own.class == QueueType::Realtime
            && !self.sched.is_realtime()
            && self.sched.inherited.is_none_or(|lent| !lent.exceeds(&own))
    }

    /// What it lends to whoever holds what it waits for: all but a reservation by share, whose budget the other has not.
    pub fn lends(&self) -> Urgency {
        let own = self.unreserved_urgency();
        match self.sched.inherited {
            Some(lent) if lent.exceeds(&own) => lent,
            _ => own,
        }
    }

    /// When the task's reservation by share takes it to another class, or gives it another deadline.
    pub(super) fn reservation_horizon(&self, reservation: &Reservation, ready: ClassSet, now: Timestamp) -> Timestamp {
        let end = if ready.is_empty() { Timestamp::MAX } else { reservation.deadline() };
        if self.is_on_reservation() {
            return end.min(now + reservation.remaining());
        }
        if self.changes_class(ready) { now } else { end }
    }
}
