//! Every decision with its reason, for a trace.

use dis_core::api::Timestamp;
use dis_core::executor::Reason;
use dis_core::intent::QueueType;

/// Something that happened on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceEvent {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub cpu: usize,
    /// What.
    pub kind: TraceKind,
}

/// What happens on a CPU. Tasks are indices of `workload.instances()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceKind {
    /// A task got the CPU.
    Started {
        /// Which.
        task: u32,
        /// The class it runs in.
        class: QueueType,
        /// Why it was chosen.
        reason: Reason,
        /// The highest class that had to wait.
        lost: Option<QueueType>,
        /// How long it was ready before, ns.
        waited: u64,
    },
    /// A task left the CPU.
    Left(u32, Departure),
    /// A task missed a deadline.
    Missed(u32),
}

/// How a task left its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It had to give way.
    Preempted,
    /// It let others go first.
    Yielded,
    /// It waits for another task.
    Blocked,
    /// It waits for an instant.
    Sleeping,
    /// It has ended.
    Ended,
}
