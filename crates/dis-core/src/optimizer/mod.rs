//! Deciding between classes and between CPUs.

mod arbiter;
mod bandwidth;
mod limits;
mod placement;
mod reservation;

pub use arbiter::{Arbiter, ClassSet};
pub use bandwidth::{Credit, Server, Wakes};
pub use limits::{Limits, LimitsError};
pub use placement::SPAWN_GRACE;
pub(crate) use placement::{CpuLoad, IDLE_RANK, Wanted, choose_cpu, may_wait_for_parent};
pub use reservation::Reservation;
