//! Reservations by share (`cpu_min`): a part of every window that a task is sure of, whatever its class.

use core::num::NonZeroU16;

use super::bandwidth::nanos;
use crate::api::{Duration, Timestamp};

/// `budget` of CPU time in each window. While some of it is left, the task competes as a Realtime one with the end of the
/// window as its deadline; afterwards it goes on in its own class: demoted, never stopped. Whatever it runs counts.
///
/// The windows are those of the class caps: multiples of their length, the same for all tasks. So System, which may use in
/// each what is not reserved, cannot take from two windows in a row what it leaves of one.
///
/// To EDF this is a task that asks for no more than its share of any span, which is what admission counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Per mille of each window. Not zero, so that a task without a reservation needs no more room to say so.
    share: NonZeroU16,
    /// End of the present window.
    end: Timestamp,
    /// What is left of the budget, ns; negative if a late timer let the task overrun it as a Realtime one.
    remaining: i64,
}

impl Reservation {
    /// `share` per mille of each window.
    pub fn new(share: NonZeroU16) -> Self {
        Reservation { share, end: Timestamp::ZERO, remaining: 0 }
    }

    /// This task's part of `span`.
    fn part(&self, span: Duration) -> Duration {
        span.mul_div(self.share.get().into(), 1000)
    }

    /// The end of the present window.
    pub fn deadline(&self) -> Timestamp {
        self.end
    }

    /// CPU time left in this window.
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.remaining.max(0) as u64)
    }

    /// Whether the task is still to get something of this window.
    pub fn is_owed(&self) -> bool {
        self.remaining > 0
    }

    /// Begins the window that contains `now`: a budget, less the debt.
    pub fn roll(&mut self, window: Duration, now: Timestamp) {
        if now < self.end {
            return;
        }
        let length = window.as_nanos().max(1);
        let windows = 1 + now.since(self.end).as_nanos() / length;
        let budget = self.part(window);
        let budgets = nanos(budget.mul_div(windows, 1));
        self.remaining = self.remaining.min(0).saturating_add(budgets).min(nanos(budget));
        self.end = now - Duration::from_nanos(now.as_nanos() % length) + window;
    }

    /// The task begins to compete: of this window it gets no more than its share of the rest, which is all that EDF can
    /// promise beside others.
    pub fn wake(&mut self, window: Duration, now: Timestamp) {
        self.roll(window, now);
        self.remaining = self.remaining.min(nanos(self.part(self.end.since(now))));
    }

    /// The task has run for `ran`, up to `now`; `reserved`: as a Realtime one, on this reservation.
    pub fn charge(&mut self, ran: Duration, reserved: bool, window: Duration, now: Timestamp) {
        let mut latest = ran;
        if now >= self.end {
            latest = ran.min(Duration::from_nanos(now.as_nanos() % window.as_nanos().max(1)));
            self.use_up(ran - latest, reserved);
            self.roll(window, now);
        }
        self.use_up(latest, reserved);
    }

    fn use_up(&mut self, ran: Duration, reserved: bool) {
        // Nobody is owed what it ran in its own class, or on loan, beyond the budget.
        let most = if reserved { i64::MAX } else { self.remaining.max(0) };
        self.remaining = self.remaining.saturating_sub(nanos(ran).min(most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_nanos(100);

    fn at(n: u64) -> Timestamp {
        Timestamp::from_nanos(n)
    }

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    fn woken(share: u16, now: u64) -> Reservation {
        let mut r = Reservation::new(NonZeroU16::new(share).unwrap());
        r.wake(WINDOW, at(now));
        r
    }

    #[test]
    fn each_window_has_a_budget() {
        let mut r = woken(300, 200);
        assert_eq!((r.deadline(), r.remaining()), (at(300), d(30)));
        r.charge(d(20), true, WINDOW, at(220));
        // In its own class: counts all the same, but nothing beyond the budget.
        r.charge(d(60), false, WINDOW, at(280));
        assert!(!r.is_owed());
        r.roll(WINDOW, at(299));
        assert!(!r.is_owed());
        r.roll(WINDOW, at(300));
        assert_eq!((r.deadline(), r.remaining()), (at(400), d(30)));
        // What is not used is lost.
        r.roll(WINDOW, at(1_234));
        assert_eq!((r.deadline(), r.remaining()), (at(1_300), d(30)));
    }

    #[test]
    fn whoever_comes_late_gets_its_share_of_the_rest() {
        let mut r = woken(300, 250);
        assert_eq!(r.remaining(), d(15));
        r.charge(d(10), true, WINDOW, at(260));
        r.wake(WINDOW, at(290));
        assert_eq!(r.remaining(), d(3));
        r.wake(WINDOW, at(299));
        assert_eq!(r.remaining(), d(0));
    }

    #[test]
    fn a_late_timer_is_paid_for_by_the_next_budget() {
        let mut r = woken(300, 200);
        r.charge(d(40), true, WINDOW, at(240));
        r.roll(WINDOW, at(300));
        assert_eq!(r.remaining(), d(20));
        // Over the end of a window: each has its part, and what it ran before the end was too much by 15.
        r.charge(d(40), true, WINDOW, at(405));
        assert_eq!((r.deadline(), r.remaining()), (at(500), d(10)));
        // Windows that pass pay as well.
        r.charge(d(95), true, WINDOW, at(499));
        r.roll(WINDOW, at(700));
        assert_eq!(r.remaining(), d(5));
        r.roll(WINDOW, at(900));
        assert_eq!(r.remaining(), d(30));
    }
}
