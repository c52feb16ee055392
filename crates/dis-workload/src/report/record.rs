//! What is measured of one task.

use alloc::string::String;

use dis_core::api::TaskStats;
#[cfg(feature = "std")]
use dis_core::intent::IntentClass;
use serde::{Deserialize, Serialize};

use super::Samples;
#[cfg(feature = "std")]
use super::TaskReport;

/// What a task has used and undergone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// CPU time, ns.
    pub cpu_ns: u64,
    /// Times it gave up the CPU by itself.
    pub voluntary: u64,
    /// Times it was preempted.
    pub preemptions: u64,
    /// Times it moved to another CPU.
    pub migrations: u64,
    /// Jobs that used more CPU time than declared.
    pub overruns: u64,
}

impl From<&TaskStats> for Counters {
    fn from(stats: &TaskStats) -> Counters {
        Counters {
            cpu_ns: stats.cpu_time,
            voluntary: stats.voluntary_yields + stats.blocks,
            preemptions: stats.preemptions,
            migrations: stats.migrations,
            overruns: stats.overruns,
        }
    }
}

impl core::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        self.cpu_ns += other.cpu_ns;
        self.voluntary += other.voluntary;
        self.preemptions += other.preemptions;
        self.migrations += other.migrations;
        self.overruns += other.overruns;
    }
}

/// The measurements of one task in one round.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// From the instant of a wake-up to the first instruction.
    pub wake: Samples,
    /// From the release or wake-up to the end of the job or the next block.
    pub response: Samples,
    /// Passes completed.
    pub jobs: u64,
    /// Deadlines missed: of a task that paces itself as it goes, of periodic jobs when the round is over.
    pub misses: u64,
    /// CPU time that the steps asked for and got, ns.
    pub burnt_ns: u64,
    /// What the host counted.
    pub counters: Counters,
    /// Something the task could not do.
    pub problem: Option<String>,
}

impl Record {
    /// Adds the measurements of another round.
    pub fn merge(&mut self, other: &Record) {
        self.wake.merge(&other.wake);
        self.response.merge(&other.response);
        self.jobs += other.jobs;
        self.misses += other.misses;
        self.burnt_ns += other.burnt_ns;
        self.counters += other.counters;
        self.problem = self.problem.take().or_else(|| other.problem.clone());
    }

    /// The task's row of the report of a run that took `duration_ns`.
    #[cfg(feature = "std")]
    pub fn report(&self, name: &str, class: &IntentClass, duration_ns: u64) -> TaskReport {
        TaskReport {
            name: name.into(),
            class: class.queue().name().into(),
            jobs: self.jobs,
            deadline_misses: self.misses,
            wake_latency_ns: self.wake.summary(),
            response_ns: self.response.summary(),
            cpu_ns: self.counters.cpu_ns,
            share: self.counters.cpu_ns as f64 / duration_ns.max(1) as f64,
            voluntary: self.counters.voluntary,
            preemptions: self.counters.preemptions,
            migrations: self.counters.migrations,
            overruns: self.counters.overruns,
        }
    }
}
