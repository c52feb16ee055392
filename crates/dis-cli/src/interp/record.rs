//! What is measured of one task.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::intent::IntentClass;
use dis_workload::report::TaskReport;

use super::Samples;
use super::deadlines::Deadlines;
use crate::host::Counters;

/// The measurements of one task in one round.
#[derive(Debug, Clone, Default)]
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

/// Where a task shows how far it is, and leaves its record at its end.
#[derive(Debug, Default)]
pub struct Slot {
    /// Passes completed so far.
    pub jobs: AtomicU64,
    /// Deadlines missed so far by a task that paces itself.
    pub misses: AtomicU64,
    /// How the jobs of a periodic task fared so far.
    pub deadlines: Deadlines,
    /// It waits for a release, as far as it is concerned: it can be ended there.
    pub between_jobs: AtomicBool,
    done: AtomicBool,
    record: Mutex<Option<Record>>,
}

impl Slot {
    /// Whether the task has left its record.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Whether nothing is left to be waited for.
    pub fn is_at_rest(&self) -> bool {
        self.is_done() || self.between_jobs.load(Ordering::Acquire)
    }

    /// The record, once; of a task that has left none what is known from outside. `missed` is what [`Deadlines::missed`]
    /// says of it.
    pub fn take(&self, missed: u64) -> Record {
        let left = self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let mut record = left.unwrap_or_else(|| Record {
            jobs: self.jobs.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            ..Record::default()
        });
        record.misses += missed;
        record
    }

    pub(super) fn leave(&self, record: Record) {
        *self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(record);
        self.done.store(true, Ordering::Release);
    }
}
