//! Preemptive M:N tasks in a Linux process, scheduled by intent.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod api;
mod builder;
mod clock;
mod dispatch;
mod identity;
mod inherit;
mod join;
mod keeper;
mod klt;
mod lock;
mod overflow;
mod runtime;
mod signal;
pub mod sync;
mod sys;
mod task;
mod timer;
mod trace;
mod worker;

pub use api::{current, job, next_period, now, park, sleep, sleep_until, spawn_fn, task, yield_now};
pub use builder::{BuildError, Builder, default_limits};
pub use join::{JoinError, JoinHandle, SpawnError, TaskBuilder};
pub use runtime::{OsPolicy, Runtime};
pub use trace::{TraceEvent, TraceKind, TraceReader};

/// Whether the calling thread is inside the runtime, where nothing may be allocated. For tests with an allocator that
/// checks it.
#[doc(hidden)]
pub fn is_inside_runtime() -> bool {
    klt::this().is_some_and(|klt| klt.current().is_some() && klt.is_in_runtime())
}

pub use dis_core::api::{CpuMask, Duration, SchedError, TaskId, TaskStats, Timestamp};
pub use dis_core::executor::Job;
pub use dis_core::intent::{Intent, IntentClass, QueueType};
pub use dis_core::optimizer::Limits;
pub use dis_core::stats::SchedulerStats;
