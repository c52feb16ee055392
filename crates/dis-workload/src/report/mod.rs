//! What a run measured: the JSON report `dis-report/1` and its tables for people.
//!
//! Times are in nanoseconds. A summary that has no sample is `null`, never a row of zeros. A host collects a [`Record`]
//! for each task, and [`Deadlines`] for each periodic one; a [`Report`] is made of them.

mod deadlines;
#[cfg(feature = "std")]
mod latencies;
mod record;
#[cfg(feature = "std")]
mod render;
mod samples;
#[cfg(feature = "std")]
mod table;
mod types;
#[cfg(feature = "std")]
mod units;

pub use deadlines::{Deadlines, Grid};
#[cfg(feature = "std")]
pub use latencies::Latencies;
pub use record::{Counters, Record};
#[cfg(feature = "std")]
pub use render::render;
pub use samples::Samples;
pub use types::{DomainReport, Noise, QueueReport, QueuesReport, Report, SCHEMA, SchedulerReport, Summary, TaskReport};
