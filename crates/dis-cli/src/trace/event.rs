//! What the scheduler did, as the trace sees it.

use dis_core::api::TaskId;
use dis_core::executor::Reason;
use dis_core::intent::QueueType;
use dis_runtime::{TraceEvent, TraceKind};

/// Something that happened on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// When, ns.
    pub at: u64,
    /// On which CPU of the workload.
    pub cpu: usize,
    /// What.
    pub what: What,
}

/// What happens on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A task got the CPU.
    Started(Chosen),
    /// A task left it.
    Left(TaskId, Left),
    /// Nothing is left to run.
    Idle,
}

/// The task that a decision chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Its id.
    pub id: TaskId,
    /// The class it runs in.
    pub class: Option<QueueType>,
    /// Why it was chosen.
    pub reason: Option<Reason>,
    /// The highest class that had to wait.
    pub lost: Option<QueueType>,
    /// How long it was ready before, ns.
    pub waited: u64,
}

/// How a task left its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is ready: it had to give way, or yielded.
    Ready(&'static str),
    /// It waits for something.
    Blocked(&'static str),
    /// It has ended.
    Ended,
    /// It was chosen but never ran.
    Declined,
}

impl From<TraceEvent> for Happened {
    fn from(event: TraceEvent) -> Happened {
        let TraceEvent { task: id, class, reason, lost, waited, .. } = event;
        let what = match event.kind {
            TraceKind::Run => What::Started(Chosen { id, class, reason, lost, waited }),
            TraceKind::Preempt => What::Left(id, Left::Ready("preempted")),
            TraceKind::Yield => What::Left(id, Left::Ready("yielded")),
            TraceKind::Block => What::Left(id, Left::Blocked("blocked")),
            TraceKind::Sleep => What::Left(id, Left::Blocked("sleeping")),
            TraceKind::Exit => What::Left(id, Left::Ended),
            TraceKind::Declined => What::Left(id, Left::Declined),
            TraceKind::Idle => What::Idle,
        };
        Happened { at: event.at.as_nanos(), cpu: event.cpu, what }
    }
}
