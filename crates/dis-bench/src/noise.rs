//! How much else happened on the machine while we measured.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

/// A measuring of the surroundings that has begun.
pub struct Watch {
    begun: Instant,
    machine: Jiffies,
    ours: u64,
}

/// What a [`Watch`] has seen.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// CPU time that the hypervisor took away, as a part of all CPU time, in percent.
    pub steal_percent: f64,
    /// CPU time that other processes used, as a part of all CPU time, in percent.
    pub foreign_percent: f64,
    /// The load average of the last minute.
    pub load1: f64,
}

/// CPU time of all CPUs since boot, in ticks.
#[derive(Clone, Copy)]
struct Jiffies {
    total: u64,
    busy: u64,
    steal: u64,
}

impl Watch {
    /// Begins.
    pub fn begin() -> Watch {
        Watch { begun: Instant::now(), machine: Jiffies::read(), ours: own_cpu_ns() }
    }

    /// What happened since.
    pub fn end(&self) -> Noise {
        let now = Jiffies::read();
        let total = (now.total - self.machine.total).max(1) as f64;
        let busy = (now.busy - self.machine.busy) as f64;
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let ours = (own_cpu_ns() - self.ours) as f64 / 1e9 / seconds / cpus;
        Noise {
            steal_percent: 100.0 * (now.steal - self.machine.steal) as f64 / total,
            foreign_percent: 100.0 * (busy / total - ours).max(0.0),
            load1: load1(),
        }
    }
}

impl Noise {
    /// Whether tails measured meanwhile say more about the machine than about the candidates.
    pub fn is_high(&self) -> bool {
        self.foreign_percent > 10.0 || self.steal_percent > 5.0
    }

    /// One line.
    pub fn describe(&self) -> String {
        let verdict = if self.is_high() { "; TOO BUSY for tails, trust ratios of medians only" } else { "" };
        format!(
            "other processes {:.0} % of all CPU time, steal {:.1} %, load {:.1}{verdict}",
            self.foreign_percent, self.steal_percent, self.load1
        )
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "steal_percent": self.steal_percent, "foreign_percent": self.foreign_percent,
            "load1": self.load1, "high": self.is_high(),
        })
    }
}

impl Jiffies {
    fn read() -> Jiffies {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let t: Vec<u64> = fields.filter_map(|f| f.parse().ok()).collect();
        let at = |i: usize| t.get(i).copied().unwrap_or(0);
        // user nice system idle iowait irq softirq steal
        Jiffies { total: (0..8).map(at).sum(), busy: at(0) + at(1) + at(2), steal: at(7) }
    }
}

/// The load average of the last minute.
pub fn load1() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or(0.0)
}

/// CPU time of this process and of its children that have ended, ns.
fn own_cpu_ns() -> u64 {
    let of = |who| {
        // SAFETY: the kernel fills the structure in; all zeros is a value of it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &mut usage);
            usage
        };
        [usage.ru_utime, usage.ru_stime].iter().map(|t| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000).sum()
    };
    let sum: u64 = of(libc::RUSAGE_SELF);
    sum + of(libc::RUSAGE_CHILDREN)
}

/// Raises this process, and all it starts from now on, above the others: nice -20 and a scheduling group of its own
/// with the highest weight. False if that is not allowed.
pub fn shield() -> bool {
    // SAFETY: two calls without memory.
    let raised = unsafe {
        libc::setsid();
        libc::setpriority(libc::PRIO_PROCESS, 0, -20) == 0
    };
    // Without autogroups there is no such file, and nice alone does it.
    let _ = fs::write("/proc/self/autogroup", "-20");
    raised
}
