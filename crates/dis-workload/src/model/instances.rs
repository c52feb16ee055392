//! One task of several with the same body.

use alloc::format;
use alloc::string::String;

use super::TaskSpec;

/// Most tasks that one `[[task]]`, and a whole workload, may ask for.
pub const MAX_INSTANCES: usize = 100_000;

/// A task to be started.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// Index of the specification in [`Workload::tasks`](super::Workload::tasks).
    pub task: usize,
    /// Which of its instances, from 0.
    pub instance: usize,
    /// What it does.
    pub spec: &'a TaskSpec,
}

impl Instance<'_> {
    /// The task's name: `encode/0`, `encode/1`; an only instance keeps its plain name.
    pub fn name(&self) -> String {
        match self.spec.instances {
            0 | 1 => self.spec.name.clone(),
            _ => format!("{}/{}", self.spec.name, self.instance),
        }
    }
}
