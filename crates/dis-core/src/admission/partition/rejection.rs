//! Why a task is not admitted.

use core::fmt;

use crate::admission::Verdict;
use crate::api::TaskId;

/// A task that is not admitted, and why. Whatever was admitted before is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// Who is not admitted.
    pub task: TaskId,
    /// Why not.
    pub reason: RejectReason,
}

/// Why a task is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The parameters contradict each other: see [`SporadicTask::is_valid`](crate::admission::SporadicTask::is_valid).
    Invalid,
    /// The affinity names no CPU of this machine that is online.
    NoCpu,
    /// A task of this id is admitted already.
    Known,
    /// No task of this id is admitted.
    Unknown,
    /// No CPU takes it, nor can it be split.
    NoRoom(Shortfall),
}

/// How a task fails on the CPU that has most left, of those it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// That CPU.
    pub cpu: usize,
    /// By how much it fails there, whole.
    pub verdict: Verdict,
    /// Whose deadline cannot be met: it is at the end of the interval that the verdict names. `None` if the verdict names none.
    pub late: Option<TaskId>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            RejectReason::Invalid => f.write_str("times must be above 0, and wcet + jitter <= deadline <= period"),
            RejectReason::NoCpu => f.write_str("the affinity names no CPU of this machine that is online"),
            RejectReason::Known => f.write_str("the task is admitted already"),
            RejectReason::Unknown => f.write_str("no such task is admitted"),
            RejectReason::NoRoom(Shortfall { cpu, verdict, .. }) => write!(f, "no CPU has room; CPU {cpu}: {verdict}"),
        }
    }
}

impl core::error::Error for Rejection {}
