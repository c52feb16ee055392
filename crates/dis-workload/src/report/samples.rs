//! Measured times, small while there are few.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

#[cfg(feature = "std")]
use super::{Latencies, Summary};

/// So many are kept as they are; further ones are counted by their leading digits.
const FEW: usize = 16 * 1024;
/// How many bits of a time tell it from others once it is only counted: three decimal digits, as in a report.
const BITS: u32 = 11;

/// Times in ns.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Samples {
    few: Vec<u64>,
    /// Once there are more than a few: how many times have these leading digits.
    many: BTreeMap<u64, u64>,
    /// Of those in `many`.
    extremes: Option<Extremes>,
}

/// What is exact, however many times there are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Extremes {
    pub min: u64,
    pub max: u64,
    pub sum: u64,
}

impl Samples {
    /// Adds one. O(1) while there are few; else O(log n) in the number of times that differ in three digits.
    pub fn record(&mut self, ns: u64) {
        if self.extremes.is_some() {
            return self.count(ns);
        }
        if self.few.len() == FEW {
            self.spill();
            return self.count(ns);
        }
        self.few.push(ns);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Samples) {
        if let Some(theirs) = other.extremes {
            self.spill();
            other.many.iter().for_each(|(&ns, &count)| *self.many.entry(ns).or_default() += count);
            self.extremes = Some(self.extremes.map_or(theirs, |own| Extremes {
                min: own.min.min(theirs.min),
                max: own.max.max(theirs.max),
                sum: own.sum.saturating_add(theirs.sum),
            }));
        }
        other.few.iter().for_each(|&ns| self.record(ns));
    }

    /// From now on times are counted only.
    fn spill(&mut self) {
        core::mem::take(&mut self.few).into_iter().for_each(|ns| self.count(ns));
    }

    fn count(&mut self, ns: u64) {
        let cut = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS);
        *self.many.entry(ns >> cut << cut).or_default() += 1;
        let own = self.extremes.get_or_insert(Extremes { min: ns, max: ns, sum: 0 });
        *own = Extremes { min: own.min.min(ns), max: own.max.max(ns), sum: own.sum.saturating_add(ns) };
    }

    /// The summary; `None` without a sample.
    #[cfg(feature = "std")]
    pub fn summary(&self) -> Option<Summary> {
        let mut all = Latencies::new();
        self.few.iter().for_each(|&ns| all.record(ns));
        if let Some(extremes) = self.extremes {
            all.add(&self.many, extremes);
        }
        all.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_agree_with_a_histogram() {
        let mut all = Latencies::new();
        let (mut one, mut two, mut merged) = (Samples::default(), Samples::default(), Samples::default());
        for ns in (0..FEW as u64 * 2 + 7).map(|n| n * 31 % 100_003) {
            all.record(ns);
            if ns % 5 == 0 { two.record(ns) } else { one.record(ns) }
        }
        assert!(one.extremes.is_some() && two.extremes.is_none());
        merged.merge(&two);
        merged.merge(&one);
        assert_eq!(merged.summary(), all.summary());
        let text = serde_json::to_string(&merged).unwrap();
        assert_eq!(serde_json::from_str::<Samples>(&text).unwrap().summary(), all.summary());
        one.merge(&merged);
        assert_eq!(one.summary().unwrap().max, 100_002);
        assert_eq!(Samples::default().summary(), None);
    }
}
