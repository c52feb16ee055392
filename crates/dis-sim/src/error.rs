//! Why a simulation cannot be run, or cannot go on.

use std::fmt;

use dis_core::api::{SchedError, Timestamp};
use dis_core::scheduler::ConfigError;

/// What is wrong. Tasks are indices of `workload.instances()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimError {
    /// The machine cannot be set up so.
    Config(ConfigError),
    /// The workload has no task.
    NoTask,
    /// No duration is given, and this task never ends.
    Endless {
        /// Its name.
        task: String,
    },
    /// The core refuses a task.
    Refused {
        /// Which instance.
        index: usize,
        /// Its name.
        task: String,
        /// Why.
        error: SchedError,
    },
    /// A domain cannot be made.
    Domain {
        /// Its name.
        domain: String,
        /// Why.
        error: SchedError,
    },
    /// A task does what no task can do; only workloads made in code can.
    Misuse {
        /// Its name.
        task: String,
        /// What.
        what: String,
    },
    /// Tasks wait for each other in a circle, or for one that does.
    Deadlock {
        /// When the last of them began to wait.
        at: Timestamp,
        /// Each waits for the one after it, the last for the first.
        cycle: Vec<Blocked>,
    },
    /// The scheduler refuses a question of its host: one of the two is wrong.
    Kernel {
        /// When.
        at: Timestamp,
        /// On which CPU.
        cpu: usize,
        /// What it says.
        error: SchedError,
    },
    /// Tasks do more and more without any time passing.
    TimeStands {
        /// When.
        at: Timestamp,
        /// One of them.
        task: String,
    },
}

/// A task of a deadlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The task's name.
    pub task: String,
    /// Line of the task in the file; 0 for one made in code.
    pub line: usize,
    /// Its phase, from 1; `None` if it has only one.
    pub phase: Option<usize>,
    /// The step of the phase at which it waits, from 1.
    pub step: usize,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a blocked task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// A mutex, and who holds it.
    Mutex {
        /// The mutex.
        name: String,
        /// Its holder.
        holder: String,
    },
    /// An event that nobody is left to signal.
    Event(String),
    /// A barrier at which somebody is missing.
    Barrier(String),
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Mutex { name, holder } => write!(f, "the mutex `{name}`, which \"{holder}\" holds"),
            WaitsFor::Event(name) => write!(f, "the event `{name}`"),
            WaitsFor::Barrier(name) => write!(f, "the barrier `{name}`"),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" (", self.task)?;
        if self.line > 0 {
            write!(f, "line {}, ", self.line)?;
        }
        if let Some(phase) = self.phase {
            write!(f, "phase {phase}, ")?;
        }
        write!(f, "step {}) waits for {}", self.step, self.waits_for)
    }
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimError::Config(error) => error.fmt(f),
            SimError::NoTask => f.write_str("the workload has no task; add at least one"),
            SimError::Endless { task } => {
                write!(f, "no duration is given, and task \"{task}\" never ends; give a duration or a `repeat`")
            }
            SimError::Refused { task, error, .. } => write!(f, "task \"{task}\" is refused: {error}"),
            SimError::Domain { domain, error } => write!(f, "domain \"{domain}\" is refused: {error}"),
            SimError::Misuse { task, what } => write!(f, "task \"{task}\" {what}"),
            SimError::Deadlock { at, cycle } => {
                write!(f, "deadlock at {at}:")?;
                cycle
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, blocked)| write!(f, "{} {blocked}", if index == 0 { "" } else { ";" }))?;
                f.write_str("; take mutexes in the same order everywhere")
            }
            SimError::Kernel { at, cpu, error } => {
                write!(f, "the scheduler refuses a question of CPU {cpu} at {at}: {error}")
            }
            SimError::TimeStands { at, task } => write!(
                f,
                "time stands still at {at}: task \"{task}\" and others wake each other for ever and compute nothing; \
                 add a `run` step, or give switches a cost"
            ),
        }
    }
}

impl std::error::Error for SimError {}
