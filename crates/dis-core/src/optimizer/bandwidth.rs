//! How much CPU time a single task may use: constant-bandwidth servers and the credit of Interactive tasks.

use core::num::NonZeroI64;

use crate::api::{Duration, Timestamp};

/// A hard constant-bandwidth server: at most `budget` of CPU time in each period (Abeni and Buttazzo, "Integrating
/// multimedia applications in hard real-time systems", RTSS 1998; the wake-up rule as the Linux kernel's
/// Documentation/scheduler/sched-deadline.rst, section 2.1, states it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// CPU time per period.
    pub budget: Duration,
    /// Deadline relative to the start of a period.
    pub relative_deadline: Duration,
    /// Length of a period.
    pub period: Duration,
    /// When the current period began; for a piece of a split task, when it should begin.
    pub start: Timestamp,
    /// What is left of the budget, ns; negative if a late timer let the task overrun: the debt is carried over.
    remaining: i64,
    /// What has been charged to this budget and may turn out to have been somebody else's, ns.
    refundable: i64,
}

/// What a task that wakes up in mid-period may do without harm to others. That depends on what they were promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// All densities (budget / deadline) together fit on the CPU. It keeps deadline and budget if it cannot exceed its own
    /// with them, else a new period begins.
    ByDensity,
    /// Not so: only the demand of jobs that do not wait in mid-run fits. What is left of the budget is lost; the job goes on with
    /// that of the next period, due when that is, if it is not a period ahead already. Then each budget is used from an
    /// instant up to its period's beginning on without a pause, which asks for no more than one that is used from there on.
    Postponed,
}

impl Server {
    /// A server whose first period begins at its first use.
    pub fn new(budget: Duration, relative_deadline: Duration, period: Duration) -> Self {
        Server { budget, relative_deadline, period, start: Timestamp::ZERO, remaining: nanos(budget), refundable: 0 }
    }

    /// A piece of a split task's job begins: `budget` from `start` on, due `deadline` after that. What was owed is owed still,
    /// what was left of the piece before is lost.
    pub fn enter(&mut self, budget: Duration, deadline: Duration, start: Timestamp) {
        self.prepare(budget, deadline, start);
        self.remaining = self.remaining.saturating_add(nanos(budget));
    }

    /// The same with nothing to be had before the next [`release`](Self::release).
    pub fn prepare(&mut self, budget: Duration, deadline: Duration, start: Timestamp) {
        (self.budget, self.relative_deadline, self.start) = (budget, deadline, start);
        self.remaining = self.remaining.min(0);
        self.refundable = 0;
    }

    /// Another budget and deadline, with what is left of the budget before as far as it fits.
    pub fn resize(&mut self, budget: Duration, deadline: Duration) {
        let left = self.remaining.min(nanos(budget));
        self.prepare(budget, deadline, self.start);
        self.remaining = left;
    }

    /// All budgets of the period that began at `start` are used up. Answers when the next one begins; those that lie
    /// wholly behind `now` are left out.
    pub fn next_period(&mut self, start: Timestamp, now: Timestamp) -> Timestamp {
        let next = start + self.period;
        let behind = now.since(next).as_nanos() / self.period.as_nanos().max(1);
        let missed = nanos(self.budget.mul_div(behind, 1));
        self.remaining = self.remaining.saturating_add(missed).min(0);
        next + self.period.mul_div(behind, 1)
    }

    /// Absolute deadline of the current period.
    pub fn deadline(&self) -> Timestamp {
        self.start + self.relative_deadline
    }

    /// End of the current period, when a throttled task gets its next budget.
    pub fn replenishment(&self) -> Timestamp {
        self.start + self.period
    }

    /// CPU time left in this period.
    pub fn remaining(&self) -> Duration {
        Duration::from_nanos(self.remaining.max(0) as u64)
    }

    /// What has been used beyond the budget, as a timer was late, and is deducted from the next.
    pub fn debt(&self) -> Duration {
        Duration::from_nanos(self.remaining.min(0).unsigned_abs())
    }

    /// Whether the budget is used up.
    pub fn is_exhausted(&self) -> bool {
        self.remaining <= 0
    }

    /// Uses up `ran`.
    pub fn charge(&mut self, ran: Duration) {
        self.remaining = self.remaining.saturating_sub(nanos(ran));
        self.refundable = self.refundable.saturating_add(nanos(ran));
    }

    /// Whether the budget is used up, but would not be if the task had run for less than it was charged.
    pub fn is_in_doubt(&self) -> bool {
        self.is_exhausted() && self.remaining.saturating_add(self.refundable) > 0
    }

    /// The task has really run for `used` since this budget began, or since the last measurement: the rest of what was
    /// charged comes back, once. An answer that is too high costs the task something, one that is too low at most doubles
    /// this budget.
    pub fn measured(&mut self, used: Duration) {
        self.remaining = self.remaining.saturating_add((self.refundable - nanos(used)).max(0));
        self.refundable = 0;
    }

    /// A job released at `release` begins: a period of its own, unless one is under way already (an overrun borrowed from
    /// it, or the job before began it when it woke up late), in which it then wakes up.
    pub fn release(&mut self, release: Timestamp, wakes: Wakes) {
        self.refundable = 0;
        if release >= self.replenishment() || self.start == Timestamp::ZERO {
            self.begin(release);
        } else {
            self.wake(release, Duration::ZERO, wakes);
        }
    }

    /// The task wakes up in mid-period. What its suspension made the host do (`cost`) is the task's and does not come back.
    pub fn wake(&mut self, now: Timestamp, cost: Duration, wakes: Wakes) {
        self.refundable = self.refundable.saturating_sub(nanos(cost)).max(0);
        match wakes {
            Wakes::ByDensity => {
                let left = self.deadline().since(now).as_nanos();
                let too_much = u128::from(self.remaining().as_nanos()) * u128::from(self.relative_deadline.as_nanos())
                    > u128::from(left) * u128::from(self.budget.as_nanos());
                if left == 0 || too_much {
                    self.begin(now);
                }
            }
            Wakes::Postponed if now >= self.replenishment() => self.begin(now),
            Wakes::Postponed if now > self.start && !self.is_exhausted() => {
                self.enter(self.budget, self.relative_deadline, self.replenishment());
            }
            Wakes::Postponed => {}
        }
    }

    /// Whether the next period's budget may be used now: not if that has been done already.
    pub fn may_borrow(&self, now: Timestamp) -> bool {
        self.start <= now
    }

    /// The task goes on with the budget of the next period, and the deadline of that. Others lose nothing by it: under EDF a
    /// budget that becomes available before its period, and is due when it would be due anyway, asks for no more than
    /// one that comes in time. At most one budget is ahead of its period, so the bandwidth stays what it is.
    pub fn borrow(&mut self) {
        self.start = self.replenishment();
        self.refundable = 0;
        self.remaining = self.remaining.saturating_add(nanos(self.budget));
    }

    /// The throttled task gets the budget of the period that contains `now`, less its debt.
    pub fn replenish(&mut self, now: Timestamp) {
        while self.is_exhausted() && self.replenishment() <= now {
            self.start = self.replenishment();
            self.refundable = 0;
            self.remaining = self.remaining.saturating_add(nanos(self.budget)).min(nanos(self.budget));
            // After a long absence, skip what lies behind instead of counting through it.
            let behind = now.since(self.replenishment()).as_nanos() / self.period.as_nanos().max(1);
            if behind > 0 {
                self.start += self.period.mul_div(behind, 1);
                let missed = nanos(self.budget.mul_div(behind, 1));
                self.remaining = self.remaining.saturating_add(missed).min(nanos(self.budget));
            }
        }
    }

    fn begin(&mut self, at: Timestamp) {
        self.start = at;
        self.refundable = 0;
        // A debt is owed whatever begins.
        self.remaining = self.remaining.min(0).saturating_add(nanos(self.budget));
    }
}

/// The head start of an Interactive task: a bucket of CPU time that refills at the class's share of real time.
/// Empty, the task is treated as Batch until it has slept enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Nanoseconds with the sign bit flipped: never 0, as the least number is no credit's. So a task without credit needs no more
    /// room to say so.
    flipped: NonZeroI64,
    updated: Timestamp,
}

impl Credit {
    /// A full bucket.
    pub fn full(burst: Duration, now: Timestamp) -> Self {
        Credit { flipped: flip(nanos(burst)), updated: now }
    }

    fn nanos(&self) -> i64 {
        self.flipped.get() ^ i64::MIN
    }

    /// Refills for the time since the last update and takes `ran` out.
    pub fn charge(&mut self, ran: Duration, share: u16, burst: Duration, now: Timestamp) {
        let refill = now.since(self.updated).mul_div(share.into(), 1000);
        self.updated = self.updated.max(now);
        // Net of both, so that time spent running refills too; debt is bounded by one burst, so a hog can behave itself
        // out of it in bounded time.
        let net = nanos(refill).saturating_sub(nanos(ran));
        self.flipped = flip(self.nanos().saturating_add(net).clamp(-nanos(burst), nanos(burst)));
    }

    /// Whether nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.nanos() <= 0
    }

    /// What is left is forfeited.
    pub(crate) fn forfeit(&mut self) {
        self.flipped = flip(self.nanos().min(0));
    }

    /// What is left, ns, and as of when.
    pub(crate) fn parts(&self) -> (i64, Timestamp) {
        (self.nanos(), self.updated)
    }

    pub(crate) fn from_parts(nanos: i64, updated: Timestamp) -> Self {
        Credit { flipped: flip(nanos), updated }
    }

    /// How long the task can run on before the bucket is empty.
    pub fn lasts(&self, share: u16) -> Duration {
        Duration::from_nanos(self.nanos().max(0) as u64).mul_div(1000, 1000 - u64::from(share.min(999)))
    }
}

fn flip(nanos: i64) -> NonZeroI64 {
    NonZeroI64::new(nanos ^ i64::MIN).unwrap_or(NonZeroI64::MAX)
}

pub(super) fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Timestamp {
        Timestamp::from_nanos(n)
    }

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    #[test]
    fn a_wake_up_keeps_what_does_not_exceed_the_bandwidth() {
        // (4, 8) from 100 on: 2 used by 102; waking at 104 leaves 2 until 108: 2/4 <= 4/8, kept.
        let mut s = Server::new(d(4), d(8), d(8));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(2));
        s.wake(at(104), d(0), Wakes::ByDensity);
        assert_eq!((s.deadline(), s.remaining()), (at(108), d(2)));
        // One later it would be too much: a new period.
        s.wake(at(105), d(0), Wakes::ByDensity);
        assert_eq!((s.deadline(), s.remaining()), (at(113), d(4)));
    }

    #[test]
    fn an_overrun_waits_for_the_next_period_and_pays_its_debt() {
        let mut s = Server::new(d(4), d(8), d(8));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(5));
        assert!(s.is_exhausted());
        assert_eq!(s.replenishment(), at(108));
        s.replenish(at(108));
        assert_eq!((s.deadline(), s.remaining()), (at(116), d(3)));
        // The next job's release is the period that the overrun borrowed from: no second budget.
        s.release(at(108), Wakes::ByDensity);
        assert_eq!(s.remaining(), d(3));
    }

    #[test]
    fn one_budget_is_borrowed_at_a_time() {
        let mut s = Server::new(d(4), d(6), d(8));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(5));
        assert!(s.may_borrow(at(105)));
        s.borrow();
        assert_eq!((s.deadline(), s.remaining()), (at(114), d(3)));
        s.charge(d(3));
        assert!(!s.may_borrow(at(107)) && s.may_borrow(at(108)));
        s.borrow();
        // Four in each period, one period ahead; the job of 116 finds its own budget unless it was used.
        assert_eq!((s.deadline(), s.remaining()), (at(122), d(4)));
        s.charge(d(1));
        s.release(at(116), Wakes::ByDensity);
        assert_eq!((s.deadline(), s.remaining()), (at(122), d(3)));
        s.release(at(124), Wakes::ByDensity);
        assert_eq!((s.deadline(), s.remaining()), (at(130), d(4)), "nothing is owed any more");
    }

    #[test]
    fn what_the_task_did_not_get_comes_back_once() {
        let mut s = Server::new(d(4), d(8), d(8));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(3));
        assert!(!s.is_in_doubt(), "nothing hangs on it");
        s.charge(d(2));
        assert!(s.is_in_doubt());
        // 5 were charged, 3 used: 1 is left of 4.
        s.measured(d(3));
        assert_eq!(s.remaining(), d(1));
        // From here on the measurement begins anew, and 2 of the 2 charged were used: exhausted for good.
        s.charge(d(2));
        assert!(s.is_in_doubt());
        s.measured(d(2));
        assert!(s.is_exhausted() && !s.is_in_doubt());
        // Time that passes until the task is stopped changes nothing about that.
        s.charge(d(1));
        assert!(!s.is_in_doubt());
        s.replenish(at(108));
        assert_eq!(s.remaining(), d(2), "1 was really used too much, and 1 after the verdict");
    }

    #[test]
    fn no_more_comes_back_than_was_charged_to_this_budget() {
        let mut s = Server::new(d(4), d(8), d(8));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(4));
        s.measured(d(0));
        assert_eq!(s.remaining(), d(4));
        s.measured(d(0));
        assert_eq!(s.remaining(), d(4), "once");
        s.charge(d(3));
        s.release(at(108), Wakes::ByDensity);
        s.charge(d(4));
        s.measured(d(0));
        assert_eq!(s.remaining(), d(4), "not what was charged before");
        // Too high an answer takes nothing away.
        s.charge(d(1));
        s.measured(d(100));
        assert_eq!(s.remaining(), d(3));
    }

    #[test]
    fn where_densities_do_not_fit_a_pause_costs_the_rest_of_the_budget() {
        let mut s = Server::new(d(4), d(6), d(10));
        s.release(at(100), Wakes::Postponed);
        s.charge(d(1));
        s.wake(at(103), d(0), Wakes::Postponed);
        assert_eq!((s.deadline(), s.remaining()), (at(116), d(4)), "on the budget of 110");
        s.charge(d(3));
        s.wake(at(108), d(0), Wakes::Postponed);
        s.release(at(110), Wakes::Postponed);
        assert_eq!((s.deadline(), s.remaining()), (at(116), d(1)), "one period ahead, no more");
        s.wake(at(112), d(0), Wakes::Postponed);
        assert_eq!((s.deadline(), s.remaining()), (at(126), d(4)));
        s.wake(at(135), d(0), Wakes::Postponed);
        assert_eq!((s.deadline(), s.remaining()), (at(141), d(4)), "after a whole period a new one begins");
    }

    /// A job that is released while the period is under way in which the one before woke up late is no better than a wake-up.
    #[test]
    fn a_release_in_mid_period_keeps_to_the_bandwidth() {
        let mut s = Server::new(d(40), d(80), d(80));
        s.release(at(1000), Wakes::ByDensity);
        s.charge(d(3));
        s.wake(at(1011), d(0), Wakes::ByDensity);
        s.charge(d(5));
        assert_eq!((s.deadline(), s.remaining()), (at(1091), d(35)));
        s.release(at(1080), Wakes::ByDensity);
        assert_eq!((s.deadline(), s.remaining()), (at(1160), d(40)), "35 in the 11 that are left would be too much");
    }

    #[test]
    fn a_suspension_is_paid_for() {
        let mut s = Server::new(d(8), d(16), d(16));
        s.release(at(100), Wakes::ByDensity);
        s.charge(d(4));
        s.wake(at(105), d(1), Wakes::ByDensity);
        s.charge(d(4));
        assert!(s.is_in_doubt());
        // 8 charged, 5 used, 1 for the suspension.
        s.measured(d(5));
        assert_eq!(s.remaining(), d(2));
    }

    #[test]
    fn a_long_absence_is_skipped_in_one_step() {
        let mut s = Server::new(d(1), d(1), d(1));
        s.release(at(1), Wakes::ByDensity);
        s.charge(d(1));
        s.replenish(at(u64::MAX / 2));
        assert!(!s.is_exhausted());
        assert!(s.replenishment() + d(2) > at(u64::MAX / 2));
    }

    #[test]
    fn credit_runs_out_for_a_hog_and_comes_back_with_sleep() {
        let mut c = Credit::full(d(100), at(0));
        assert_eq!(c.lasts(500), d(200));
        c.charge(d(200), 500, d(100), at(200));
        assert!(c.is_exhausted());
        c.charge(d(0), 500, d(100), at(202));
        assert!(!c.is_exhausted());
        c.charge(d(100_000), 500, d(100), at(100_202));
        c.charge(d(0), 500, d(100), at(100_202 + 400));
        assert_eq!(c.lasts(500), d(200));
    }
}
