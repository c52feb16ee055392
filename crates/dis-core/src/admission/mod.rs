//! Whether deadlines will hold: one analysis a file, each with its assumptions numbered and its source named.
//!
//! All analyses work on [`SporadicTask`]s, in whole nanoseconds, without a scheduler. What they accept holds if tasks
//! keep to their declaration and the host's costs are part of the wcet; what an exact one rejects has a counterexample.
//! Each bounds its work and says "undecided" beyond that, which counts as rejected.
//!
//! One CPU: [`Supply`] is what Realtime is sure to get of it, [`TaskSet`] what is asked, [`Verdict`] the answer;
//! [`edf`] is the test for the policy that the scheduler uses, [`response`] bounds response times under it, [`fp`] those under
//! fixed priorities, and [`Remedy`] is what would make a rejected task fit.
//! Several CPUs: [`Admission`] keeps the book of a machine, [`global`] has the tests for global EDF.

mod blocking;
pub mod edf;
pub mod fp;
pub mod global;
mod partition;
mod remedy;
pub mod response;
mod set;
mod supply;
mod task;
mod utilisation;
mod verdict;

pub use partition::{
    Admission, Assignment, Claim, CpuTasks, Piece, RejectReason, Rejection, Request, SYSTEM_FLOOR, Shortfall,
};
pub use remedy::Remedy;
pub use set::{DEFAULT_WORK, Locking, TaskSet};
pub use supply::Supply;
pub use task::SporadicTask;
pub use verdict::{Overload, Response, Undecided, Verdict};
