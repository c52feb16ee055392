//! Deciding between classes and between CPUs.

mod arbiter;
mod bandwidth;
mod limits;
mod placement;

pub use arbiter::{Arbiter, ClassSet};
pub use bandwidth::{Credit, Server};
pub use limits::{Limits, LimitsError};
pub(crate) use placement::{CpuLoad, IDLE_RANK, Wanted, choose_cpu};
