//! Preemptive M:N tasks in a Linux process, scheduled by intent.
//!
//! ```
//! use dis_runtime::{Intent, Runtime, sleep, spawn_fn};
//! use std::time::Duration;
//!
//! let rt = Runtime::builder().build()?;
//! let answer = rt.spawn_fn(Intent::batch(), || {
//!     let ui = spawn_fn(Intent::interactive(2_000), || sleep(Duration::from_millis(1)));
//!     ui.expect("room for a task").join().expect("no panic");
//!     6 * 7
//! })?;
//! assert_eq!(answer.join()?, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The model
//!
//! - A *task* is a closure on a stack of its own. What it is for, its [`Intent`], decides when it runs; the decisions are
//!   the core's (`dis_core`), the mechanism is here.
//! - A *worker* is a CPU role: the right to run tasks on one CPU.
//! - A *KLT* is a kernel thread. One KLT carries a worker at a time; the others wait for orders. A started task is bound to
//!   one KLT for life, its *identity*: thread-locals, `thread::current()`, locks that count by thread.
//! - At a *cooperative point* (any call of this crate that enters the runtime, even one that does not wait: `unpark`, `try_send`,
//!   `Event::is_set`, a `Sender`'s drop; not `now`, `current`, or an uncontended `sync::Mutex`) a task may give the CPU to another one of the same identity
//!   for the price of a stack switch, or to one of another by handing the worker over: two futex calls.
//! - A task that reaches no such point is *preempted* by a signal: its KLT stops inside the handler and hands the worker
//!   over. The identity stays taken until the task goes on; who needs it waits and lends it urgency.
//!
//! Each task has an identity of its own, so that preempting one never holds up another and safe code cannot tell the
//! difference from threads; only the end of a child that has not begun is waited for by running it on the parent's
//! identity, as a call would. Up to [`MAX_KLTS`] tasks can have
//! begun at a time; those beyond wait for one to end. Where that is too
//! few, or a switch through the kernel too slow, tasks that promise not to rely on thread-locals across cooperative points
//! share: [`TaskBuilder::shared`], [`Builder::share_beyond`]. `docs/soundness.md` has the reasons.
//!
//! A task that blocks its thread in the kernel does not take its worker with it: another thread takes the role over, and the
//! system call goes on undisturbed ([`Builder::watch_blocking`], `docs/runtime.md`).
//!
//! Unprivileged. No periodic tick: a worker with one task and nothing due is never interrupted, an idle process sleeps.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod abort;
mod api;
#[cfg(feature = "tokio")]
mod aside;
/// What the models in `tests/` replace by their own.
mod atomics {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
    /// Tasks that a lane's ring holds.
    pub(crate) const RING: usize = 1024;
}
mod binding;
mod builder;
mod clock;
#[cfg_attr(not(feature = "control"), path = "no_control.rs")]
mod control;
mod dispatch;
mod displace;
pub mod future;
mod gate;
mod host;
mod identity;
mod inherit;
mod isolation;
mod join;
mod joiner;
mod keep;
mod keeper;
mod klt;
mod life;
mod lock;
pub mod metrics;
mod modules;
mod numa;
mod overflow;
mod planned;
mod policy;
pub mod process;
mod qos;
#[cfg_attr(not(feature = "tokio"), path = "no_reactor.rs")]
mod reactor;
mod runtime;
#[cfg(test)]
#[path = "../tests/common/scratch.rs"]
mod scratch;
mod shortage;
mod signal;
#[cfg_attr(not(feature = "tracing"), path = "no_span.rs")]
mod span;
mod spares;
mod spawn;
mod stacks;
pub mod sync;
mod sys;
mod task;
mod timer;
mod trace;
mod usage;
mod watcher;
mod worker;

pub use api::{
    checkpoint, current, job, next_job, next_period, now, park, sleep, sleep_until, spawn_blocking, spawn_fn, task,
    yield_now,
};
pub use builder::{BuildError, Builder, MAX_KLTS, default_limits};
pub use host::{OsPolicy, Runtime};
pub use join::{JoinError, JoinHandle};
pub use modules::{ModuleChange, ModuleInfo, Modules};
pub use qos::{io, memory, net};
pub use spawn::{SpawnError, TaskBuilder};
pub use trace::{TraceEvent, TraceKind, TraceReader};
pub use watcher::BlockingWatch;

/// Whether the calling thread is inside the runtime, where nothing may be allocated. For tests with an allocator that
/// checks it.
#[doc(hidden)]
pub fn is_inside_runtime() -> bool {
    klt::this().is_some_and(|klt| klt.current().is_some() && klt.is_in_runtime())
}

/// The README's example, which is compiled with the others of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The example of how to write a policy.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/policies.md")]
struct Policies;

pub use dis_core::api::{CpuMask, Duration, SchedError, TaskId, TaskStats, Timestamp};
pub use dis_core::executor::Job;
pub use dis_core::intent::{Intent, IntentClass, QueueType};
pub use dis_core::modules::SchedulerRegistry;
pub use dis_core::optimizer::Limits;
pub use dis_core::stats::SchedulerStats;
