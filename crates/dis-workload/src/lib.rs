//! What tasks do: the workload model, its TOML format, a reader of rt-app's JSON, and the report of a run.
//!
//! * [`model`]: a [`Workload`] is a list of tasks; each task is a small program of [steps](model::Step) with an
//!   intent. [`model::Cursor`] walks that program, so every host runs the same thing.
//! * [`Workload::load`] reads a file; [`Workload::from_toml`] and [`Workload::from_rt_app`] read text. A file is
//!   either right or answered with all its problems; what has no effect is listed in [`Workload::notes`].
//! * [`interp`] executes the steps of a task on whatever [`interp::Host`] there is, and measures.
//! * [`report`]: what a run measured, as JSON (`dis-report/1`) and as tables.
//! * [`boot`]: how a workload gets into a kernel that runs without an operating system, and its results out of it.
//!
//! Without the feature `std` (on by default) the model, the interpreter, the counters of a report and [`boot`] remain,
//! `no_std` with `alloc`: a kernel reads no files and draws no tables.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot;
#[cfg(feature = "std")]
mod error;
pub mod interp;
#[cfg(feature = "std")]
mod load;
pub mod model;
pub mod report;
#[cfg(feature = "std")]
mod rt_app;
#[cfg(feature = "std")]
mod text;
#[cfg(feature = "std")]
mod toml_format;

#[cfg(feature = "std")]
pub use error::{MAX_PROBLEMS, Problem, WorkloadError};
#[cfg(feature = "std")]
pub use load::Format;
pub use model::{Note, Workload};
