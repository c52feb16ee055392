//! What a run measured: the JSON report `dis-report/1` and its tables for people.
//!
//! Times are in nanoseconds. A summary that has no sample is `null`, never a row of zeros. A host collects a [`Record`]
//! for each task, and [`Deadlines`] for each periodic one; a [`Report`] is made of them.

mod deadlines;
mod latencies;
mod record;
mod render;
mod samples;
mod table;
mod types;
mod units;

pub use deadlines::{Deadlines, Grid};
pub use latencies::{Latencies, Summary};
pub use record::{Counters, Record};
pub use render::render;
pub use samples::Samples;
pub use types::{Noise, QueueReport, QueuesReport, Report, SCHEMA, SchedulerReport, TaskReport};
