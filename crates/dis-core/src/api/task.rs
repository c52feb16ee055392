//! The task control block.

use alloc::string::String;
use core::fmt;

use super::{CpuMask, Duration, SchedResult, TaskId, Timestamp};
use crate::intent::{Intent, QueueType};
use crate::isolation::Domain;
use crate::scheduler::Ended;

/// Where a task stands between its birth and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Waits for a CPU.
    Ready,
    /// Has a CPU.
    Running,
    /// Waits for an event.
    Blocked,
    /// Waits for an instant.
    Sleeping,
    /// Ended and collected; its id is stale from now on.
    Terminated,
    /// Ended; its exit status waits to be collected.
    Zombie,
}

impl TaskState {
    /// Whether a task may go from `self` to `next`.
    pub const fn may_become(self, next: TaskState) -> bool {
        use TaskState::*;
        matches!(
            (self, next),
            (Ready, Running | Zombie | Terminated)
                | (Running, Ready | Blocked | Sleeping | Zombie | Terminated)
                | (Blocked | Sleeping, Ready | Zombie | Terminated)
                | (Ready, Blocked)
                | (Zombie, Terminated)
        )
    }

    /// Whether the task has ended.
    pub const fn has_ended(self) -> bool {
        matches!(self, TaskState::Terminated | TaskState::Zombie)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Ready => "ready",
            TaskState::Running => "running",
            TaskState::Blocked => "blocked",
            TaskState::Sleeping => "sleeping",
            TaskState::Terminated => "terminated",
            TaskState::Zombie => "zombie",
        })
    }
}

/// What a blocked task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockReason {
    /// An I/O operation.
    Io,
    /// A mutex, or another resource with one owner.
    Mutex,
    /// A semaphore.
    Semaphore,
    /// An event.
    Event,
    /// The end of a child.
    ChildExit,
    /// A message. Of a server in mid-call: that is on its caller's time (see [`ipc`](crate::ipc)).
    Ipc,
    /// A call: nobody has called it.
    Receive,
    /// A call of the host's own system, of which the scheduler knows no more than that it lasts.
    Host,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// By itself, with this code.
    Exited(i32),
    /// Somebody killed it.
    Killed,
}

/// What a task has used and undergone. Times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskStats {
    /// The part of the CPU time spent in user mode, ns; reported by the host (see `TaskManager::account`).
    pub user_time: u64,
    /// The part of it spent in system mode, ns; reported by the host.
    pub system_time: u64,
    /// Page faults; reported by the host.
    pub page_faults: u64,
    /// Times it moved to another CPU.
    pub migrations: u64,
    /// Times a Realtime task used up its budget before its job was finished.
    pub overruns: u64,
    /// Realtime jobs finished, or skipped, after their deadlines.
    pub deadline_misses: u64,
    /// Times it lost the CPU without wanting to.
    pub preemptions: u64,
    /// Times it blocked (sleeping included).
    pub blocks: u64,
    /// Times it was woken.
    pub wakes: u64,
    /// CPU time used, ns.
    pub cpu_time: u64,
    /// Times it was switched to.
    pub context_switches: u64,
    /// Times it gave up the CPU by yielding.
    pub voluntary_yields: u64,
    /// When it last began to run.
    pub last_scheduled: Timestamp,
    /// Rest of its time slice, ns.
    pub time_slice: u64,
}

/// The task control block: all that is known of a task. `C` is the host's part (a saved context or a handle to one).
///
/// The order of the fields is that of their use: what every decision reads and writes lies side by side, in the second
/// and the third cache line, which begin with the last of `stats`; what limits some tasks is in the fourth.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Task<C = ()> {
    /// Counters.
    pub stats: TaskStats,
    /// Its id.
    pub id: TaskId,
    /// The host's part.
    pub context: C,
    pub(crate) state: TaskState,
    /// Priority within its class, lower first.
    pub priority: u8,
    /// What it answered at its end, if it ended by itself. Here, because there is room.
    pub(crate) exit_code: i32,
    pub(crate) sched: crate::scheduler::SchedState,
    /// Absolute deadline of the current job (Realtime) or of the first instruction after a wake-up (Interactive).
    pub deadline: Option<Timestamp>,
    /// Who spawned it; [`TaskId::INVALID`] for tasks from outside.
    pub parent: TaskId,
    /// Memory charged by the host, bytes.
    pub(crate) memory: u64,
    /// Execution times seen so far.
    pub history: crate::intent::TaskHistory,
    /// What it is for.
    pub intent: Intent,
    /// CPUs it may run on.
    pub affinity: CpuMask,
    /// When it was spawned.
    pub created: Timestamp,
    /// Its name, for people.
    pub name: String,
}

impl<C> Task<C> {
    /// Where it stands.
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// Why it is blocked, while it is.
    pub fn block_reason(&self) -> Option<BlockReason> {
        self.sched.block_reason.filter(|_| self.state == TaskState::Blocked)
    }

    /// How it ended, once it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match self.sched.ended {
            Ended::No => None,
            Ended::ByItself => Some(ExitStatus::Exited(self.exit_code)),
            Ended::Killed => Some(ExitStatus::Killed),
        }
    }

    /// Whether it is ready, but has used up its budget and waits for the next.
    pub fn is_throttled(&self) -> bool {
        self.state == TaskState::Ready && self.sched.throttled
    }

    /// The class in which it competes now, or did last: its own, one that it has inherited, or Batch while an Interactive
    /// task has no credit.
    pub fn effective_class(&self) -> QueueType {
        self.sched.class
    }

    /// The priority with which it competes now, or did last: its own, or one that it has inherited.
    pub fn effective_priority(&self) -> u8 {
        self.sched.entity.priority
    }

    /// The deadline with which it competes now, or did last; [`Timestamp::MAX`] without one.
    pub fn effective_deadline(&self) -> Timestamp {
        self.sched.entity.deadline
    }

    /// The current job of a Realtime task.
    pub fn job(&self) -> crate::executor::Job {
        if let crate::scheduler::Duty::Job(job) = self.sched.duty { job } else { crate::executor::Job::default() }
    }

    /// What limits its CPU time: the budget of a Realtime task, of its present piece if it is split, or its `cpu_max`.
    pub fn server(&self) -> Option<&crate::optimizer::Server> {
        self.sched.server.as_ref()
    }

    /// When the present budget of a Realtime task began.
    pub fn budget_start(&self) -> Option<Timestamp> {
        self.sched.server.filter(|_| self.sched.is_realtime()).map(|server| server.start)
    }
}

/// What a spawn needs beside the intent.
#[derive(Debug, Clone)]
pub struct TaskSpec<C> {
    /// Name for people.
    pub name: String,
    /// What the task is for.
    pub intent: Intent,
    /// The host's part.
    pub context: C,
    /// Who spawns it; [`TaskId::INVALID`] from outside.
    pub parent: TaskId,
    /// Whether its exit status will be collected; otherwise it is gone the moment it ends.
    pub joinable: bool,
    /// First release of a Realtime task or first instant a task of another class is ready; `None`: now.
    pub start: Option<Timestamp>,
    /// In which domain it is to be; `None`: in its parent's, at the root without one.
    pub domain: Option<Domain>,
}

impl<C> TaskSpec<C> {
    /// A detached task that is ready at once.
    pub fn new(name: impl Into<String>, intent: Intent, context: C) -> Self {
        TaskSpec {
            name: name.into(),
            intent,
            context,
            parent: TaskId::INVALID,
            joinable: false,
            start: None,
            domain: None,
        }
    }

    /// The same in this domain.
    pub fn in_domain(mut self, domain: &Domain) -> Self {
        self.domain = Some(domain.clone());
        self
    }

    /// The same, with an exit status that waits to be collected.
    pub fn joinable(mut self) -> Self {
        self.joinable = true;
        self
    }
}

/// The calls a task makes, and those that one task makes on another; the reference's task API. A host's view of one
/// CPU at one instant implements it ([`crate::executor::CpuView`]), so `current` and `now` are implicit.
pub trait TaskApi {
    /// The host's part of a task.
    type Context;
    /// What the host does next on this CPU after a call that may give it up.
    type Outcome;

    /// Spawns a task.
    ///
    /// # Errors
    /// An invalid intent, no CPU with room, or no slot.
    fn spawn(&mut self, entry: Self::Context, intent: Intent) -> SchedResult<TaskId>;
    /// Spawns a task with a name.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    fn spawn_named(&mut self, name: &str, entry: Self::Context, intent: Intent) -> SchedResult<TaskId>;
    /// The task that runs here, or this CPU's idle task.
    fn current(&self) -> TaskId;
    /// A copy of a task's control block.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound) for a stale id.
    fn get_task(&self, id: TaskId) -> SchedResult<Task<Self::Context>>;
    /// The running task lets its peers go first.
    ///
    /// # Errors
    /// [`InvalidState`](crate::api::SchedError::InvalidState) if nothing runs here.
    fn yield_now(&mut self) -> SchedResult<Self::Outcome>;
    /// The running task sleeps.
    ///
    /// # Errors
    /// [`InvalidState`](crate::api::SchedError::InvalidState) if nothing runs here.
    fn sleep(&mut self, duration: Duration) -> SchedResult<Self::Outcome>;
    /// The running task blocks until it is woken.
    ///
    /// # Errors
    /// [`InvalidState`](crate::api::SchedError::InvalidState) if nothing runs here.
    fn block(&mut self, reason: BlockReason) -> SchedResult<Self::Outcome>;
    /// Wakes a blocked or sleeping task.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound); [`InvalidState`](crate::api::SchedError::InvalidState) if it is neither blocked nor sleeping.
    fn wake(&mut self, id: TaskId) -> SchedResult<()>;
    /// The running task ends.
    ///
    /// # Errors
    /// [`InvalidState`](crate::api::SchedError::InvalidState) if nothing runs here.
    fn exit(&mut self, code: i32) -> SchedResult<Self::Outcome>;
    /// Ends a task, whatever it is doing.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound); [`InvalidState`](crate::api::SchedError::InvalidState) if it has ended.
    fn kill(&mut self, id: TaskId) -> SchedResult<()>;
    /// Waits for the end of a joinable task and collects its exit status: `Ok(Ok(status))` if it has ended, else the
    /// running task blocks with [`BlockReason::ChildExit`] and asks again when it is woken.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound) for a task that is gone or detached.
    fn join(&mut self, id: TaskId) -> SchedResult<Result<ExitStatus, Self::Outcome>>;
    /// Changes the priority within the class, queued or not.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound).
    fn set_priority(&mut self, id: TaskId, priority: u8) -> SchedResult<()>;
    /// Changes the allowed CPUs; a task on a forbidden CPU moves at once.
    ///
    /// # Errors
    /// [`TaskNotFound`](crate::api::SchedError::TaskNotFound); [`NoCpu`](crate::api::SchedError::NoCpu) if the mask holds none of this machine.
    fn set_affinity(&mut self, id: TaskId, mask: CpuMask) -> SchedResult<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::SchedState;
    use core::mem::{offset_of, size_of};

    #[test]
    fn what_every_decision_touches_fills_two_cache_lines() {
        let sched = offset_of!(Task<u64>, sched);
        let first = offset_of!(Task<u64>, stats) + offset_of!(TaskStats, cpu_time);
        let end = sched + offset_of!(SchedState, ready_since) + size_of::<Timestamp>();
        assert!(first >= 64 && end <= 192, "{first}..{end}");
        let limits = sched + offset_of!(SchedState, server);
        assert!(limits < 256, "and what says whether a task is limited is in the next: {limits}");
        assert_eq!(size_of::<Option<Task<u64>>>(), 704);
    }
}
