//! Partitioned EDF with C=D splitting: which CPU takes which task, or piece of one.
//!
//! Assumptions, beside those of [`edf`](super::edf) for each CPU:
//! 1. A task runs on the CPU of its assignment only; a piece of a split one not before its offset, with its own deadline and for no
//!    more than its budget.
//! 2. Moving a job to the CPU of its next piece costs no more than the limits' `budget_overhead`, which each piece but the first
//!    has in its budget.

mod assignment;
mod book;
mod cpu;
mod linear;
mod piece;
mod plan;
mod rejection;
mod request;
mod reserved;
mod rules;
mod split;
mod sums;
mod view;
mod witness;

pub use assignment::{Assignment, Piece};
pub use book::Admission;
pub use rejection::{RejectReason, Rejection, Shortfall};
pub use request::{Claim, Request};
pub use rules::SYSTEM_FLOOR;
pub use view::CpuTasks;
