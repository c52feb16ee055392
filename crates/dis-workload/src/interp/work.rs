//! CPU time to order: a spin loop whose speed has been measured.
//!
//! A task that is to compute for a time cannot watch a clock: it may be preempted, and several tasks may share what the
//! host can measure, so neither wall time nor a thread's CPU time is the task's own. It computes a number of rounds
//! instead. The loop is one chain of multiplications that depend on each other, so it takes the same time whatever
//! else the core does, a hyperthread beside it included.

use core::hint::black_box;

/// CPU time between two looks at whether the run is over, ns.
pub const CHUNK_NS: u64 = 50_000;

/// The speed of the loop: rounds in 2^20 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    rounds: u64,
}

/// Computes `rounds` rounds.
#[inline(never)]
pub fn spin(rounds: u64) {
    let mut x = black_box(0x9E37_79B9_7F4A_7C15_u64);
    for round in 0..rounds {
        x = (x ^ round).wrapping_mul(0xD129_0D3A_5B35_9B1B);
    }
    black_box(x);
}

impl Speed {
    /// That of a CPU which was seen to [`spin`] so many rounds in `ns` nanoseconds of CPU time.
    pub fn measured(rounds: u64, ns: u64) -> Speed {
        Speed { rounds: ((u128::from(rounds) << 20) / u128::from(ns.max(1))).max(1) as u64 }
    }

    /// How many per cent slower `self` is than `other`; negative if faster.
    pub fn slower_than(self, other: Speed) -> f64 {
        (other.rounds as f64 / self.rounds as f64 - 1.0) * 100.0
    }

    /// Computes for `ns` nanoseconds, if the speed is right.
    pub fn spin(self, ns: u64) {
        spin(((u128::from(ns) * u128::from(self.rounds)) >> 20) as u64);
    }

    /// Uses `ns` of CPU time, in chunks; after each asks whether to go on. Answers how much it used.
    pub fn burn(self, ns: u64, mut go_on: impl FnMut() -> bool) -> u64 {
        let mut left = ns;
        while left > 0 {
            let chunk = left.min(CHUNK_NS);
            self.spin(chunk);
            left -= chunk;
            if left > 0 && !go_on() {
                break;
            }
        }
        ns - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_stops_when_told() {
        let speed = Speed::measured(1 << 20, 1 << 20);
        let mut asked = 0;
        let burnt = speed.burn(10 * CHUNK_NS, || {
            asked += 1;
            asked < 3
        });
        assert_eq!((burnt, asked), (3 * CHUNK_NS, 3));
        assert_eq!(speed.burn(0, || false), 0);
    }
}
