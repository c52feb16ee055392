//! How often which time was seen: four buckets for each power of two.

use dis_control::protocol::Latency;

const BUCKETS: usize = 4 * 63;

/// 1 KiB each.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    max: u64,
}

fn bucket(ns: u64) -> usize {
    if ns < 4 {
        return ns as usize;
    }
    let octave = ns.ilog2();
    (octave as usize - 1) * 4 + (ns >> (octave - 2) & 3) as usize
}

/// The greatest value of a bucket.
fn top(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (shift, quarter) = (bucket / 4 - 1, bucket as u64 % 4);
    ((4 + quarter) << shift) + ((1 << shift) - 1)
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, ns: u64) {
        let count = &mut self.counts[bucket(ns)];
        *count = count.saturating_add(1);
        self.total += 1;
        self.max = self.max.max(ns);
    }

    pub(crate) fn latency(&self) -> Latency {
        let at = |percent: u64| {
            let rank = (self.total * percent).div_ceil(100);
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += u64::from(*count);
                seen >= rank
            });
            found.map_or(self.max, |found| top(found).min(self.max))
        };
        Latency { count: self.total, p50: at(50), p95: at(95), p99: at(99), max: self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_everything_within_a_quarter() {
        for ns in (0..2_000).chain([1 << 20, (1 << 20) - 1, u64::MAX - 1, u64::MAX]) {
            let bucket = bucket(ns);
            assert!(bucket < BUCKETS && ns <= top(bucket), "{ns}");
            assert!(bucket == 0 || ns > top(bucket - 1), "{ns}");
            assert!(top(bucket) - ns <= ns / 4, "{ns}: {}", top(bucket));
        }
    }

    #[test]
    fn percentiles_are_of_ranks() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.latency(), Latency::default());
        (1..=100).for_each(|us| histogram.record(us * 1_000));
        let Latency { count, p50, p95, p99, max } = histogram.latency();
        assert_eq!((count, max), (100, 100_000));
        for (value, exact) in [(p50, 50_000), (p95, 95_000), (p99, 99_000)] {
            assert!(value >= exact && value <= exact + exact / 4 && value <= max, "{value}");
        }
    }
}
