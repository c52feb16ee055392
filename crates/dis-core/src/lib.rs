//! The core of DIS, the Differentiated Intent Scheduler: it decides which task runs on which CPU, and until when.
//!
//! Tasks declare what they are *for* ([`intent::Intent`]); the core turns that, their constraints and their history
//! into decisions. It is a state machine: it reads no clock, holds no thread, does no I/O, and is deterministic. A
//! *host* brings the mechanism (clock, timer, interrupts, registers, stacks) and asks:
//!
//! ```
//! use dis_core::api::{Timestamp, TaskSpec};
//! use dis_core::executor::{Executor, Leave};
//! use dis_core::intent::Intent;
//! use dis_core::scheduler::Config;
//! # struct Raw(core::sync::atomic::AtomicBool);
//! # unsafe impl lock_api::RawMutex for Raw {
//! #     const INIT: Raw = Raw(core::sync::atomic::AtomicBool::new(false));
//! #     type GuardMarker = lock_api::GuardSend;
//! #     fn lock(&self) { while !self.try_lock() {} }
//! #     fn try_lock(&self) -> bool { !self.0.swap(true, core::sync::atomic::Ordering::Acquire) }
//! #     unsafe fn unlock(&self) { self.0.store(false, core::sync::atomic::Ordering::Release) }
//! # }
//! // One CPU; the host's part of a task is a number here, a saved context in earnest.
//! let machine = Executor::<u32, Raw>::new(Config::new(1)).unwrap();
//! let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
//!
//! machine.spawn(at(0), None, TaskSpec::new("encode", Intent::batch(), 1)).unwrap();
//! let decision = machine.schedule(0, at(0), Leave::Ask).unwrap();
//! assert_eq!(decision.next.unwrap().context, 1);
//! assert_eq!(decision.until, None); // alone: no timer
//! machine.switched(0);
//!
//! // An interactive task appears: the host is told to interrupt CPU 0, which asks again.
//! let (_, wake) = machine.spawn(at(3), None, TaskSpec::new("ui", Intent::interactive(2_000), 2)).unwrap();
//! assert!(wake.interrupt);
//! assert_eq!(machine.schedule(0, at(3), Leave::Ask).unwrap().next.unwrap().context, 2);
//! ```
//!
//! [`api`] has the nouns, [`intent`] declarations and their analysis, [`queues`] and [`policy`] the order within a
//! class, [`optimizer`] the order between classes and the choice of a CPU, [`scheduler`] the tasks and what one does to
//! another, [`executor`] what a CPU does for itself, [`modules`] the registry of policies, [`stats`] the counters, [`admission`]
//! whether deadlines will hold, [`ipc`] calls from task to task, [`isolation`] who may do what, and how much of the machine a group of tasks may take.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admission;
pub mod api;
pub mod executor;
pub mod intent;
pub mod ipc;
pub mod isolation;
pub mod modules;
pub mod optimizer;
pub mod policy;
pub mod queues;
pub mod scheduler;
pub mod stats;
mod sync;
