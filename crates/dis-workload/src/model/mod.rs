//! The workload model: what every host runs.
//!
//! A [`Workload`] is a list of [`TaskSpec`]s and a table of the [`Objects`] that they share. A task is a small
//! program: [`Phase`]s of [`Step`]s, each phase repeated on its own, all of them together repeated as
//! [`TaskSpec::repeat`] says. One trip through all phases is a *pass*; a pass is what reports count as one *job*.
//! [`Cursor`] walks that program, so that every host executes the same steps in the same order.
//!
//! Release of a pass ([`Release`]):
//! * [`Release::Periodic`] (Realtime): pass `k` may begin at `start + offset + k * period` and not before; it is due
//!   one relative deadline later. A pass that ends after the next release is followed at once by the next pass,
//!   whose release keeps its place on the grid; releases whose deadlines have passed as well are left out.
//! * [`Release::Sporadic`] (Realtime): the same with the releases of [`Arrivals`].
//! * [`Release::Free`] (everything else): the next pass begins as soon as the previous one ends.

mod arrivals;
mod check;
mod cursor;
mod domain;
mod instances;
#[cfg(feature = "std")]
mod interner;
mod objects;
mod random;
mod step;
mod task;
mod workload;

pub use arrivals::Arrivals;
pub use check::{Finding, FindingKind, check};
pub use cursor::{Action, Cursor};
pub use domain::DomainSpec;
pub use instances::{Instance, MAX_INSTANCES};
#[cfg(feature = "std")]
pub(crate) use interner::Interner;
pub use objects::{Barrier, Event, EventKind, Mutex, Objects, Scope, Timer};
pub use random::{Distribution, DistributionId, Draws};
pub use step::{BarrierId, EventId, MutexId, Step, TimerId, TimerMode};
pub use task::{Constraint, Phase, Release, Repeat, TaskSpec};
pub use workload::{Limits, Machine, Note, Workload};
