//! C=D splitting: a task that no CPU takes whole is cut into pieces that run one after the other on several.
//!
//! Source: Burns, Davis, Wang and Zhang, "Partitioned EDF scheduling for multiprocessors using a C=D task splitting scheme",
//! Real-Time Systems 48(1), 2012. All pieces but the last have no laxity, so that the last one has as much as can be; the
//! pieces never overlap in time, as each is released when the one before is due.

use alloc::vec::Vec;

use super::assignment::Piece;
use super::cpu::{CpuBook, Part};
use super::piece::{self, Cut};
use super::rules::Rules;
use crate::admission::SporadicTask;
use crate::api::{CpuMask, Duration};

/// What is left of a task behind the pieces that are placed.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// With the time and the deadline that are left, counted from `offset`.
    task: SporadicTask,
    offset: Duration,
}

impl Rest {
    /// What is left behind `cut`; `None` if the deadline leaves no room for it.
    fn behind(&self, cut: &Cut, rules: &Rules) -> Option<Rest> {
        let task = SporadicTask {
            wcet: self.task.wcet - cut.budget + rules.per_piece,
            deadline: self.task.deadline - cut.deadline,
            jitter: Duration::ZERO,
            ..self.task
        };
        task.is_valid().then_some(Rest { task, offset: self.offset + cut.deadline })
    }

    fn piece(&self, cpu: usize, budget: Duration, deadline: Duration) -> Piece {
        Piece { cpu, budget, offset: self.offset, deadline: self.offset + deadline }
    }
}

/// Cuts `task` into pieces for the CPUs of `allowed`; `None` if that is not possible.
///
/// Of the CPUs that take a first piece, the one that takes the largest is tried first, and the rest goes whole to the first
/// CPU that takes it. If no two CPUs do, the largest piece is taken, and the rest is cut again. Each CPU gets at most one piece.
/// O(m²) questions to CPUs for a piece, m the number of CPUs.
pub(super) fn split(cpus: &mut [CpuBook], rules: &Rules, task: &SporadicTask, allowed: &CpuMask) -> Option<Vec<Piece>> {
    let mut free: Vec<usize> = allowed.iter().filter(|&cpu| cpu < cpus.len()).collect();
    let mut rest = Rest { task: *task, offset: Duration::ZERO };
    let mut pieces: Vec<Piece> = Vec::new();
    while free.len() > 1 {
        let mut cuts: Vec<(usize, Cut, Rest)> = free
            .iter()
            .filter_map(|&cpu| {
                let most = rest.task.wcet - Duration::from_nanos(1);
                let cut = piece::largest(&mut cpus[cpu], rules, &rest.task, most)?;
                let useful = cut.budget > rules.per_piece;
                Some((cpu, cut, rest.behind(&cut, rules).filter(|_| useful)?))
            })
            .collect();
        cuts.sort_by_key(|&(cpu, cut, _)| (core::cmp::Reverse(cut.budget), cpu));
        for (cpu, cut, behind) in &cuts {
            let last = Part::Task(behind.task);
            let Some(end) = free.iter().copied().find(|&end| end != *cpu && cpus[end].fits(rules, &last)) else {
                continue;
            };
            pieces.push(rest.piece(*cpu, cut.budget, cut.deadline));
            pieces.push(behind.piece(end, behind.task.wcet, behind.task.deadline));
            return Some(pieces);
        }
        let &(cpu, cut, behind) = cuts.first()?;
        pieces.push(rest.piece(cpu, cut.budget, cut.deadline));
        free.retain(|&other| other != cpu);
        rest = behind;
    }
    None
}
