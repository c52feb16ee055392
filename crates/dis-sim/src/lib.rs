//! Runs a workload on the scheduler's core under virtual time: what the scheduler decides, to the nanosecond, without
//! executing anything.
//!
//! The core is the one of every other host, unchanged. Here it is driven by one thread with an event queue in place of
//! clocks, timers and interrupts, so the same workload with the same options gives the same schedule on any machine.
//!
//! ```
//! use dis_core::api::Duration;
//! use dis_sim::{Options, Simulation};
//! use dis_workload::Workload;
//!
//! let text = r#"
//!     [[task]]
//!     name = "control"
//!     intent = "realtime"
//!     period = "10ms"
//!     wcet = "2ms"
//! "#;
//! let workload = Workload::from_toml(text, "w.toml").unwrap();
//! let options = Options { schedule: true, ..Options::new(1, Duration::from_millis(100)) };
//! let mut simulation = Simulation::new(&workload, &options).unwrap();
//! simulation.run().unwrap();
//! assert_eq!((simulation.jobs(0), simulation.misses(0)), (10, 0));
//! let report = simulation.report();
//! assert_eq!(report.tasks[0].response_ns.unwrap().max, 2_000_000);
//! println!("{} events", simulation.take_schedule().len());
//! ```
//!
//! [`Simulation`] is the host; [`Options`] say how many CPUs there are, for how long, and what switches cost.
//! [`ScheduleEvent`]s tell who ran when, [`TraceEvent`]s also why. `docs/simulator.md` defines all of them.
//! [`generate`] makes random task sets for experiments with the analyses of `dis_core::admission`.
#![forbid(unsafe_code)]

mod agenda;
mod engine;
mod error;
pub mod generate;
mod kernel;
mod mutex;
mod objects;
mod options;
mod schedule;
pub mod study;
mod task;
mod trace;
mod walk;

pub use engine::{Progress, Simulation};
pub use error::{Blocked, SimError, WaitsFor};
pub use kernel::{Kernel, Lock};
pub use options::{Costs, Options};
pub use schedule::{ScheduleEvent, ScheduleKind};
pub use trace::{Departure, TraceEvent, TraceKind};
