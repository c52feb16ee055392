//! The report's schema.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dis_core::isolation::Domain;
use dis_core::stats::{QueueStat, SchedulerStats};
use serde::{Deserialize, Serialize};

/// The schema's name and version.
pub const SCHEMA: &str = "dis-report/1";

/// The result of one run on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What ran the workload: `linux`, `sim`, `bare-metal`; for baselines `linux-eevdf`, `linux-fifo`, `linux-deadline`.
    pub host: String,
    /// CPUs used.
    pub cpus: usize,
    /// Length of the measurement, ns.
    pub duration_ns: u64,
    /// One entry for each instance of each task, in the workload's order.
    pub tasks: Vec<TaskReport>,
    /// The workload's domains, in its order; none in a baseline, which has no domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainReport>,
    /// The scheduler's counters; `None` for a baseline, whose scheduler is the operating system's.
    pub scheduler: Option<SchedulerReport>,
    /// How undisturbed the machine was.
    pub noise: Noise,
    /// The same workload on other schedulers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Report>,
}

impl Report {
    /// An empty report.
    pub fn new(host: impl Into<String>, cpus: usize, duration_ns: u64) -> Self {
        Self {
            schema: SCHEMA.into(),
            host: host.into(),
            cpus,
            duration_ns,
            tasks: Vec::new(),
            domains: Vec::new(),
            scheduler: None,
            noise: Noise::default(),
            baselines: Vec::new(),
        }
    }

    /// A time, ns, as part of what the CPUs had to give.
    #[cfg(feature = "std")]
    pub(super) fn part(&self, ns: u64) -> f64 {
        ns as f64 / (self.duration_ns as f64 * self.cpus as f64).max(1.0)
    }
}

/// What a set of times amounts to, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The shortest.
    pub min: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// 99 % of them are at most this.
    pub p99: u64,
    /// 99.9 % of them are at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// The arithmetic mean.
    pub mean: u64,
}

/// What one task got.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task's name, with its instance where there are several: `encode/0`.
    pub name: String,
    /// `system`, `realtime`, `interactive`, `batch` or `background`.
    pub class: String,
    /// Passes through the body that were completed.
    pub jobs: u64,
    /// Realtime: releases whose deadlines came during the run before their jobs had ended; jobs that were left out because
    /// they could only be late, and jobs that never ended, are among them.
    pub deadline_misses: u64,
    /// From becoming ready to running, ns.
    pub wake_latency_ns: Option<Summary>,
    /// From the release (Realtime) or the wake-up (others) to the end of the job or the next block, ns.
    pub response_ns: Option<Summary>,
    /// How long the scheduler gave it a CPU, ns. That is wall time: what the operating system took from the CPU meanwhile
    /// for other processes, or a hypervisor, is in it. In a baseline it is the CPU time that the thread used.
    pub cpu_ns: u64,
    /// `cpu_ns` as part of one CPU over the run: 1.0 is a whole CPU, which is the most.
    pub share: f64,
    /// Times the task gave up the CPU by itself.
    pub voluntary: u64,
    /// Times it was preempted.
    pub preemptions: u64,
    /// Times it continued on another CPU.
    pub migrations: u64,
    /// Jobs that used more than the declared wcet.
    pub overruns: u64,
}

/// What one domain, with those below it, got.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DomainReport {
    /// Its name.
    pub name: String,
    /// The name of the domain that it is in; `None`: the root.
    pub parent: Option<String>,
    /// Its weight, hundredths of a task.
    pub weight: u16,
    /// Tasks at the end, and domains below.
    pub tasks: u32,
    /// CPU time of all its tasks, ns.
    pub cpu_ns: u64,
    /// Calls of its tasks that were refused for want of a right.
    pub denied: u64,
    /// Spawns and charges of memory that its quotas refused.
    pub exhausted: u64,
    /// Times that a task waited for its CPU quota.
    pub throttled: u64,
}

impl DomainReport {
    /// The reports of the domains that were made for a workload.
    pub fn all(domains: &[Domain]) -> Vec<DomainReport> {
        let report = |domain: &Domain| {
            let usage = domain.usage();
            DomainReport {
                name: domain.name().into(),
                parent: domain.parent().map(|parent| parent.name().into()),
                weight: domain.weight(),
                tasks: usage.tasks,
                cpu_ns: usage.cpu_time,
                denied: usage.denied,
                exhausted: usage.exhausted,
                throttled: usage.throttled,
            }
        };
        domains.iter().map(report).collect()
    }
}

/// The scheduler's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SchedulerReport {
    /// Tasks created.
    pub tasks_created: u64,
    /// Tasks that ended by themselves.
    pub tasks_exited: u64,
    /// Tasks that were killed.
    pub tasks_killed: u64,
    /// All context switches.
    pub context_switches: u64,
    /// Switches that the task asked for.
    pub voluntary_switches: u64,
    /// Preemptions.
    pub involuntary_switches: u64,
    /// Realtime deadlines missed.
    pub deadline_misses: u64,
    /// CPU time of all tasks, ns.
    pub total_cpu_time: u64,
    /// Policies that were replaced by the built-in ones because their answers were wrong.
    #[serde(default)]
    pub policy_faults: u64,
    /// Statistics of each class's queue.
    pub queue_stats: QueuesReport,
}

/// Statistics of the five queues.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct QueuesReport {
    pub system: QueueReport,
    pub realtime: QueueReport,
    pub interactive: QueueReport,
    pub batch: QueueReport,
    pub background: QueueReport,
}

impl From<&SchedulerStats> for SchedulerReport {
    fn from(stats: &SchedulerStats) -> Self {
        let queue = |stat: &QueueStat| QueueReport {
            length: stat.length.into(),
            max_length: stat.max_length.into(),
            enqueued: stat.enqueued,
            dequeued: stat.dequeued,
            avg_wait_time: stat.avg_wait_time,
        };
        SchedulerReport {
            tasks_created: stats.tasks_created,
            tasks_exited: stats.tasks_exited,
            tasks_killed: stats.tasks_killed,
            context_switches: stats.context_switches,
            voluntary_switches: stats.voluntary_switches,
            involuntary_switches: stats.involuntary_switches,
            deadline_misses: stats.deadline_misses,
            total_cpu_time: stats.total_cpu_time,
            policy_faults: stats.policy_faults,
            queue_stats: QueuesReport {
                system: queue(&stats.queue_stats.system),
                realtime: queue(&stats.queue_stats.realtime),
                interactive: queue(&stats.queue_stats.interactive),
                batch: queue(&stats.queue_stats.batch),
                background: queue(&stats.queue_stats.background),
            },
        }
    }
}

impl QueuesReport {
    /// The queues with their names, highest class first.
    pub fn named(&self) -> [(&'static str, &QueueReport); 5] {
        [
            ("system", &self.system),
            ("realtime", &self.realtime),
            ("interactive", &self.interactive),
            ("batch", &self.batch),
            ("background", &self.background),
        ]
    }
}

/// Statistics of one queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueReport {
    /// Tasks queued at the end.
    pub length: u64,
    /// Most tasks queued at once.
    pub max_length: u64,
    /// Tasks that went in.
    pub enqueued: u64,
    /// Tasks that came out.
    pub dequeued: u64,
    /// Average wait, ns.
    pub avg_wait_time: u64,
}

/// How undisturbed the machine was during the run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Noise {
    /// Time that a hypervisor took from this machine's CPUs, ns, all CPUs together.
    pub steal_ns: u64,
    /// Load average of the last minute at the end of the run.
    pub load1: f64,
    /// CPU time that other processes used on the CPUs of the run, ns, all together. Exact to some 10 ms a CPU.
    #[serde(default)]
    pub foreign_ns: u64,
}

/// Less foreign CPU time than that, ns a CPU, may be what the clocks differ by.
const FOREIGN_FLOOR_NS: u64 = 20_000_000;

impl Noise {
    /// Why misses and tails of this run are not to be trusted, if so: more than 1 % of the CPU time stolen, or more than 5 %
    /// used by other processes. (The load average says nothing: it is that of the last minute, mostly before the run.)
    pub fn warnings(&self, cpus: usize, duration_ns: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        let available = duration_ns as f64 * cpus.max(1) as f64;
        let stolen = if available > 0.0 { self.steal_ns as f64 / available * 100.0 } else { 0.0 };
        if stolen > 1.0 {
            warnings.push(format!("a hypervisor took {stolen:.1} % of the CPU time"));
        }
        let foreign = if available > 0.0 { self.foreign_ns as f64 / available * 100.0 } else { 0.0 };
        if foreign > 5.0 && self.foreign_ns > FOREIGN_FLOOR_NS * cpus as u64 {
            warnings.push(format!("other processes used {foreign:.0} % of these CPUs' time"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Latencies;

    #[test]
    fn the_json_has_the_fields_of_the_schema() {
        let mut report = Report::new("linux", 2, 10);
        let mut latencies = Latencies::new();
        latencies.record(5);
        report.tasks.push(TaskReport {
            name: "encode/0".into(),
            class: "batch".into(),
            wake_latency_ns: latencies.summary(),
            ..TaskReport::default()
        });
        report.scheduler = Some(SchedulerReport::default());
        let json = serde_json::to_value(&report).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys.join(" ")
        };
        assert_eq!(keys(&json), "cpus duration_ns host noise scheduler schema tasks");
        assert_eq!(
            keys(&json["tasks"][0]),
            "class cpu_ns deadline_misses jobs migrations name overruns preemptions response_ns share voluntary \
             wake_latency_ns"
        );
        assert_eq!(keys(&json["tasks"][0]["wake_latency_ns"]), "max mean min p50 p99 p999");
        assert!(json["tasks"][0]["response_ns"].is_null());
        assert_eq!(keys(&json["noise"]), "foreign_ns load1 steal_ns");
        assert_eq!(json["schema"], "dis-report/1");
        assert_eq!(json["scheduler"]["policy_faults"], 0);
        report.baselines.push(Report::new("linux-eevdf", 2, 10));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn a_busy_machine_is_warned_of() {
        let noise = Noise { steal_ns: 30, load1: 2.9, foreign_ns: 0 };
        assert_eq!(noise.warnings(2, 1_000), ["a hypervisor took 1.5 % of the CPU time"]);
        assert_eq!(noise.warnings(0, 0), Vec::<String>::new());
        let foreign = |foreign_ns| Noise { foreign_ns, ..Noise::default() }.warnings(2, 200_000_000);
        assert_eq!(foreign(200_000_000), ["other processes used 50 % of these CPUs' time"]);
        let before = Noise { load1: 7.6, ..Noise::default() };
        assert_eq!(before.warnings(2, 1_000_000_000), Vec::<String>::new(), "of the minute before");
        assert_eq!(foreign(40_000_000), Vec::<String>::new(), "too little to be told from the clocks' grain");
    }
}
