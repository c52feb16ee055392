//! How fast this machine computes.

pub use dis_workload::interp::Speed;
use dis_workload::interp::spin;

use crate::sys;

/// Length of one measurement, ns.
const SAMPLE_NS: u64 = 100_000;
/// How many measurements a calibration takes the median of.
const SAMPLES: usize = 61;

/// A measured speed, and whether the machine let it be measured.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    /// The speed.
    pub speed: Speed,
    /// By how much the samples took longer in wall time than in CPU time: near 0 if nobody disturbed them.
    pub disturbed: f64,
}

impl Calibration {
    /// Measures: the median of several short samples. CPU time counts, not wall time, so others that use the CPU meanwhile
    /// do little harm; the fastest sample would be a moment of a faster clock that does not last.
    pub fn measure() -> Calibration {
        let rounds = rounds_of_a_sample();
        let (mut wall_sum, mut cpu_sum, mut samples) = (0, 0, [0; SAMPLES]);
        for sample in &mut samples {
            let (wall, cpu) = (sys::monotonic(), sys::thread_cpu_time());
            spin(rounds);
            *sample = sys::thread_cpu_time().saturating_sub(cpu);
            wall_sum += sys::monotonic().saturating_sub(wall);
            cpu_sum += *sample;
        }
        samples.sort_unstable();
        let speed = Speed::measured(rounds, samples[SAMPLES / 2]);
        Calibration { speed, disturbed: (wall_sum as f64 / cpu_sum.max(1) as f64 - 1.0).max(0.0) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_takes_the_time_asked_for() {
        // Tests share the machine, whose clock may change between calibration and use: one attempt has to be right.
        let took: Vec<u64> = (0..20)
            .map(|_| {
                let speed = Calibration::measure().speed;
                let start = sys::thread_cpu_time();
                speed.burn(2_000_000, || true);
                sys::thread_cpu_time() - start
            })
            .collect();
        // Interrupts of a busy machine are in it.
        assert!(took.iter().any(|took| (1_800_000..2_800_000).contains(took)), "{took:?} ns");
    }
}
