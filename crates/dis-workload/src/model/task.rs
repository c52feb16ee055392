//! One task of a workload.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use dis_core::api::{CpuMask, Duration};
use dis_core::intent::{Intent, IntentClass, IoPriority};
use serde::{Deserialize, Serialize};

use super::{DistributionId, Step};

/// One `[[task]]` of the file: a declaration of intent and a body. It stands for [`TaskSpec::instances`] tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its name in the file; unique in the workload.
    pub name: String,
    /// How many tasks run this body; at least 1.
    pub instances: usize,
    /// What the task is for; validated.
    pub intent: Intent,
    /// Priority within the class, 0..=255, lower first; `None` takes the class's default.
    pub priority: Option<u8>,
    /// Time from the start of the workload to the task's first release.
    pub offset: Duration,
    /// When a pass may begin.
    pub release: Release,
    /// The body. Never empty, and neither is any phase.
    pub phases: Vec<Phase>,
    /// How many passes the task makes before it exits.
    pub repeat: Repeat,
    /// Whether `run` times that are drawn may take a Realtime job beyond its wcet; else they are cut.
    pub overrun: bool,
    /// Asks for a thread identity of the task's own, shared with no other task.
    pub dedicated: bool,
    /// Constraints that a host may leave unenforced (with a note) instead of refusing the task.
    pub best_effort: Vec<Constraint>,
    /// Which of `workload.domains` it is in; `None`: the root.
    pub domain: Option<usize>,
    /// Line of the task in the file, from 1; 0 for a task made in code.
    pub line: usize,
}

impl TaskSpec {
    /// A task of one instance that repeats `body` forever; Realtime intents are released periodically.
    pub fn new(name: impl Into<String>, intent: Intent, body: Vec<Step>) -> Self {
        let release = Release::of(&intent);
        Self {
            name: name.into(),
            instances: 1,
            intent,
            priority: None,
            offset: Duration::ZERO,
            release,
            phases: vec![Phase { name: None, repeat: 1, affinity: None, steps: body }],
            repeat: Repeat::Forever,
            overrun: false,
            dedicated: false,
            best_effort: Vec::new(),
            domain: None,
            line: 0,
        }
    }

    /// Whether a scheduler that knows the intent can release the jobs: periods of both are the same.
    pub fn is_released_by_intent(&self) -> bool {
        let IntentClass::Realtime { period_us, .. } = self.intent.class else { return false };
        self.release.separation() == Some(Duration::from_micros(period_us))
    }

    /// How much CPU time of a job its drawn `run` times may take together: what fixed ones leave of the wcet. `None`: no matter
    /// how much.
    pub fn most_drawn(&self) -> Option<Duration> {
        let IntentClass::Realtime { wcet_us, .. } = self.intent.class else { return None };
        let fixed = |step: &Step| if let Step::Run(time) = step { *time } else { Duration::ZERO };
        let of = |phase: &Phase| {
            phase.steps.iter().fold(Duration::ZERO, |sum, step| sum + fixed(step)).mul_div(phase.repeat, 1)
        };
        let fixed = self.phases.iter().fold(Duration::ZERO, |sum, phase| sum + of(phase));
        (!self.overrun).then(|| Duration::from_micros(wcet_us) - fixed)
    }

    /// Every step of the body in order, each phase once.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.steps)
    }
}

/// A run of steps with a loop count of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name, where the format names phases.
    pub name: Option<String>,
    /// How many times the steps run before the next phase begins; at least 1.
    pub repeat: u64,
    /// The CPUs the task may use in this phase; `None` means those of the intent.
    pub affinity: Option<CpuMask>,
    /// The steps; never empty.
    pub steps: Vec<Step>,
}

/// When a pass through the body may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// At `start + offset + k * period`: one pass is one job.
    Periodic(Duration),
    /// When a job arrives, at the distance from the one before that is drawn, but at least `separation` after the release before: one
    /// pass is one job. See [`Arrivals`](super::Arrivals).
    Sporadic {
        /// Least distance of two releases: the period of the intent.
        separation: Duration,
        /// Distance from an arrival to the next.
        interarrival: DistributionId,
    },
    /// When the pass before has ended. The body's own steps (sleep, timer, wait) pace it.
    Free,
}

impl Release {
    /// What the format means by an intent: Realtime is periodic, all else is free.
    pub const fn of(intent: &Intent) -> Release {
        match intent.class {
            IntentClass::Realtime { period_us, .. } => Release::Periodic(Duration::from_micros(period_us)),
            _ => Release::Free,
        }
    }

    /// The least distance of two releases, which the periodic ones have; `None` if none are made.
    pub const fn separation(&self) -> Option<Duration> {
        match *self {
            Release::Periodic(separation) | Release::Sporadic { separation, .. } => Some(separation),
            Release::Free => None,
        }
    }
}

/// How often the whole body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Repeat {
    /// Until the workload ends.
    #[default]
    Forever,
    /// This many passes, at least 1; then the task exits.
    Times(u64),
}

/// A constraint by name, as `best_effort` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Constraint {
    /// `affinity`
    Affinity,
    /// `memory`
    Memory,
    /// `numa_node`
    NumaNode,
    /// `io_priority`
    IoPriority,
    /// `net_priority`
    NetPriority,
    /// `cpu_min`
    CpuMin,
    /// `cpu_max`
    CpuMax,
    /// `mem_bandwidth`
    MemBandwidth,
    /// `io_bandwidth`
    IoBandwidth,
}

impl Constraint {
    /// Takes it out of an intent: what is left asks for nothing of the kind.
    pub fn clear(self, intent: &mut Intent) {
        let (constraints, qos) = (&mut intent.constraints, &mut intent.qos);
        match self {
            Constraint::Affinity => constraints.cpu_affinity = None,
            Constraint::Memory => constraints.max_memory = None,
            Constraint::NumaNode => constraints.numa_node = None,
            Constraint::IoPriority => constraints.io_priority = IoPriority::BestEffort,
            Constraint::NetPriority => constraints.net_priority = 0,
            Constraint::CpuMin => qos.cpu_min = 0,
            Constraint::CpuMax => qos.cpu_max = 0,
            Constraint::MemBandwidth => qos.mem_bandwidth = None,
            Constraint::IoBandwidth => qos.io_bandwidth = None,
        }
    }

    /// All of them, in the order of the documentation.
    pub const ALL: [Constraint; 9] = [
        Constraint::Affinity,
        Constraint::Memory,
        Constraint::NumaNode,
        Constraint::IoPriority,
        Constraint::NetPriority,
        Constraint::CpuMin,
        Constraint::CpuMax,
        Constraint::MemBandwidth,
        Constraint::IoBandwidth,
    ];

    /// The key's name in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Constraint::Affinity => "affinity",
            Constraint::Memory => "memory",
            Constraint::NumaNode => "numa_node",
            Constraint::IoPriority => "io_priority",
            Constraint::NetPriority => "net_priority",
            Constraint::CpuMin => "cpu_min",
            Constraint::CpuMax => "cpu_max",
            Constraint::MemBandwidth => "mem_bandwidth",
            Constraint::IoBandwidth => "io_bandwidth",
        }
    }
}
