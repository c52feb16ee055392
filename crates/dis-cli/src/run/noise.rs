//! How much the rest of the machine disturbed a run.

use std::fs;

use dis_workload::report::Noise;

use crate::sys;

/// Counts from its making on.
#[derive(Debug)]
pub struct NoiseMeter {
    cpus: Vec<usize>,
    began: u64,
    before: Ticks,
    own_ns: u64,
}

/// What a run was disturbed by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Disturbance {
    /// The report's part.
    pub noise: Noise,
    /// How long was counted, ns: the run and what it took to end it.
    pub elapsed_ns: u64,
}

/// From `/proc/stat`, in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ticks {
    /// Of the CPUs of the run.
    busy: u64,
    /// Of the whole machine.
    steal: u64,
}

impl NoiseMeter {
    /// Begins to count for a run on these CPUs of the machine.
    pub fn start(cpus: &[usize]) -> Self {
        let (began, own_ns) = (sys::monotonic(), sys::process_cpu_time());
        NoiseMeter { cpus: cpus.to_vec(), began, before: Ticks::now(cpus), own_ns }
    }

    /// What has come together. Where the system does not say, 0.
    pub fn read(&self) -> Disturbance {
        let (now, tick) = (Ticks::now(&self.cpus), 1_000_000_000 / sys::ticks_per_second());
        let own = sys::process_cpu_time().saturating_sub(self.own_ns);
        let ns = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(tick);
        Disturbance {
            noise: Noise {
                steal_ns: ns(now.steal, self.before.steal),
                load1: load1(),
                foreign_ns: ns(now.busy, self.before.busy).saturating_sub(own),
            },
            elapsed_ns: sys::monotonic().saturating_sub(self.began),
        }
    }
}

impl Disturbance {
    /// Adds that of another round.
    pub fn merge(&mut self, other: &Disturbance) {
        self.noise.steal_ns += other.noise.steal_ns;
        self.noise.load1 = self.noise.load1.max(other.noise.load1);
        self.noise.foreign_ns += other.noise.foreign_ns;
        self.elapsed_ns += other.elapsed_ns;
    }

    /// What other processes used, as part of the CPUs.
    pub fn foreign_share(&self, cpus: usize) -> f64 {
        self.noise.foreign_ns as f64 / (self.elapsed_ns.max(1) as f64 * cpus.max(1) as f64)
    }

    /// The same for what a hypervisor took.
    pub fn steal_share(&self, cpus: usize) -> f64 {
        self.noise.steal_ns as f64 / (self.elapsed_ns.max(1) as f64 * cpus.max(1) as f64)
    }
}

impl Ticks {
    fn now(cpus: &[usize]) -> Ticks {
        Ticks::of(&fs::read_to_string("/proc/stat").unwrap_or_default(), cpus)
    }

    /// Lines of user nice system idle iowait irq softirq steal ... (proc(5)); guests are part of user and nice.
    fn of(stat: &str, cpus: &[usize]) -> Ticks {
        let mut ticks = Ticks::default();
        for line in stat.lines() {
            let mut words = line.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
            let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
            let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
            if number.is_empty() {
                ticks.steal = at(7);
            } else if number.parse().is_ok_and(|number| cpus.contains(&number)) {
                ticks.busy += at(0) + at(1) + at(2) + at(5) + at(6);
            }
        }
        ticks
    }
}

fn load1() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_the_lines_of_the_cpus() {
        let stat = "cpu  9 9 9 9 9 9 9 128\ncpu0 9 9 9 9\ncpu1 1 2 4 8 16 32 64 5\ncpu2 100 0 0\nintr 5 6\n";
        assert_eq!(Ticks::of(stat, &[1, 2]), Ticks { busy: 1 + 2 + 4 + 32 + 64 + 100, steal: 128 });
        assert_eq!(Ticks::of("", &[0]), Ticks::default());
        assert!(load1() >= 0.0);
    }

    #[test]
    fn shares_are_of_all_cpus() {
        let noise = Noise { steal_ns: 10, load1: 0.0, foreign_ns: 40 };
        let mut disturbance = Disturbance { noise, elapsed_ns: 100 };
        disturbance.merge(&disturbance.clone());
        assert_eq!((disturbance.steal_share(2), disturbance.foreign_share(2)), (0.05, 0.2));
        assert_eq!(Disturbance::default().foreign_share(0), 0.0);
    }
}
