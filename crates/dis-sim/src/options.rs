//! How a simulation is set up.

use dis_core::api::Duration;
use dis_core::optimizer::Limits;

/// What a simulation needs beside the workload.
#[derive(Debug, Clone)]
pub struct Options {
    /// CPUs of the machine, `1..=MAX_CPUS`.
    pub cpus: usize,
    /// How long to simulate; `None`: until every task has exited.
    pub duration: Option<Duration>,
    /// What the times that are drawn at random depend on.
    pub seed: u64,
    /// What is not free.
    pub costs: Costs,
    /// Whether the scheduler refuses what does not fit. If not, deadlines may be missed, and are counted.
    pub admission: bool,
    /// Caps, floors and waits; a workload's own are applied by `workload.limits.over(…)`.
    pub limits: Limits,
    /// Whether to record who ran when.
    pub schedule: bool,
    /// Whether to record every decision with its reason.
    pub trace: bool,
}

impl Options {
    /// So many CPUs for so long; switches cost nothing, the core's own limits, nothing recorded.
    pub fn new(cpus: usize, duration: Duration) -> Self {
        Options {
            cpus,
            duration: Some(duration),
            seed: 0,
            costs: Costs::default(),
            admission: true,
            limits: Limits::default(),
            schedule: false,
            trace: false,
        }
    }
}

/// What the simulated machine takes for what a scheduler does. All zero by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs {
    /// Each switch to another task: the CPU is busy for that long and hears nothing meanwhile. Charged to the task that
    /// is switched to.
    pub switch: Duration,
    /// Added to the work of a task that goes on, on another CPU than before: its cache has to be filled anew.
    pub migration: Duration,
    /// Added to the work of a task that goes on after it was preempted, for the same reason. Not in addition to a
    /// migration.
    pub preemption: Duration,
    /// Timers fire at multiples of this only, at the first one that is not early; zero means at any instant.
    pub timer_resolution: Duration,
}
