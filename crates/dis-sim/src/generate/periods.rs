//! Distributions of periods.

use dis_core::api::Duration;

use super::random::Random;
use super::{GenerateError, TICK};

/// Longest period.
const LONGEST: Duration = Duration::from_millis(1_000_000);

/// How periods are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Periods {
    /// The logarithm of the period is uniform, so each order of magnitude has as many tasks as the next. Rounded to ticks.
    LogUniform {
        /// Shortest period, at least a tick.
        min: Duration,
        /// Longest period, at most 1,000 s.
        max: Duration,
    },
    /// Periods of automotive engine software: 1, 2, 5, 10, 20, 50, 100, 200 and 1000 ms with the shares 3, 2, 2, 25, 25, 3, 20, 1
    /// and 4 (Kramer, Ziegenbein, Hamann, "Real World Automotive Benchmarks for Free", WATERS 2015). Their sum is 85: the other
    /// 15 % of such software is bound to the angle of the crankshaft and has no period.
    Automotive,
}

const AUTOMOTIVE: [(u64, usize); 9] =
    [(1, 3), (2, 2), (5, 2), (10, 25), (20, 25), (50, 3), (100, 20), (200, 1), (1_000, 4)];

impl Periods {
    /// Whether the range is one.
    pub(super) fn check(self) -> Result<(), GenerateError> {
        match self {
            Periods::LogUniform { min, max } if min < TICK || max < min || max > LONGEST => {
                Err(GenerateError::Periods(min, max))
            }
            _ => Ok(()),
        }
    }

    /// A period, in whole ticks.
    pub(super) fn draw(self, random: &mut Random) -> Duration {
        match self {
            Periods::LogUniform { min, max } => {
                let (low, high) = (ticks(min), ticks(max));
                let ratio = libm::log(high as f64 / low as f64);
                let drawn = low as f64 * libm::exp(ratio * random.unit());
                // Rounded to the nearest, by hand: `f64::round` may be the platform's.
                let nearest = (drawn + 0.5) as u64;
                Duration::from_nanos(nearest.clamp(low, high) * TICK.as_nanos())
            }
            Periods::Automotive => {
                let mut at = random.below(AUTOMOTIVE.iter().map(|(_, share)| share).sum());
                let drawn = AUTOMOTIVE.iter().find(|(_, share)| {
                    let here = at < *share;
                    at = at.saturating_sub(*share);
                    here
                });
                Duration::from_millis(drawn.map_or(1_000, |(period, _)| *period))
            }
        }
    }
}

fn ticks(time: Duration) -> u64 {
    time.as_nanos() / TICK.as_nanos()
}
