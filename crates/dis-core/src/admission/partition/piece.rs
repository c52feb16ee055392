//! The largest first piece of a task that a CPU takes.

use super::cpu::{CpuBook, Part};
use super::rules::Rules;
use crate::admission::utilisation::{ONE, rate};
use crate::admission::{SporadicTask, Verdict};
use crate::api::Duration;

/// QPA runs for one piece before the search gives up on the exact size.
const MAX_STEPS: usize = 40;

/// A piece with no more laxity than the CPU needs: alone on it, it would just be finished by its deadline. On a whole CPU,
/// without sections, the deadline is the budget: C = D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub budget: Duration,
    /// From the task's release on.
    pub deadline: Duration,
}

/// The largest piece of at most `most` that fits on `cpu`; `None` if not even one of 1 ns does.
///
/// If a size fits, so does any smaller one: the same schedule, with the end of each piece left out, meets the earlier
/// deadline (on a whole CPU; elsewhere, what is found is tested all the same). So each QPA run that fails, at an interval in which
/// n jobs of the piece are due, bounds the size: what is left there beside the others, divided by n. Those bounds fall to
/// the largest size that fits (Burns et al. 2012, section 4, derive it in the same way).
pub(super) fn largest(cpu: &mut CpuBook, rules: &Rules, task: &SporadicTask, most: Duration) -> Option<Cut> {
    let mut size = most.as_nanos().min(left(cpu, rules, task));
    for _ in 0..MAX_STEPS {
        let cut = cut(cpu, rules, task, Duration::from_nanos(size)).filter(|_| size > 0)?;
        let piece = as_task(&cut, task);
        size = match cpu.verdict(rules, &Part::Task(piece)) {
            Verdict::Overload(overload) => {
                let jobs = crate::admission::edf::demand(&[piece], overload.interval.as_nanos()) / size;
                // No job of the piece is due there: others fail, because it may use up the cap with them.
                let jobs = jobs.max(1);
                size.saturating_sub(overload.excess().as_nanos().div_ceil(jobs))
            }
            Verdict::Schedulable => return Some(cut),
            Verdict::Overutilised { .. } | Verdict::Undecided(_) => size - size.div_ceil(64),
        };
    }
    None
}

/// What the utilisation of `cpu` leaves for the wcet of `task`, ns, less a ten-thousandth: with all of it, QPA may have to look at
/// very long intervals.
fn left(cpu: &CpuBook, rules: &Rules, task: &SporadicTask) -> u64 {
    let supply = rules.supply(rules.floor(), Duration::ZERO);
    let free = rate(&supply).high.saturating_sub(cpu.sums().utilisation.low);
    let size = ((free.min(ONE - 1) * u128::from(task.period.as_nanos())) >> 64) as u64;
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
