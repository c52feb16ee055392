//! The nouns that every host shares.

mod error;
mod id;
mod mask;
mod time;

pub use error::{SchedError, SchedResult};
pub use id::TaskId;
pub use mask::{CpuMask, MAX_CPUS};
pub use time::{Duration, Timestamp};
