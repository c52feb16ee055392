//! What an analysis is asked: tasks, and what they share.

use super::{SporadicTask, Supply};

/// How many evaluations of one task's demand an analysis makes before it gives up, unless told otherwise: a tenth of a second, and a
/// hundred times what sets need whose utilisation is not within a thousandth of the supply.
pub const DEFAULT_WORK: u64 = 20_000_000;

/// How the sections add up in which tasks do not give way ([`SporadicTask::section`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Locking {
    /// At most one section of one less urgent task is in the way: sections cannot be preempted, or a ceiling protocol
    /// sees to it (Baker, "Stack-based scheduling of realtime processes", Real-Time Systems 3(1), 1991).
    #[default]
    Ceiling,
    /// One section of each less urgent task may be: each may hold another lock when more urgent ones come, and keeps it
    /// through priority inheritance (Sha, Rajkumar and Lehoczky, IEEE Trans. Computers 39(9), 1990, theorem 6). Nested
    /// sections count as one.
    Inheritance,
}

/// The tasks of one CPU and what they get of it.
#[derive(Debug, Clone, Copy)]
pub struct TaskSet<'a> {
    /// In the order of priority, highest first, where the analysis is one of fixed priorities.
    pub tasks: &'a [SporadicTask],
    /// What Realtime gets of the CPU.
    pub supply: Supply,
    /// How sections add up.
    pub locking: Locking,
    /// Most evaluations of one task's demand before the answer is "undecided".
    pub work: u64,
}

impl<'a> TaskSet<'a> {
    /// `tasks` on a CPU with this supply.
    pub const fn new(tasks: &'a [SporadicTask], supply: Supply) -> Self {
        TaskSet { tasks, supply, locking: Locking::Ceiling, work: DEFAULT_WORK }
    }

    /// The same set under another protocol.
    pub const fn with_locking(self, locking: Locking) -> Self {
        TaskSet { locking, ..self }
    }

    /// The same set with another bound on the work.
    pub const fn with_work(self, work: u64) -> Self {
        TaskSet { work, ..self }
    }
}

/// Counts the work of an analysis.
#[derive(Debug)]
pub(super) struct Effort {
    left: u64,
}

impl Effort {
    pub fn new(set: &TaskSet<'_>) -> Effort {
        Effort { left: set.work }
    }

    /// Another `n` evaluations. False if that is too much.
    #[must_use]
    pub fn spend(&mut self, n: usize) -> bool {
        let n = n as u64;
        let enough = self.left >= n;
        self.left = self.left.saturating_sub(n);
        enough
    }
}
