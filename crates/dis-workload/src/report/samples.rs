//! Measured times, small while there are few.

use super::{Latencies, Summary};

/// So many are kept as they are; a histogram takes 270 KB whatever is in it.
const FEW: usize = 16 * 1024;

/// Times in ns.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    few: Vec<u64>,
    many: Option<Box<Latencies>>,
}

impl Samples {
    /// Adds one.
    pub fn record(&mut self, ns: u64) {
        if let Some(many) = &mut self.many {
            return many.record(ns);
        }
        if self.few.len() == FEW {
            let mut many = Box::new(Latencies::new());
            self.few.drain(..).for_each(|ns| many.record(ns));
            many.record(ns);
            self.many = Some(many);
            self.few = Vec::new();
        } else {
            self.few.push(ns);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Samples) {
        if let Some(other) = &other.many {
            let many = self.many.get_or_insert_default();
            many.merge(other);
            self.few.drain(..).for_each(|ns| many.record(ns));
        }
        other.few.iter().for_each(|&ns| self.record(ns));
    }

    /// The summary; `None` without a sample.
    pub fn summary(&self) -> Option<Summary> {
        match &self.many {
            Some(many) => many.summary(),
            None => {
                let mut all = Latencies::new();
                self.few.iter().for_each(|&ns| all.record(ns));
                all.summary()
            }
        }
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
        assert!(one.many.is_some() && two.many.is_none());
        merged.merge(&two);
        merged.merge(&one);
        assert_eq!(merged.summary(), all.summary());
        assert_eq!(Samples::default().summary(), None);
    }
}
