//! What a run measured: the JSON report `dis-report/1` and its tables for people.
//!
//! Times are in nanoseconds. A summary that has no sample is `null`, never a row of zeros.

mod latencies;
mod render;
mod table;
mod types;
mod units;

pub use latencies::{Latencies, Summary};
pub use render::render;
pub use types::{Noise, QueueReport, QueuesReport, Report, SCHEMA, SchedulerReport, TaskReport};
