//! Policies for study: they decide for all CPUs at once, which the core, whose CPUs decide each for itself, does not.
//!
//! [`Machine`] takes the core's place behind [`Kernel`](crate::Kernel). It keeps the jobs of periodic tasks and asks a policy who
//! runs whenever a job is released, ends or waits, and at the instants that the policy names:
//!
//! | name | who runs | source |
//! |---|---|---|
//! | `rm` | the shortest period | Liu and Layland, JACM 20(1), 1973 |
//! | `dm` | the shortest relative deadline | Leung and Whitehead, Performance Evaluation 2(4), 1982 |
//! | `global-edf` | the earliest absolute deadline | Dhall and Liu, Operations Research 26(1), 1978 |
//! | `llf` | the least laxity, looked at each millisecond | Mok, PhD thesis, MIT, 1983 |
//! | `pd2` | the earliest pseudo-deadline of a quantum of 1 ms | Anderson and Srinivasan, JCSS 68(1), 2004 |
//! | `dp-wrap` | each task its share of each slice between deadlines | Levin et al., ECRTS 2010 |
//!
//! On one CPU the first three are the uniprocessor policies of that name. The last two meet all deadlines of any set with
//! deadlines equal to periods that does not ask for more than there is.
//!
//! *What is simulated.* All tasks are Realtime. Any may run anywhere at any time: masks of CPUs, caps, budgets and inheritance
//! do not exist here, and a [`Machine`] admits everything, so a set that is too much for a policy is seen to miss deadlines. What
//! is too much, [`Study::analyse`] says before. A job that is late goes on, with its
//! deadline; releases whose deadlines have passed as well when it ends are left out, as in the core.
//!
//! *Ties.* Of jobs of equal rank those go first that ran until now, then the lower task. A job that goes on keeps its CPU; the
//! others get the lowest free CPUs, the most urgent first.

mod analysis;
mod dm;
mod dp_wrap;
mod global_edf;
mod llf;
mod machine;
mod pd2;
mod rank;
mod rm;
mod task;

use std::fmt;

use dis_core::admission::SporadicTask;
use dis_core::api::Duration;

pub use analysis::{Analysis, Answer};
pub use machine::Machine;
use task::StudyTask;

/// A policy for study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Study {
    /// Rate monotonic.
    Rm,
    /// Deadline monotonic.
    Dm,
    /// Least laxity first.
    Llf,
    /// Global EDF.
    GlobalEdf,
    /// PD².
    Pd2,
    /// DP-Wrap.
    DpWrap,
}

impl Study {
    /// All, in the order in which help shows them.
    pub const ALL: [Study; 6] = [Study::Rm, Study::Dm, Study::Llf, Study::GlobalEdf, Study::Pd2, Study::DpWrap];

    /// The name as `--policy` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Study::Rm => "rm",
            Study::Dm => "dm",
            Study::Llf => "llf",
            Study::GlobalEdf => "global-edf",
            Study::Pd2 => "pd2",
            Study::DpWrap => "dp-wrap",
        }
    }

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Study> {
        Study::ALL.into_iter().find(|study| study.name() == name)
    }

    /// Whether the policy's model has such tasks, with the first release at `start`.
    ///
    /// # Errors
    /// What the policy needs, in words.
    pub fn accepts(self, task: &SporadicTask, start: Duration) -> Result<(), &'static str> {
        self.policy(1).accepts(task, start.as_nanos())
    }

    fn policy(self, cpus: usize) -> Box<dyn GlobalPolicy> {
        match self {
            Study::Rm => Box::new(rm::RateMonotonic),
            Study::Dm => Box::new(dm::DeadlineMonotonic),
            Study::Llf => Box::new(llf::LeastLaxity),
            Study::GlobalEdf => Box::new(global_edf::GlobalEdf),
            Study::Pd2 => Box::new(pd2::Pd2::new(cpus)),
            Study::DpWrap => Box::new(dp_wrap::DpWrap::new(cpus)),
        }
    }
}

/// Decides who runs on all CPUs. Times in ns.
trait GlobalPolicy: fmt::Debug {
    /// Whether the policy's model has such tasks, with the first release at `start`; else what it needs.
    fn accepts(&self, _task: &SporadicTask, _start: u64) -> Result<(), &'static str> {
        Ok(())
    }

    /// Puts those of `tasks` that are to run from `now` on into `chosen`, which is empty: ready ones, at most one for each
    /// CPU, the most urgent first. Answers when it wants to be asked again if nothing happens before. May be asked several
    /// times at one instant, each time with more of what happens at it.
    fn choose(&mut self, now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64>;
}
