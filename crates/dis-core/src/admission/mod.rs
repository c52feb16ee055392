//! Whether deadlines will hold: one analysis a file, each with its assumptions numbered and its source named.
//!
//! All analyses work on [`SporadicTask`]s, in whole nanoseconds, without a scheduler. What they accept holds if tasks
//! keep to their declaration and the host's costs are part of the wcet; what an exact one rejects has a counterexample.

pub mod global;
mod task;

pub use task::SporadicTask;
