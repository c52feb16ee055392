//! For how long futures are ready before they are polled, and idle: measured if the runtime was built so, as it takes a clock
//! reading for each wake-up.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_core::api::Timestamp;

/// Upper bounds of the buckets of a [`WaitHistogram`]: 1, 4, 16 µs … 1.05 s.
pub const WAIT_BOUNDS: [Duration; BUCKETS] = {
    let mut bounds = [Duration::ZERO; BUCKETS];
    let mut at = 0;
    while at < BUCKETS {
        bounds[at] = Duration::from_micros(1 << (2 * at));
        at += 1;
    }
    bounds
};

const BUCKETS: usize = 11;

/// From wake-up to poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitHistogram {
    /// How many waited so long, at most the bound of the bucket in [`WAIT_BOUNDS`] and longer than the one before.
    pub buckets: [u64; BUCKETS],
    /// How many waited longer than the last bound.
    pub beyond: u64,
    /// How long all waited together.
    pub total: Duration,
}

impl Add for WaitHistogram {
    type Output = WaitHistogram;

    fn add(mut self, other: WaitHistogram) -> WaitHistogram {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.beyond += other.beyond;
        self.total += other.total;
        self
    }
}

/// A histogram that is being filled.
#[derive(Default)]
pub(crate) struct Waits {
    /// The last one: beyond all bounds.
    buckets: [AtomicU64; BUCKETS + 1],
    total: AtomicU64,
}

impl Waits {
    /// Counts one. Of the lane's pollers several may do so at a time.
    pub(crate) fn count(&self, ns: u64) {
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> WaitHistogram {
        let of = |at: usize| self.buckets[at].load(Ordering::Relaxed);
        WaitHistogram {
            buckets: std::array::from_fn(of),
            beyond: of(BUCKETS),
            total: Duration::from_nanos(self.total.load(Ordering::Relaxed)),
        }
    }
}

/// The first bucket whose bound is not less.
fn bucket(ns: u64) -> usize {
    let us = ns.div_ceil(1000).max(1);
    // The least n with us <= 4^n.
    ((u64::BITS - (us - 1).leading_zeros()).div_ceil(2) as usize).min(BUCKETS)
}

/// What is measured of one future; ns. Changed by whoever makes it ready, or polls it: one at a time.
pub(crate) struct Times {
    spawned: AtomicU64,
    /// Since when it is ready; 0: it is not.
    ready: AtomicU64,
    /// Since when it is being polled; 0: it is not.
    polled: AtomicU64,
    scheduled: AtomicU64,
}

/// For how long a future has been what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutureTimes {
    /// Since it was spawned.
    pub total: Duration,
    /// Ready, or in the middle of a poll, without a CPU.
    pub scheduled: Duration,
    /// Waiting for something.
    pub idle: Duration,
}

impl Times {
    pub(crate) fn new(now: Timestamp) -> Times {
        Times {
            spawned: AtomicU64::new(now.as_nanos()),
            ready: AtomicU64::new(0),
            polled: AtomicU64::new(0),
            scheduled: AtomicU64::new(0),
        }
    }

    /// The future becomes ready.
    pub(crate) fn ready(&self, now: Timestamp) {
        self.ready.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// A poll begins; how long it was waited for.
    pub(crate) fn begin(&self, began: u64) -> u64 {
        let waited = began.saturating_sub(self.ready.swap(0, Ordering::Relaxed));
        self.polled.store(began, Ordering::Relaxed);
        self.scheduled.fetch_add(waited, Ordering::Relaxed);
        waited
    }

    /// It has ended, after it has held a CPU for `held`.
    pub(crate) fn end(&self, now: u64, held: u64) {
        let began = self.polled.swap(0, Ordering::Relaxed);
        self.scheduled.fetch_add(now.saturating_sub(began + held), Ordering::Relaxed);
    }

    /// What there is to say at `now` of a future that has held a CPU for `busy` in the polls that have ended. Momentary: while it
    /// changes, a wait may be counted twice or not at all.
    pub(crate) fn read(&self, now: Timestamp, busy: u64) -> FutureTimes {
        let since = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => 0,
            at => now.as_nanos().saturating_sub(at),
        };
        let scheduled = self.scheduled.load(Ordering::Relaxed) + since(&self.ready);
        let total = since(&self.spawned);
        let idle = total.saturating_sub(busy + scheduled + since(&self.polled));
        let time = Duration::from_nanos;
        FutureTimes { total: time(total), scheduled: time(scheduled), idle: time(idle) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_has_its_bucket() {
        for (at, bound) in WAIT_BOUNDS.iter().enumerate() {
            let ns = bound.as_nanos() as u64;
            assert_eq!((bucket(ns), bucket(ns + 1)), (at, at + 1));
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS));
        let waits = Waits::default();
        [500, 5_000, u64::from(u32::MAX)].into_iter().for_each(|ns| waits.count(ns));
        let read = waits.read() + waits.read();
        assert_eq!((read.buckets[0], read.buckets[2], read.beyond), (2, 2, 2));
        assert_eq!(read.total, 2 * Duration::from_nanos(5_500 + u64::from(u32::MAX)));
    }

    #[test]
    fn times_add_up() {
        let at = Timestamp::from_nanos;
        let times = Times::new(at(100));
        times.ready(at(100));
        assert_eq!(times.begin(130), 30);
        times.end(200, 50); // 20 of it away from the CPU.
        let read = times.read(at(300), 50);
        let ns = |time: Duration| time.as_nanos();
        assert_eq!((ns(read.total), ns(read.scheduled), ns(read.idle)), (200, 50, 100));
        times.ready(at(300));
        let read = times.read(at(310), 50);
        assert_eq!((ns(read.total), ns(read.scheduled), ns(read.idle)), (210, 60, 100));
        times.begin(310);
        assert_eq!(ns(times.read(at(400), 50).idle), 100);
    }
}
