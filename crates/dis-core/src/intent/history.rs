//! What a task's past executions say about the next.

use crate::api::Duration;

/// Running mean and variance of execution times (Welford's method, in integers) and the deadline miss rate.
///
/// An execution is what a task runs between two wake-ups; for a Realtime task, one job. Values are exact to a
/// fraction of a nanosecond: mean and squared deviations carry 8 fractional bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskHistory {
    samples: u64,
    misses: u64,
    /// Mean, ns in 56.8 fixed point.
    mean: i64,
    /// Sum of squared deviations from the mean, ns².
    squares: u128,
    longest: Duration,
}

const FRACTION: u32 = 8;

impl TaskHistory {
    /// Adds an execution that took `execution` of CPU time and met its deadline or `missed` it.
    pub fn record(&mut self, execution: Duration, missed: bool) {
        // 2^54 ns is half a year of CPU time in one go; longer ones count as that.
        let x = (execution.as_nanos().min(1 << 54) as i64) << FRACTION;
        self.samples += 1;
        self.misses += u64::from(missed);
        let before = x - self.mean;
        self.mean += before / self.samples as i64;
        let after = x - self.mean;
        // Both deviations have the same sign, so the product is never negative.
        self.squares =
            self.squares.saturating_add((i128::from(before) * i128::from(after)).unsigned_abs() >> (2 * FRACTION));
        self.longest = self.longest.max(execution);
    }

    /// Number of executions seen.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Mean execution time; zero without samples.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(((self.mean + (1 << (FRACTION - 1))) >> FRACTION) as u64)
    }

    /// Longest execution time.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Sample variance in ns²; zero with fewer than two samples.
    pub fn variance(&self) -> u128 {
        self.squares / u128::from(self.samples.saturating_sub(1).max(1))
    }

    /// Standard deviation.
    pub fn std_dev(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.variance().isqrt()).unwrap_or(u64::MAX))
    }

    /// Deadline misses per million executions.
    pub fn miss_rate_ppm(&self) -> u32 {
        (u128::from(self.misses) * 1_000_000 / u128::from(self.samples.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_counts_once() {
        let mut h = TaskHistory::default();
        h.record(Duration::from_nanos(100), false);
        assert_eq!((h.samples(), h.mean(), h.variance()), (1, Duration::from_nanos(100), 0));
    }

    #[test]
    fn mean_variance_and_miss_rate_of_a_known_series() {
        let mut h = TaskHistory::default();
        for (i, us) in [2u64, 4, 4, 4, 5, 5, 7, 9].into_iter().enumerate() {
            h.record(Duration::from_micros(us), i % 4 == 0);
        }
        assert_eq!(h.mean(), Duration::from_micros(5));
        // Sum of squared deviations is 32 µs²; over 7.
        assert!(h.variance().abs_diff(32_000_000 / 7) < 1_000, "{}", h.variance());
        assert_eq!(h.std_dev().as_nanos() / 10, 213);
        assert_eq!(h.miss_rate_ppm(), 250_000);
        assert_eq!(h.longest(), Duration::from_micros(9));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut h = TaskHistory::default();
        for n in [u64::MAX, 0, u64::MAX, 0] {
            h.record(Duration::from_nanos(n), true);
        }
        assert_eq!(h.miss_rate_ppm(), 1_000_000);
        assert!(h.mean().as_nanos() <= 1 << 54);
    }
}
