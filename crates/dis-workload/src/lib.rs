//! What tasks do: the workload model, its TOML format, a reader of rt-app's JSON, and the report of a run.
#![forbid(unsafe_code)]

pub mod model;

pub use model::{Note, Workload};
