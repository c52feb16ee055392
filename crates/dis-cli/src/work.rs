//! CPU time to order: a spin loop whose speed has been measured.
//!
//! A task that is to compute for a time cannot watch a clock: it may be preempted, and under DIS several tasks share a
//! kernel thread, so neither wall time nor the thread's CPU time is the task's own. It computes a number of rounds
//! instead. The loop is one chain of multiplications that depend on each other, so it takes the same time whatever
//! else the core does, a hyperthread beside it included.

use std::hint::black_box;

use crate::sys;

/// Length of one measurement, ns.
const SAMPLE_NS: u64 = 100_000;
/// How many measurements a calibration takes the median of.
const SAMPLES: usize = 61;
/// CPU time between two looks at whether the run is over, ns.
pub const CHUNK_NS: u64 = 50_000;

/// The speed of the loop: rounds in 2^20 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    rounds: u64,
}

/// A measured speed, and whether the machine let it be measured.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    /// The speed.
    pub speed: Speed,
    /// By how much the samples took longer in wall time than in CPU time: near 0 if nobody disturbed them.
    pub disturbed: f64,
}

/// Computes `rounds` rounds.
#[inline(never)]
fn spin(rounds: u64) {
    let mut x = black_box(0x9E37_79B9_7F4A_7C15_u64);
    for round in 0..rounds {
        x = (x ^ round).wrapping_mul(0xD129_0D3A_5B35_9B1B);
    }
    black_box(x);
}

impl Speed {
    /// Measures: the median of several short samples. CPU time counts, not wall time, so others that use the CPU meanwhile
    /// do little harm; the fastest sample would be a moment of a faster clock that does not last.
    pub fn calibrate() -> Calibration {
        let rounds = Self::rounds_of_a_sample();
        let (mut wall_sum, mut cpu_sum, mut samples) = (0, 0, [0; SAMPLES]);
        for sample in &mut samples {
            let (wall, cpu) = (sys::monotonic(), sys::thread_cpu_time());
            spin(rounds);
            *sample = sys::thread_cpu_time().saturating_sub(cpu);
            wall_sum += sys::monotonic().saturating_sub(wall);
            cpu_sum += *sample;
        }
        samples.sort_unstable();
        let median = samples[SAMPLES / 2].max(1);
        let speed = Speed { rounds: ((u128::from(rounds) << 20) / u128::from(median)).max(1) as u64 };
        Calibration { speed, disturbed: (wall_sum as f64 / cpu_sum.max(1) as f64 - 1.0).max(0.0) }
    }

    /// Finds out how many rounds take about as long as a sample should; the core is warm afterwards.
    fn rounds_of_a_sample() -> u64 {
        let mut rounds = 1_000;
        loop {
            let start = sys::thread_cpu_time();
            spin(rounds);
            let took = sys::thread_cpu_time().saturating_sub(start);
            if took >= SAMPLE_NS {
                return (u128::from(rounds) * u128::from(SAMPLE_NS) / u128::from(took)).max(1) as u64;
            }
            rounds *= 2;
        }
    }

    /// How many per cent slower `self` is than `other`; negative if faster.
    pub fn slower_than(self, other: Speed) -> f64 {
        (other.rounds as f64 / self.rounds as f64 - 1.0) * 100.0
    }

    /// Uses `ns` of CPU time, in chunks; after each asks whether to go on. Answers how much it used.
    pub fn burn(self, ns: u64, mut go_on: impl FnMut() -> bool) -> u64 {
        let mut left = ns;
        while left > 0 {
            let chunk = left.min(CHUNK_NS);
            spin(((u128::from(chunk) * u128::from(self.rounds)) >> 20) as u64);
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
    fn burning_takes_the_time_asked_for() {
        // Tests share the machine, whose clock may change between calibration and use: one attempt has to be right.
        let took: Vec<u64> = (0..20)
            .map(|_| {
                let speed = Speed::calibrate().speed;
                let start = sys::thread_cpu_time();
                speed.burn(2_000_000, || true);
                sys::thread_cpu_time() - start
            })
            .collect();
        // Interrupts of a busy machine are in it.
        assert!(took.iter().any(|took| (1_800_000..2_800_000).contains(took)), "{took:?} ns");
    }

    #[test]
    fn burning_stops_when_told() {
        let speed = Speed { rounds: 1 << 20 };
        let mut asked = 0;
        let burnt = speed.burn(10 * CHUNK_NS, || {
            asked += 1;
            asked < 3
        });
        assert_eq!((burnt, asked), (3 * CHUNK_NS, 3));
        assert_eq!(speed.burn(0, || false), 0);
    }
}
