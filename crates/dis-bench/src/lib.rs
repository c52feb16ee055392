//! The harness of the benchmarks of DIS: `cargo bench -p dis-bench`; each file of `benches/` is one of them.
//!
//! A benchmark measures *candidates* (DIS and its peers) in *cases* (so many tasks, such a class). Every candidate gets
//! its turn in every round, rounds are many and short, and the table shows medians over the rounds: what else runs
//! on the machine then disturbs all candidates alike, and a burst of it only a few rounds. How much else ran is
//! part of the result ([`noise`]).
//!
//! Candidates that bring threads, signals or memory of their own run in a process of their own: the benchmark starts
//! itself with `--child NAME` ([`child`]). So no peer's idle threads burden another, a candidate that starves can be
//! ended, and a program in another language ([`go`]) takes part on equal terms.

pub mod child;
pub mod compare;
pub mod go;
pub mod machine;
pub mod measure;
pub mod noise;
pub mod options;
pub mod report;

pub use child::{Candidate, Runner};
pub use options::Options;
pub use report::{Cell, Report, Samples};
