//! A whole workload: tasks, limits and what the reader had to say.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use dis_core::api::Duration;
use dis_core::optimizer::Limits as CoreLimits;
use serde::{Deserialize, Serialize};

use super::{DomainSpec, Instance, Objects, TaskSpec};

/// What a file asks to be run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Workload {
    /// How long to run; `None` until every task has exited (or somebody stops it).
    pub duration: Option<Duration>,
    /// How many CPUs to use, `1..=MAX_CPUS`; `None` leaves it to the host.
    pub cpus: Option<usize>,
    /// What the times that are drawn at random depend on; a command line may say otherwise.
    pub seed: u64,
    /// What a simulated machine takes for switches and timers.
    pub machine: Machine,
    /// Caps and floors of the class guarantees.
    pub limits: Limits,
    /// The domains, each behind the one that it is in.
    pub domains: Vec<DomainSpec>,
    /// The tasks; never empty, names unique.
    pub tasks: Vec<TaskSpec>,
    /// Mutexes, events, timers and barriers that the steps name.
    pub objects: Objects,
    /// What the reader ignored or changed, and what looks odd.
    pub notes: Vec<Note>,
}

/// Caps, floors and waits of the class guarantees. `None` takes the scheduler's default. Shares are per mille of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Most of a CPU that System tasks get, 1..=1000 ‰.
    pub system: Option<u16>,
    /// Most of a CPU that Realtime and System tasks get together, 1..=1000 ‰.
    pub realtime: Option<u16>,
    /// Least of a CPU that Background tasks get, 0..=1000 ‰.
    pub background: Option<u16>,
    /// Longest wait of a ready Batch task.
    pub batch_wait: Option<Duration>,
    /// Longest wait of a ready Background task.
    pub background_wait: Option<Duration>,
}

/// `[sim]`: what a simulated machine takes for what a scheduler does. Without effect on other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Of each switch to another task.
    pub switch_cost: Option<Duration>,
    /// Of going on, on another CPU.
    pub migration_cost: Option<Duration>,
    /// Of going on after a preemption.
    pub preemption_cost: Option<Duration>,
    /// Timers fire at multiples of this.
    pub timer_resolution: Option<Duration>,
}

impl Limits {
    /// `base`, which are a host's defaults, with what the file says in their place.
    pub fn over(&self, base: CoreLimits) -> CoreLimits {
        let mut limits = base;
        limits.system = self.system.unwrap_or(limits.system);
        limits.realtime = self.realtime.unwrap_or(limits.realtime);
        limits.batch_wait = self.batch_wait.unwrap_or(limits.batch_wait);
        limits.background_wait = self.background_wait.unwrap_or(limits.background_wait);
        if let Some(share) = self.background.map(u64::from) {
            // A turn of this length after each longest wait makes up the share.
            let wait = limits.background_wait.as_nanos();
            let turn = u128::from(wait) * u128::from(share) / u128::from(1_000 - share.min(999));
            let turn = u64::try_from(turn).unwrap_or(u64::MAX).clamp(10_000, 3_600_000_000_000);
            limits.background_turn = Duration::from_nanos(turn);
        }
        limits
    }
}

/// Something the reader wants known: a key that has no effect, a default taken, an oddity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The file.
    pub file: String,
    /// Line, from 1; `None` where it concerns no single line.
    pub line: Option<usize>,
    /// Where in the file's structure: `tasks.Browser.priority`.
    pub path: String,
    /// What and why.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}: {}", self.file, self.path, self.text),
            None => write!(f, "{}: {}: {}", self.file, self.path, self.text),
        }
    }
}

impl Workload {
    /// Every task that is to be started, in the file's order: `instances` of each [`TaskSpec`].
    pub fn instances(&self) -> impl Iterator<Item = Instance<'_>> {
        self.tasks
            .iter()
            .enumerate()
            .flat_map(|(index, spec)| (0..spec.instances).map(move |instance| Instance { task: index, instance, spec }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_share_becomes_a_turn() {
        let limits = |share| Limits { background: Some(share), ..Limits::default() }.over(CoreLimits::default());
        assert_eq!(limits(20).background_turn, Duration::from_nanos(5_102_040));
        assert_eq!(limits(0).background_turn, Duration::from_micros(10));
        for share in [0, 1, 500, 999, 1_000] {
            assert_eq!(limits(share).validate(), Ok(()), "{share}");
        }
    }

    #[test]
    fn what_the_file_leaves_out_is_the_hosts() {
        let base = CoreLimits { realtime: 800, ..CoreLimits::default() };
        assert_eq!(Limits::default().over(base), base);
        assert_eq!(Limits { system: Some(7), ..Limits::default() }.over(base), CoreLimits { system: 7, ..base });
    }
}
