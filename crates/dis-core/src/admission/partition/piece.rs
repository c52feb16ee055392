//! The largest first piece of a task that a CPU takes.

use super::cpu::{CpuBook, Part};
use super::rules::Rules;
use crate::admission::utilisation::ONE;
use crate::admission::{Overload, SporadicTask, Verdict, edf};
use crate::api::Duration;

/// QPA runs for one piece before the search gives up.
const MAX_STEPS: usize = 12;
/// How many of them seek the largest size; the others come down faster.
const EXACT_STEPS: usize = 6;
/// Intervals that are looked at before, shortest first.
const SHORT_INTERVALS: usize = 200;

/// A piece with no more laxity than the CPU needs: alone on it, it would just be finished by its deadline. On a whole CPU,
/// without sections, the deadline is the budget: C = D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub budget: Duration,
    /// From the task's release on.
    pub deadline: Duration,
}

/// The largest piece that fits on `cpu`, above `least` and of at most `most`; `None` if there is none.
///
/// If a size fits, so does any smaller one: the same schedule, with the end of each piece left out, meets the earlier
/// deadline (on a whole CPU; elsewhere, what is found is tested all the same). So each interval with too much demand, in
/// which n jobs of the piece are due, bounds the size: by what is left there beside the others, divided by n. Those bounds
/// fall to the largest size that fits. Most come from short intervals, which are looked at first; QPA finds the others
/// (Burns et al. 2012, section 4, derive the size in QPA in the same way).
pub(super) fn largest(
    cpu: &mut CpuBook,
    rules: &Rules,
    task: &SporadicTask,
    least: Duration,
    most: Duration,
) -> Option<Cut> {
    let least = least.as_nanos();
    let mut size = most.as_nanos().min(left(cpu, rules, task));
    let mut t = 0;
    for _ in 0..SHORT_INTERVALS {
        let cut = cut(cpu, rules, task, Duration::from_nanos(size)).filter(|_| size > least)?;
        let piece = as_task(&cut, task);
        let Some(next) = cpu.next_deadline(&piece, t) else { break };
        match cpu.overload(rules, &piece, next) {
            Some(overload) => size = bound(&piece, &overload),
            None => t = next,
        }
    }
    for step in 0..MAX_STEPS {
        let cut = cut(cpu, rules, task, Duration::from_nanos(size)).filter(|_| size > least)?;
        let piece = as_task(&cut, task);
        size = match cpu.verdict(rules, &Part::Task(piece)) {
            Verdict::Schedulable => return Some(cut),
            // Exact while that leads somewhere soon.
            Verdict::Overload(overload) if step < EXACT_STEPS => bound(&piece, &overload),
            Verdict::Overload(overload) => bound(&piece, &overload).min(size - size.div_ceil(4)),
            // The margin has grown.
            Verdict::Undecided(_) => left(cpu, rules, task).min(size - 1),
            // Lower classes take the cap's remainder, which was not reckoned with.
            Verdict::Overutilised { .. } => size - size.div_ceil(64),
        };
    }
    None
}

/// The largest size of `piece` with which this overload may not be one.
fn bound(piece: &SporadicTask, overload: &Overload) -> u64 {
    let size = piece.wcet.as_nanos();
    let jobs = edf::demand(&[*piece], overload.interval.as_nanos()) / size;
    // If no job of the piece is due there, others fail because it may use up the cap with them.
    size.saturating_sub(overload.excess().as_nanos().div_ceil(jobs.max(1)))
}

/// What the utilisation of `cpu` leaves for the wcet of `task`, ns, less a ten-thousandth and the margin that QPA wants there.
pub(super) fn left(cpu: &CpuBook, rules: &Rules, task: &SporadicTask) -> u64 {
    let size = ((cpu.room(rules).min(ONE - 1) * u128::from(task.period.as_nanos())) >> 64) as u64;
    size - size / 10_000
}

/// The piece of `budget`: its deadline is when the CPU, at worst, has supplied that much after what blocks it.
fn cut(cpu: &CpuBook, rules: &Rules, task: &SporadicTask, budget: Duration) -> Option<Cut> {
    let work = budget + Duration::from_nanos(cpu.sums().sections);
    let at = |load| Some(Cut { budget, deadline: rules.supply(rules.floor(), load).time_for(work)? + task.jitter });
    // Whether lower classes take the cap's remainder depends on what is here, and on the deadline of the piece: a later one
    // lets it ask for more of a window. So that found with the remainder shows whether there is one.
    let late = at(Duration::MAX)?;
    let load = cpu.sums().with_task(rules, &as_task(&late, task)).load;
    at(load)
}

pub(super) fn as_task(cut: &Cut, task: &SporadicTask) -> SporadicTask {
    SporadicTask::new(cut.budget, cut.deadline, task.period).with_jitter(task.jitter)
}
