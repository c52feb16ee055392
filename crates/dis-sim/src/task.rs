//! Tasks as the machine knows them: what they do, and what was seen of them.

use dis_core::api::TaskId;
use dis_core::scheduler::Urgency;
use dis_workload::model::{Arrivals, Draws, MutexId, TimerId};
use dis_workload::report::{Deadlines, Grid, Record};

use crate::walk::Walk;

/// A task of the workload at work. What every job reads and writes comes first and lies side by side: with a thousand tasks
/// that is the difference between two caches.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Actor<'w> {
    pub id: TaskId,
    /// What is left of the step that computes, ns.
    pub left: u64,
    pub walk: Walk<'w>,
    /// What is to be done when it gets a CPU again.
    pub pending: Pending,
    /// The CPU where it ran last.
    pub last_cpu: Option<u16>,
    pub preempted: bool,
    pub ended: bool,
    /// Whether the core releases its jobs.
    pub periodic: bool,
    /// Whether a periodic job is under way.
    pub in_job: bool,
    /// When the job under way, or the last one, was released.
    pub release: u64,
    /// Its number, from 1.
    pub job: u64,
    /// How many jobs are complete or were left out: those up to this number.
    pub settled: u64,
    /// Distance of its releases, ns; 0 without any.
    pub period: u64,
    /// Its relative deadline, ns; without end for tasks that have none.
    pub deadline: u64,
    /// What drawn `run` times may still take of the job, ns; and of each.
    pub drawable: u64,
    pub most_drawn: u64,
    /// When its jobs arrive, if it is sporadic.
    pub arrivals: Option<Box<Arrivals>>,
    /// Since when it has work to do: its last wake-up, until it blocks again.
    pub since: Option<u64>,
    pub deadlines: Deadlines,
    /// When its jobs are released and due, if they are.
    pub grid: Option<Grid>,
    /// Its arrivals as far as the calendar has come.
    pub calendar: Option<Box<Arrivals>>,
    pub record: Record,
    /// Index of its specification.
    pub spec: usize,
    /// When the task's own time begins, ns.
    pub origin: u64,
    /// References of its own timers.
    pub timers: Vec<(TimerId, u64)>,
    /// Its random times.
    pub draws: Draws,
    /// Mutexes that it holds.
    pub held: Vec<MutexId>,
    pub waits_for: Option<Waiting>,
    /// What it is lent.
    pub lent: Option<Urgency>,
}

/// What a task that got off the CPU does first when it is on one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    Nothing,
    /// It slept, or waited for its release, until then.
    Slept(u64),
    /// It waited for the release of this periodic job.
    Released(u64),
    /// It waited for an event and was woken then.
    Signalled(u64),
    /// The same; now it takes the mutex again that it released for the wait.
    Relocks(u64, MutexId),
}

/// What a blocked task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Mutex(MutexId),
    Event(usize, Option<MutexId>),
    Barrier(usize),
}
