//! Times that are drawn at random, the same on every host and every machine.
//!
//! Integers only. Each instance of each task has a stream of its own, so what one task draws does not depend on how the
//! others were scheduled, and a workload means the same sequence of times wherever it runs.

use alloc::string::String;
use alloc::vec::Vec;

use dis_core::api::Duration;
use serde::{Deserialize, Serialize};

/// Index of a distribution in [`Objects::distributions`](super::Objects::distributions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DistributionId(pub usize);

/// Where a time comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// Every nanosecond from `low` to `high`, both included, is as likely as any other.
    Uniform {
        /// The shortest.
        low: Duration,
        /// The longest; not below `low`, above 0.
        high: Duration,
    },
    /// Nearly normal: the sum of twelve uniform numbers (Irwin and Hall), so never beyond six deviations; what would be
    /// negative is 0.
    Normal {
        /// Its mean, above 0.
        mean: Duration,
        /// Its standard deviation.
        deviation: Duration,
    },
    /// `short` again and again, and after each draw with probability 1 in `burst` once `long`: bursts of that length on
    /// average, geometrically distributed.
    Bursty {
        /// Within a burst.
        short: Duration,
        /// Between two bursts; above 0.
        long: Duration,
        /// Mean length of a burst, at least 1.
        burst: u64,
    },
    /// The times of a file in their order, and again from the start.
    Recorded {
        /// The file.
        file: String,
        /// The times; never empty, not all 0.
        times: Vec<Duration>,
    },
}

impl Distribution {
    /// The shortest time that can be drawn.
    pub fn shortest(&self) -> Duration {
        match self {
            Distribution::Uniform { low, .. } => *low,
            Distribution::Normal { mean, deviation } => *mean - deviation.mul_div(6, 1),
            Distribution::Bursty { short, long, .. } => (*short).min(*long),
            Distribution::Recorded { times, .. } => times.iter().copied().min().unwrap_or_default(),
        }
    }

    /// The longest time that can be drawn.
    pub fn longest(&self) -> Duration {
        match self {
            Distribution::Uniform { high, .. } => *high,
            Distribution::Normal { mean, deviation } => *mean + deviation.mul_div(6, 1),
            Distribution::Bursty { short, long, .. } => (*short).max(*long),
            Distribution::Recorded { times, .. } => times.iter().copied().max().unwrap_or_default(),
        }
    }
}

/// The random numbers of one instance of a task.
///
/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): eight bytes of state,
/// full period, and seeds that differ in one bit give unrelated streams, which is what a stream for each task needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draws {
    state: u64,
    /// Draws made from each recorded distribution that has been used.
    places: Vec<(DistributionId, usize)>,
}

impl Draws {
    /// The stream of instance number `instance` of task number `task`, both from 0, under a seed.
    pub fn new(seed: u64, task: usize, instance: usize) -> Draws {
        let state = [task as u64, instance as u64].into_iter().fold(mix(seed), |state, part| mix(state ^ part));
        Draws { state, places: Vec::new() }
    }

    /// The stream of the arrivals of that instance.
    pub fn of_arrivals(seed: u64, task: usize, instance: usize) -> Draws {
        Draws { state: mix(Draws::new(seed, task, instance).state ^ 1), places: Vec::new() }
    }

    /// The next time from a distribution, which has that id.
    pub fn draw(&mut self, id: DistributionId, from: &Distribution) -> Duration {
        match *from {
            Distribution::Uniform { low, high } => {
                let span = high.as_nanos().saturating_sub(low.as_nanos()).saturating_add(1);
                low + Duration::from_nanos(self.below(span))
            }
            Distribution::Normal { mean, deviation } => {
                // Twelve numbers of 32 bits have the mean 6 and the variance 1, in units of 2^32.
                let sum: u64 = (0..6).map(|_| self.next()).map(|bits| (bits >> 32) + (bits & 0xffff_ffff)).sum();
                let off = i128::from(sum) - (6_i128 << 32);
                let time = i128::from(mean.as_nanos()) + ((i128::from(deviation.as_nanos()) * off) >> 32);
                Duration::from_nanos(u64::try_from(time.max(0)).unwrap_or(u64::MAX))
            }
            Distribution::Bursty { short, long, burst } => {
                if self.below(burst.max(1)) == 0 {
                    long
                } else {
                    short
                }
            }
            Distribution::Recorded { ref times, .. } => {
                let index = self.places.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                    self.places.push((id, 0));
                    self.places.len() - 1
                });
                let place = &mut self.places[index].1;
                let time = times.get(*place).copied().unwrap_or_default();
                *place = (*place + 1) % times.len().max(1);
                time
            }
        }
    }

    /// One of `0..n`, by multiplication (Lemire 2019) without its rejection: the bias is below n / 2^64.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn next(&mut self) -> u64 {
        let bits = mix(self.state);
        self.state = self.state.wrapping_add(GAMMA);
        bits
    }
}

/// The odd number nearest to 2^64 over the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of SplitMix64: the state after `state`, mixed.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(GAMMA);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: DistributionId = DistributionId(0);
    const NORMAL: Distribution =
        Distribution::Normal { mean: Duration::from_micros(2_000), deviation: Duration::from_micros(500) };

    fn ns(ns: u64) -> Duration {
        Duration::from_nanos(ns)
    }

    fn draws(from: &Distribution, seed: u64, count: usize) -> Vec<u64> {
        let mut stream = Draws::new(seed, 3, 1);
        (0..count).map(|_| stream.draw(ID, from).as_nanos()).collect()
    }

    /// The first numbers of the seed 1234567 as the authors' Java implementation and Rosetta Code have them.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut stream = Draws { state: 1_234_567, places: Vec::new() };
        let numbers = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([stream.next(), stream.next(), stream.next()], numbers);
    }

    /// Computed apart, from the page about the format. Whatever changes these changes the meaning of every seed that somebody has noted.
    #[test]
    fn seeds_mean_the_same_for_ever() {
        let uniform = Distribution::Uniform { low: ns(1_000), high: ns(9_999) };
        assert_eq!(draws(&uniform, 42, 5), UNIFORM_42);
        assert_eq!(draws(&NORMAL, 42, 3), NORMAL_42);
    }

    const UNIFORM_42: [u64; 5] = [6266, 4140, 5033, 5249, 7126];
    const NORMAL_42: [u64; 3] = [2_114_280, 1_918_893, 2_835_888];

    #[test]
    fn streams_of_tasks_instances_and_seeds_differ() {
        let from = Distribution::Uniform { low: ns(0), high: ns(u64::MAX / 2) };
        let first = |seed, task, instance| Draws::new(seed, task, instance).draw(ID, &from);
        let all = [first(0, 0, 0), first(1, 0, 0), first(0, 1, 0), first(0, 0, 1), first(1, 1, 1), first(0, 1, 1)];
        assert!((0..all.len()).all(|i| !all[..i].contains(&all[i])), "{all:?}");
    }

    #[test]
    fn uniform_times_fill_their_range() {
        let times = draws(&Distribution::Uniform { low: ns(10), high: ns(13) }, 1, 4_000);
        let count = |wanted| times.iter().filter(|time| **time == wanted).count();
        assert!((10..=13).all(|time| (900..1_100).contains(&count(time))), "{:?}", (10..=13).map(count));
        assert_eq!(draws(&Distribution::Uniform { low: ns(7), high: ns(7) }, 1, 3), [7; 3]);
    }

    #[test]
    fn normal_times_have_their_mean_and_deviation() {
        let times = draws(&NORMAL, 5, 20_000);
        let mean = times.iter().sum::<u64>() / 20_000;
        let variance = times.iter().map(|time| time.abs_diff(2_000_000).pow(2)).sum::<u64>() / 20_000;
        assert!(mean.abs_diff(2_000_000) < 15_000, "{mean}");
        assert!(variance.isqrt().abs_diff(500_000) < 15_000, "{}", variance.isqrt());
        let clamped = Distribution::Normal { mean: ns(10), deviation: ns(1_000) };
        assert!(draws(&clamped, 5, 100).contains(&0) && clamped.longest() == ns(6_010));
    }

    #[test]
    fn bursts_have_their_length() {
        let times = draws(&Distribution::Bursty { short: ns(1), long: ns(100), burst: 8 }, 5, 16_000);
        let pauses = times.iter().filter(|time| **time == 100).count();
        assert!((1_800..2_200).contains(&pauses), "{pauses}");
        assert_eq!(times.iter().filter(|time| **time == 1).count(), 16_000 - pauses);
    }

    #[test]
    fn recorded_times_come_in_their_order_and_again() {
        let from = Distribution::Recorded { file: "f".into(), times: vec![ns(3), ns(1), ns(2)] };
        assert_eq!(draws(&from, 9, 7), [3, 1, 2, 3, 1, 2, 3]);
    }
}
