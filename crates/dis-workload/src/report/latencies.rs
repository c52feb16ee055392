//! Collects times and summarises them.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::Summary;
use super::samples::Extremes;

/// Largest time told apart, ns: one hour. Longer ones count as that in percentiles, but not in `max` and `mean`.
const HIGHEST: u64 = 3_600_000_000_000;

/// A histogram of times in nanoseconds, exact to 3 significant digits; minimum, maximum and mean are exact.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Option<Histogram<u64>>,
    min: u64,
    max: u64,
    sum: u128,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// No sample.
    pub fn new() -> Self {
        // Fails only for bounds that make no sense; then percentiles would be missing, and nothing else.
        let histogram = Histogram::new_with_bounds(1, HIGHEST, 3).ok();
        Self { histogram, min: u64::MAX, max: 0, sum: 0, count: 0 }
    }

    /// Adds a time of `ns` nanoseconds. Does not allocate.
    pub fn record(&mut self, ns: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(ns);
        }
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
        self.sum += u128::from(ns);
        self.count += 1;
    }

    /// Adds times of which only the leading digits are known, each so many times, and what is known exactly of them.
    pub(super) fn add(&mut self, many: &BTreeMap<u64, u64>, exact: Extremes) {
        for (&ns, &count) in many {
            if let Some(histogram) = &mut self.histogram {
                histogram.saturating_record_n(ns, count);
            }
            self.count += count;
        }
        self.min = self.min.min(exact.min);
        self.max = self.max.max(exact.max);
        self.sum += u128::from(exact.sum);
    }

    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The summary; `None` without a sample.
    pub fn summary(&self) -> Option<Summary> {
        let histogram = self.histogram.as_ref().filter(|_| self.count > 0)?;
        // The histogram answers with the top of a bucket, which may lie beyond the largest sample.
        let at = |quantile| histogram.value_at_quantile(quantile).clamp(self.min, self.max);
        Some(Summary {
            min: self.min,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max,
            mean: u64::try_from(self.sum / u128::from(self.count)).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_has_no_summary() {
        assert_eq!(Latencies::new().summary(), None);
    }

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=10_000u64).for_each(|n| latencies.record(n * 1_000));
        let summary = latencies.summary().unwrap();
        assert_eq!((summary.min, summary.max, summary.mean), (1_000, 10_000_000, 5_000_500));
        let near = |value: u64, wanted: u64| value.abs_diff(wanted) <= wanted / 1_000 + 1_000;
        assert!(near(summary.p50, 5_000_000) && near(summary.p99, 9_900_000) && near(summary.p999, 9_990_000));
    }

    #[test]
    fn one_sample_is_every_percentile_and_extremes_are_kept() {
        for ns in [0, 1, 123_457, HIGHEST * 2, u64::MAX] {
            let mut latencies = Latencies::new();
            latencies.record(ns);
            let summary = latencies.summary().unwrap();
            assert_eq!((summary.min, summary.p50, summary.max, summary.mean), (ns, ns, ns, ns), "{ns}");
        }
    }
}
