//! A whole workload: tasks, limits and what the reader had to say.

use std::fmt;

use dis_core::api::Duration;

use super::{Instance, Objects, TaskSpec};

/// What a file asks to be run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// How long to run; `None` until every task has exited (or somebody stops it).
    pub duration: Option<Duration>,
    /// How many CPUs to use, `1..=MAX_CPUS`; `None` leaves it to the host.
    pub cpus: Option<usize>,
    /// Caps and floors of the class guarantees.
    pub limits: Limits,
    /// The tasks; never empty, names unique.
    pub tasks: Vec<TaskSpec>,
    /// Mutexes, events, timers and barriers that the steps name.
    pub objects: Objects,
    /// What the reader ignored or changed, and what looks odd.
    pub notes: Vec<Note>,
}

/// Caps, floors and waits of the class guarantees. `None` takes the scheduler's default. Shares are per mille of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// Something the reader wants known: a key that has no effect, a default taken, an oddity.
#[derive(Debug, Clone, PartialEq, Eq)]
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
