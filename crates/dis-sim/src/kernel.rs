//! What the simulated machine asks of a scheduler.

use dis_core::api::SchedError;
use dis_core::api::{CpuMask, SchedResult, TaskId, TaskSpec, TaskStats, Timestamp};
use dis_core::executor::{Decision, Executor, Leave, Wake};
use dis_core::isolation::{Domain, DomainSpec};
use dis_core::scheduler::Urgency;
use dis_core::stats::SchedulerStats;

/// The core's lock in a simulation. One thread takes it, so it is always free.
pub type Lock = spin::Mutex<()>;

/// A scheduler. The product's is the core's [`Executor`]; a scheduler for study that the core's division into CPUs does
/// not fit (a global one) implements it by itself. The calls mean what the executor's mean.
pub trait Kernel {
    /// A new task; its context is its number among `workload.instances()`.
    ///
    /// # Errors
    /// It cannot be had, or is not admitted.
    fn spawn(&self, now: Timestamp, spec: TaskSpec<u32>) -> SchedResult<(TaskId, Wake)>;
    /// Makes a domain.
    ///
    /// # Errors
    /// It asks for more than its parent has, or the scheduler knows no domains.
    fn create_domain(&self, _parent: Option<&Domain>, _spec: DomainSpec) -> SchedResult<Domain> {
        Err(SchedError::NotSupported("domains in a scheduler for study"))
    }
    /// The running task leaves so: what now?
    ///
    /// # Errors
    /// As [`Executor::schedule`].
    fn schedule(&self, cpu: usize, now: Timestamp, leave: Leave) -> SchedResult<Decision<u32>>;
    /// The registers of the task that ran before are saved. True: ask again at once.
    fn switched(&self, cpu: usize) -> bool;
    /// Wakes a blocked task, or its next block returns at once.
    ///
    /// # Errors
    /// It has ended.
    fn unpark(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake>;
    /// How urgent a task is.
    ///
    /// # Errors
    /// It has ended.
    fn urgency(&self, id: TaskId) -> SchedResult<Urgency>;
    /// Lends a task urgency.
    ///
    /// # Errors
    /// It has ended.
    fn inherit(&self, now: Timestamp, id: TaskId, lent: Option<Urgency>) -> SchedResult<Wake>;
    /// Changes a task's priority within its class.
    ///
    /// # Errors
    /// It has ended.
    fn set_priority(&self, now: Timestamp, id: TaskId, priority: u8) -> SchedResult<Wake>;
    /// Changes where a task may run.
    ///
    /// # Errors
    /// It has ended, or there is no such CPU, or none with room for it.
    fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake>;
    /// The CPU where a task runs, waits, or last ran.
    ///
    /// # Errors
    /// It has ended.
    fn cpu_of(&self, id: TaskId) -> SchedResult<usize>;
    /// A task's counters.
    ///
    /// # Errors
    /// It has ended.
    fn task_stats(&self, now: Timestamp, id: TaskId) -> SchedResult<TaskStats>;
    /// All counters.
    fn stats_at(&self, now: Timestamp) -> SchedulerStats;
}

impl Kernel for Executor<u32, Lock> {
    fn spawn(&self, now: Timestamp, spec: TaskSpec<u32>) -> SchedResult<(TaskId, Wake)> {
        (**self).spawn(now, None, spec)
    }

    fn create_domain(&self, parent: Option<&Domain>, spec: DomainSpec) -> SchedResult<Domain> {
        (**self).create_domain(parent, spec)
    }

    #[inline]
    fn schedule(&self, cpu: usize, now: Timestamp, leave: Leave) -> SchedResult<Decision<u32>> {
        Executor::schedule(self, cpu, now, leave)
    }

    #[inline]
    fn switched(&self, cpu: usize) -> bool {
        Executor::switched(self, cpu)
    }

    #[inline]
    fn unpark(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        (**self).unpark(now, id)
    }

    fn urgency(&self, id: TaskId) -> SchedResult<Urgency> {
        (**self).urgency(id)
    }

    fn inherit(&self, now: Timestamp, id: TaskId, lent: Option<Urgency>) -> SchedResult<Wake> {
        (**self).inherit(now, id, lent)
    }

    fn set_priority(&self, now: Timestamp, id: TaskId, priority: u8) -> SchedResult<Wake> {
        (**self).set_priority(now, id, priority)
    }

    fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake> {
        (**self).set_affinity(now, id, mask)
    }

    fn cpu_of(&self, id: TaskId) -> SchedResult<usize> {
        (**self).cpu_of(id)
    }

    fn task_stats(&self, now: Timestamp, id: TaskId) -> SchedResult<TaskStats> {
        (**self).task_stats(now, id)
    }

    fn stats_at(&self, now: Timestamp) -> SchedulerStats {
        (**self).stats_at(now)
    }
}
