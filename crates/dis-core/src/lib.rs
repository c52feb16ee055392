//! The Differentiated Intent Scheduler.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod executor;
pub mod intent;
pub mod modules;
pub mod optimizer;
pub mod policy;
pub mod queues;
pub mod scheduler;
pub mod stats;
mod sync;
