//! The questions that hosts ask and the answers they get.

use crate::api::{BlockReason, Duration, TaskId, Timestamp};
use crate::intent::QueueType;

/// How the running task leaves the CPU; the question "CPU free, what now?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It does not want to: time has passed, an interrupt came, or nothing was running. The core decides whether the
    /// task may go on.
    Ask,
    /// It lets its peers go first.
    Yield,
    /// It waits until it is woken, or until the instant given.
    Block(BlockReason, Option<Timestamp>),
    /// It sleeps until the instant given.
    Sleep(Timestamp),
    /// Realtime: its job is finished; it sleeps until the next release.
    NextPeriod,
    /// Realtime, sporadic: its job is finished, and the next one arrives at the instant given. It is released then, but not
    /// sooner than a period after the release of this one.
    NextJob(Timestamp),
    /// It ended with this code.
    Exit(i32),
    /// The task that the last decision chose cannot run yet, as a resource of the host that it needs is taken (in the
    /// runtime: its kernel thread). It blocks with [`BlockReason::Mutex`] until it is woken. Its registers were never
    /// loaded, so the task that ran before it is still the one whose registers are unsaved.
    Declined,
}

/// What a CPU does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<C> {
    /// The task to run; `None`: idle.
    pub next: Option<Next<C>>,
    /// The instant at which the CPU must ask again ([`Leave::Ask`]) if nothing else happens before; `None`: no timer.
    pub until: Option<Timestamp>,
    /// Why this task, or none.
    pub reason: Reason,
    /// The highest class that is ready and was not chosen.
    pub lost: Option<QueueType>,
    /// Another CPU that the host must interrupt now: it has been given something better to do.
    pub interrupt: Option<usize>,
    /// Nothing is to run here, but the task that ran last must leave this CPU (its affinity changed, or it was
    /// killed): the host saves its registers now and calls `switched`, as if it switched to an idle task.
    pub vacate: bool,
}

/// The chosen task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next<C> {
    /// Its id.
    pub id: TaskId,
    /// The host's part of it.
    pub context: C,
    /// The class it runs in (a demoted Interactive task runs in Batch).
    pub class: QueueType,
    /// False if it was running on this CPU already: nothing is to be switched.
    pub switch: bool,
    /// How long it has been ready without running; zero if it was running.
    pub waited: Duration,
}

/// Why a decision fell as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing is ready.
    Idle,
    /// The running task goes on: its slice or its class's turn is not over.
    Continue,
    /// First of the highest class that is ready.
    ClassOrder,
    /// A lower class has waited for its bound; its window opens, or is still open.
    WaitBound,
    /// System and Realtime have used their cap of this window.
    Cap,
    /// It was taken over from another CPU, as nothing was ready here.
    Stolen,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Reason; 6] =
        [Reason::Idle, Reason::Continue, Reason::ClassOrder, Reason::WaitBound, Reason::Cap, Reason::Stolen];

    /// The reason in words, for traces and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Idle => "idle",
            Reason::Continue => "continue",
            Reason::ClassOrder => "class order",
            Reason::WaitBound => "wait bound",
            Reason::Cap => "cap",
            Reason::Stolen => "stolen",
        }
    }
}

/// What becomes of a task that has been made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the host has to interrupt the CPU if `interrupt` is set"]
pub struct Wake {
    /// The CPU whose queue it stands in.
    pub cpu: usize,
    /// Whether that CPU must be interrupted now (or roused, if it is idle).
    pub interrupt: bool,
    /// If set: that CPU, although it need not be interrupted now, must ask again by this instant, which is earlier than
    /// its last decision said (its running task has got company, so its slice counts now).
    pub until: Option<Timestamp>,
    /// Why there.
    pub placement: Placement,
}

/// Why a task was put on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placement {
    /// It was not blocked; the wake-up is remembered and the next block returns at once.
    Remembered,
    /// It cannot move: its registers are unsaved, it is bound by the host, or its reservation is there.
    Bound,
    /// The CPU of the task that spawned it, for a while: see [`SPAWN_GRACE`](crate::optimizer::SPAWN_GRACE).
    Parent,
    /// Its previous CPU is idle or runs something less urgent.
    Previous,
    /// An idle CPU.
    Idle,
    /// The CPU that runs the least urgent task.
    LessUrgent,
    /// The least loaded allowed CPU.
    LeastLoaded,
}

/// What became of a task that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the host has to interrupt the CPU that runs the task"]
pub enum Kill {
    /// It has ended. The CPU named, if any, has its joiner and must be interrupted.
    Done(Option<usize>),
    /// It runs on this CPU, or its registers are not saved yet: interrupt the CPU; the task ends when that CPU asks
    /// next.
    Pending(usize),
}

/// Where a Realtime task stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Job {
    /// Number of the current job, from 1 on; 0 before the first.
    pub number: u64,
    /// When it was released.
    pub release: Timestamp,
    /// When it must be finished.
    pub deadline: Timestamp,
    /// Whether the job before it was finished after its deadline.
    pub missed: bool,
    /// Releases skipped since the job before, because even their deadlines had passed.
    pub skipped: u64,
}
