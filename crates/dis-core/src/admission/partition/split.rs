//! C=D splitting: a task that no CPU takes whole is cut into pieces that run one after the other on several.
//!
//! Source: Burns, Davis, Wang and Zhang, "Partitioned EDF scheduling for multiprocessors using a C=D task splitting scheme",
//! Real-Time Systems 48(1), 2012. All pieces but the last have no laxity, so that the last one has as much as can be; the
//! pieces never overlap in time, as each is released when the one before is due.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::assignment::Piece;
use super::cpu::{CpuBook, Part};
use super::piece::{self, Cut};
use super::rules::Rules;
use crate::admission::SporadicTask;
use crate::api::{CpuMask, Duration};

/// Most pieces of one task: each is a migration a job.
const MAX_PIECES: usize = 6;
/// A first piece that is less than this part of the wcet is not worth a migration.
const LEAST_PART: u64 = 64;
/// Of how many CPUs a first piece is sought, those that have most left.
const MAX_SEARCHED: usize = 16;

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
/// CPU that takes it. If no two CPUs do, the largest piece is taken, and the rest is cut again, up to six pieces. Each CPU gets at
/// most one. At most 80 searches for a size, and O(m) questions for each, m the number of CPUs.
pub(super) fn split(cpus: &mut [CpuBook], rules: &Rules, task: &SporadicTask, allowed: &CpuMask) -> Option<Vec<Piece>> {
    let mut free: Vec<usize> = allowed.iter().filter(|&cpu| cpu < cpus.len()).collect();
    let room = free.iter().map(|&cpu| piece::left(&cpus[cpu], rules, task)).fold(0u64, u64::saturating_add);
    if room < task.wcet.as_nanos() {
        return None;
    }
    let mut rest = Rest { task: *task, offset: Duration::ZERO };
    let mut pieces: Vec<Piece> = Vec::new();
    while free.len() > 1 && pieces.len() + 1 < MAX_PIECES {
        let mut cuts = first_pieces(cpus, rules, &rest, &free);
        cuts.sort_by_key(|&(cpu, cut, _)| (Reverse(cut.budget), cpu));
        for (cpu, cut, behind) in &cuts {
            let last = Part::Task(behind.task);
            let end = free.iter().copied().find(|&end| end != *cpu && cpus[end].fits(rules, &last));
            if let Some(end) = end {
                pieces.push(rest.piece(*cpu, cut.budget, cut.deadline));
                pieces.push(behind.piece(end, behind.task.wcet, behind.task.deadline));
                return Some(pieces);
            }
        }
        let &(cpu, cut, behind) = cuts.first()?;
        pieces.push(rest.piece(cpu, cut.budget, cut.deadline));
        free.retain(|&other| other != cpu);
        rest = behind;
    }
    None
}

/// For CPUs that take a first piece of `rest` of some size: the largest, and what is left behind it.
fn first_pieces(cpus: &mut [CpuBook], rules: &Rules, rest: &Rest, free: &[usize]) -> Vec<(usize, Cut, Rest)> {
    let most = rest.task.wcet - Duration::from_nanos(1);
    let least = Duration::from_nanos(rest.task.wcet.as_nanos() / LEAST_PART).max(rules.per_piece);
    let mut roomy: Vec<usize> = free.to_vec();
    roomy.sort_by_key(|&cpu| (Reverse(piece::left(&cpus[cpu], rules, &rest.task)), cpu));
    roomy.truncate(MAX_SEARCHED);
    roomy
        .into_iter()
        .filter_map(|cpu| {
            let cut = piece::largest(&mut cpus[cpu], rules, &rest.task, least, most)?;
            Some((cpu, cut, rest.behind(&cut, rules)?))
        })
        .collect()
}
