//! Where an admitted task runs.

use alloc::vec::Vec;

use crate::admission::SporadicTask;
use crate::api::{CpuMask, Duration};

/// Where the jobs of a task run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// All on this CPU.
    Whole(usize),
    /// Each job in pieces, one after the other, on as many CPUs: at least two.
    Split(Vec<Piece>),
}

/// A part of each job of a split task, executed on one CPU under EDF.
///
/// A job begins with the first piece. When it has used up the budget of one, it goes on with the next: on that one's CPU, not
/// before its offset, with its deadline. A job that ends early leaves the rest out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Where it runs.
    pub cpu: usize,
    /// CPU time of the piece, with what moving the task there costs.
    pub budget: Duration,
    /// Earliest start, after the job's release: the deadline of the piece before.
    pub offset: Duration,
    /// When it must be finished, after the job's release. That of the last piece is the task's deadline.
    pub deadline: Duration,
}

impl Assignment {
    /// The CPU on which jobs begin.
    pub fn first_cpu(&self) -> usize {
        match self {
            Assignment::Whole(cpu) => *cpu,
            Assignment::Split(pieces) => pieces.first().map_or(0, |piece| piece.cpu),
        }
    }

    /// All CPUs on which the task runs.
    pub fn cpus(&self) -> CpuMask {
        match self {
            Assignment::Whole(cpu) => CpuMask::single(*cpu),
            Assignment::Split(pieces) => pieces.iter().map(|piece| piece.cpu).collect(),
        }
    }

    /// Whether the task is split.
    pub const fn is_split(&self) -> bool {
        matches!(self, Assignment::Split(_))
    }

    /// What the CPUs have to execute for `task`: each as a sporadic task of its own. A piece is released at its offset, so only
    /// the first one has the task's jitter.
    pub fn parts<'a>(&'a self, task: &'a SporadicTask) -> impl Iterator<Item = (usize, SporadicTask)> + 'a {
        let (whole, pieces) = match self {
            Assignment::Whole(cpu) => (Some((*cpu, *task)), &[][..]),
            Assignment::Split(pieces) => (None, &pieces[..]),
        };
        let parts = pieces.iter().enumerate().map(|(i, piece)| (piece.cpu, piece.as_task(task, i == 0)));
        whole.into_iter().chain(parts)
    }
}

impl Piece {
    /// The piece as a sporadic task, for the analysis of its CPU.
    pub(super) fn as_task(&self, of: &SporadicTask, first: bool) -> SporadicTask {
        let jitter = if first { of.jitter } else { Duration::ZERO };
        SporadicTask::new(self.budget, self.deadline - self.offset, of.period).with_jitter(jitter)
    }
}
