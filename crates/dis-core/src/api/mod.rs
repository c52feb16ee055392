//! The nouns that every host shares.

mod error;
mod id;
mod mask;
mod task;
mod time;

pub use error::{SchedError, SchedResult};
pub use id::TaskId;
pub use mask::{CpuMask, MAX_CPUS};
pub use task::{BlockReason, ExitStatus, Task, TaskApi, TaskSpec, TaskState, TaskStats};
pub use time::{Duration, Timestamp};
