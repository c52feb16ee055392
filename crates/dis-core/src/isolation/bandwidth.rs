//! Group bandwidth: CPU time for all tasks of a domain together, on all CPUs.

use crate::api::{Duration, SchedError, SchedResult, Timestamp};
use crate::sync::{AtomicU64, Ordering};

/// CPU time per period, over all CPUs together: 15 ms in 10 ms is one and a half CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// CPU time in each period, 100 µs at least.
    pub budget: Duration,
    /// Length of a period, 1 ms to 1 s.
    pub period: Duration,
}

impl Bandwidth {
    /// `share` ‰ of one CPU (more than 1000 is more than one) in each 10 ms.
    pub const fn per_mille(share: u32) -> Bandwidth {
        Bandwidth { budget: Duration::from_micros(share as u64 * 10), period: Duration::from_millis(10) }
    }

    pub(super) fn validate(&self) -> SchedResult<()> {
        if !(Duration::from_millis(1)..=Duration::from_secs(1)).contains(&self.period) {
            return Err(SchedError::NotSupported("a CPU quota with a period outside 1 ms to 1 s"));
        }
        if self.budget < Duration::from_micros(100) {
            return Err(SchedError::NotSupported("a CPU quota of less than 100 us a period; lengthen the period"));
        }
        Ok(())
    }
}

/// What a CPU that is not the last to use the budget may use at once, however little its part of the rest is.
const LEAST: i64 = 25_000;

/// For how many periods, at most, a CPU that has used the budget is reckoned with.
const MEMORY: u64 = 32;

/// The budget of a domain, which all CPUs take from.
///
/// There is one number, and no parts of it are handed out to CPUs: each CPU asks again when it may have used its part of what is
/// left, as far as those who used the budget lately are as many now. What they have used too much by then is owed to the next period,
/// so in the long run nobody gets more than the budget, and none of it is lost in a CPU that does not need it.
#[derive(Debug)]
pub(super) struct Pool {
    bandwidth: Bandwidth,
    /// When the present period began; periods begin at multiples of their length.
    start: AtomicU64,
    /// What is left, ns; as a signed number.
    left: AtomicU64,
    /// The CPUs (modulo 64) that have used it in this period, and in those before.
    users: AtomicU64,
    before: AtomicU64,
}

impl Pool {
    pub fn new(bandwidth: Bandwidth) -> Pool {
        let left = AtomicU64::new(bandwidth.budget.as_nanos());
        let [start, users, before] = [(); 3].map(|()| AtomicU64::new(0));
        Pool { bandwidth, start, left, users, before }
    }

    fn end(&self) -> Timestamp {
        Timestamp::from_nanos(self.start.load(Ordering::Relaxed)) + self.bandwidth.period
    }

    fn left(&self) -> i64 {
        self.left.load(Ordering::Relaxed) as i64
    }

    fn take(&self, span: Duration) {
        self.left.fetch_sub(span.as_nanos(), Ordering::Relaxed);
    }

    /// Begins the period that contains `now`: what is owed is owed still, what was not used is lost.
    fn roll(&self, now: Timestamp) {
        let start = self.start.load(Ordering::Relaxed);
        let (period, budget) = (self.bandwidth.period.as_nanos(), self.bandwidth.budget.as_nanos() as i64);
        let over = now.as_nanos().saturating_sub(start) / period;
        let next = start + over * period;
        if over == 0 || self.start.compare_exchange(start, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let more = budget.saturating_mul(i64::try_from(over).unwrap_or(i64::MAX));
        let refill = |left: u64| Some((left as i64).saturating_add(more).min(budget) as u64);
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refill);
        let users = self.users.swap(0, Ordering::Relaxed);
        // One that has paused may come back; too many are assumed rather than too few.
        let earlier = if (next / period).is_multiple_of(MEMORY) { 0 } else { self.before.load(Ordering::Relaxed) };
        self.before.store(earlier | users, Ordering::Relaxed);
    }

    /// `cpu` has used `ran`, up to `now`.
    pub fn charge(&self, cpu: usize, ran: Duration, now: Timestamp) {
        // What was used before the period's end is that period's.
        let early = Duration::from_nanos(ran.as_nanos().saturating_sub(now.since(self.end()).as_nanos()));
        self.take(early);
        self.roll(now);
        self.take(Duration::from_nanos(ran.as_nanos() - early.as_nanos()));
        let bit = 1 << (cpu % 64);
        if self.users.load(Ordering::Relaxed) & bit == 0 {
            self.users.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// When there is something again, if there is nothing now.
    pub fn exhausted_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.roll(now);
        (self.left() <= 0).then(|| self.end())
    }

    /// When a CPU that uses it must look again.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        self.roll(now);
        let users = self.users.load(Ordering::Relaxed) | self.before.load(Ordering::Relaxed);
        let left = self.left().max(0);
        let part = (left / i64::from(users.count_ones().max(1))).max(left.min(LEAST));
        self.end().min(now + Duration::from_nanos(part as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Timestamp {
        Timestamp::from_nanos(us * 1000)
    }

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn what_is_owed_is_kept_and_what_is_left_is_lost() {
        let pool = Pool::new(Bandwidth { budget: us(4000), period: us(10_000) });
        pool.charge(0, us(5000), at(5000));
        assert_eq!(pool.exhausted_until(at(5000)), Some(at(10_000)));
        assert_eq!(pool.exhausted_until(at(10_000)), None);
        assert_eq!(pool.horizon(at(10_000)), at(13_000), "a thousand are owed");
        pool.charge(0, us(1000), at(11_000));
        assert_eq!(pool.horizon(at(50_000)), at(54_000), "no more than one budget, however long nobody came");
    }

    #[test]
    fn what_ran_across_the_end_is_charged_to_both_periods() {
        let pool = Pool::new(Bandwidth { budget: us(10_000), period: us(10_000) });
        pool.charge(0, us(10_000), at(12_000));
        assert_eq!(pool.horizon(at(12_000)), at(20_000));
        assert_eq!(pool.left(), 8_000_000);
    }

    #[test]
    fn those_who_use_it_share_what_is_left() {
        let pool = Pool::new(Bandwidth { budget: us(8000), period: us(10_000) });
        pool.charge(0, us(1000), at(1000));
        pool.charge(1, us(1000), at(1000));
        assert_eq!(pool.horizon(at(1000)), at(4000));
        pool.charge(0, us(3000), at(4000));
        pool.charge(1, us(3000), at(4000));
        assert_eq!(pool.exhausted_until(at(4000)), Some(at(10_000)));
    }
}
