//! The runtime as its user sees it.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dis_core::admission::{Assignment, Rejection, Remedy};
use dis_core::api::{CpuMask, TaskId, TaskStats, Timestamp};
use dis_core::intent::Intent;
use dis_core::stats::SchedulerStats;

use crate::builder::Builder;
use crate::control::Service;
use crate::gate::inside;
use crate::klt;
use crate::runtime::Inner;
use crate::spawn::home;
use crate::trace::{TraceEvent, TraceReader};
use crate::usage;
use crate::watcher::BlockingWatch;

/// Which policy of the operating system the worker threads run under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OsPolicy {
    /// The ordinary one (SCHED_OTHER).
    Ordinary,
    /// SCHED_FIFO was asked for, but the process may not use it; the workers run under the ordinary policy.
    FifoRefused,
    /// SCHED_FIFO with this priority.
    Fifo(i32),
}

/// A scheduler with its worker threads.
///
/// Dropping it aborts its tasks and waits a moment for them; see [`shutdown`](Self::shutdown).
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
    pub(crate) control: Service,
}

impl Runtime {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Counters of all CPUs together, up to now.
    pub fn stats(&self) -> SchedulerStats {
        // The sum of several CPUs allocates nothing, but it takes their locks.
        inside(|| self.inner.exec.stats_at(self.inner.now()))
    }

    /// The counters of a task; `None` once it has ended. As `JoinHandle::stats`, which see.
    pub fn task_stats(&self, id: TaskId) -> Option<TaskStats> {
        usage::stats(&self.inner, id)
    }

    /// Number of workers: the CPUs of the scheduler.
    pub fn workers(&self) -> usize {
        self.inner.workers.len()
    }

    /// The machine's CPU to which each worker is pinned.
    pub fn cpus(&self) -> &[usize] {
        &self.inner.config.cpus
    }

    /// Whether a task of this intent would be admitted now, and on which workers it would run; `None` if it reserves nothing.
    ///
    /// # Errors
    /// Why not, and by how much.
    pub fn admission(&self, intent: &Intent) -> Result<Option<Assignment>, Rejection> {
        self.inner.exec.admission(&self.in_workers(intent))
    }

    /// What would make a Realtime intent that is not admitted fit now.
    pub fn remedy(&self, intent: &Intent) -> Remedy {
        self.inner.exec.remedy(&self.in_workers(intent))
    }

    fn in_workers(&self, intent: &Intent) -> Intent {
        let mut intent = intent.clone();
        intent.constraints.cpu_affinity = home(&self.inner, &intent).unwrap_or(Some(CpuMask::EMPTY));
        intent
    }

    /// Tasks that have not ended.
    pub fn live_tasks(&self) -> usize {
        self.inner.live.load(Ordering::Acquire)
    }

    /// The policy of the operating system that the workers run under.
    pub fn os_policy(&self) -> OsPolicy {
        match (self.inner.config.fifo, self.inner.config.fifo_granted) {
            (None, _) => OsPolicy::Ordinary,
            (Some(_), None) => OsPolicy::FifoRefused,
            (Some(_), Some(priority)) => OsPolicy::Fifo(priority),
        }
    }

    /// The runtime's clock: nanoseconds of CLOCK_MONOTONIC.
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }

    /// The events since `reader` was used last, of all CPUs in order of time; none unless the runtime was built with
    /// [`Builder::trace`]. The very last event of each CPU comes with the next call.
    pub fn trace(&self, reader: &mut TraceReader) -> Vec<TraceEvent> {
        reader.read(self.inner.rings.get().map_or(&[], |rings| rings))
    }

    /// How many preemption signals have reached running tasks so far.
    pub fn preemption_signals(&self) -> u64 {
        self.inner.klts().map(|klt| klt.signals.load(Ordering::Relaxed)).sum()
    }

    /// Whether tasks that block in the kernel are noticed.
    pub fn blocking_watch(&self) -> BlockingWatch {
        self.inner.config.watch.clone()
    }

    /// How often a worker was taken over from a task that was blocked in the kernel.
    pub fn displacements(&self) -> u64 {
        self.inner.klts().map(|klt| klt.displacements.load(Ordering::Relaxed)).sum()
    }

    /// How many kernel threads the runtime has, its keeper and the watchers not counted.
    pub fn threads(&self) -> usize {
        self.inner.klts().filter(|klt| klt.tid.load(Ordering::Relaxed) != 0).count()
    }

    /// The machine's CPUs that the workers use, as a mask.
    pub fn cpu_mask(&self) -> CpuMask {
        self.inner.config.cpus.iter().copied().collect()
    }

    /// What modules that were loaded by the control socket have done wrong; it stays known until the runtime ends.
    #[cfg(feature = "control")]
    pub fn module_faults(&self) -> Vec<dis_module::Faults> {
        self.control.faults()
    }

    /// Aborts all tasks, waits until they have ended, at most `timeout`, and ends the threads. True if all have ended.
    ///
    /// A task that never calls the runtime cannot be ended. If one is left at the end of the timeout, the threads go on,
    /// and end when it has ended. So they do after a call in a task of this runtime, which answers false at once, after
    /// aborting.
    pub fn shutdown(self, timeout: std::time::Duration) -> bool {
        self.close(timeout)
    }

    fn close(&self, timeout: std::time::Duration) -> bool {
        let inner = &self.inner;
        self.control.end();
        inner.closing.store(true, Ordering::SeqCst);
        inner.keeper.abort_all();
        inner.futures.close(inner);
        let own = klt::this().is_some_and(|klt| ptr::eq(klt.rt, Arc::as_ptr(inner)));
        if own || !inner.wait_all_ended(Some(inner.now() + timeout.into())) {
            inner.keeper.abandon();
            return false;
        }
        inner.stop_threads();
        true
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.inner.closing.load(Ordering::SeqCst) {
            self.close(std::time::Duration::from_millis(500));
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.workers()).field("live_tasks", &self.live_tasks()).finish()
    }
}
