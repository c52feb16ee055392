//! Who runs the tasks of a workload.
//!
//! The [interpreter](dis_workload::interp) executes a task's steps with what a [`Host`] offers, so the same code with the
//! same measurements runs under DIS ([`dis`]), as plain threads of the operating system ([`threads`]), and in a kernel.

pub mod dis;
pub mod threads;

pub use dis_workload::interp::{Host, Lock, NextJob, Park};

#[cfg(test)]
mod tests;
