//! What tasks do: the workload model, its TOML format, a reader of rt-app's JSON, and the report of a run.
//!
//! * [`model`]: a [`Workload`] is a list of tasks; each task is a small program of [steps](model::Step) with an
//!   intent. [`model::Cursor`] walks that program, so every host runs the same thing.
//! * [`Workload::load`] reads a file; [`Workload::from_toml`] and [`Workload::from_rt_app`] read text. A file is
//!   either right or answered with all its problems; what has no effect is listed in [`Workload::notes`].
//! * [`report`]: what a run measured, as JSON (`dis-report/1`) and as tables.
#![forbid(unsafe_code)]

mod error;
mod load;
pub mod model;
pub mod report;
mod rt_app;
mod text;
mod toml_format;

pub use error::{MAX_PROBLEMS, Problem, WorkloadError};
pub use load::Format;
pub use model::{Note, Workload};
