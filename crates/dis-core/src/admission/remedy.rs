//! What would make a task fit that does not.
//!
//! The question "does it fit?" is the caller's, so that it is the one that admission asks: with the same supply and the same other
//! tasks, on one CPU or on any. Each answer has been asked for and accepted. It is the best one if less demand never fits
//! worse, which holds for wcet, and for the deadline of a task without sections.

use super::SporadicTask;
use crate::api::Duration;

/// Changes that would make a rejected task fit, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remedy {
    /// The longest wcet that fits, if any does.
    pub wcet: Option<Duration>,
    /// The shortest longer deadline that fits, at most the period, if any does.
    pub deadline: Option<Duration>,
    /// The shortest longer period that fits, at most a thousand times the declared one, if any does. A deadline that was the period
    /// is so still.
    pub period: Option<Duration>,
}

impl Remedy {
    /// The changes that were found, by the names of what is changed: `wcet`, `deadline`, `period`.
    pub fn changes(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let found = [("wcet", self.wcet), ("deadline", self.deadline), ("period", self.period)];
        found.into_iter().filter_map(|(name, time)| Some((name, time?)))
    }

    /// Seeks all by bisection, in whole `step`s (a deadline may also be the period), with at most 200 questions; in
    /// microseconds and for times below a minute, at most 92.
    pub fn seek(task: &SporadicTask, step: Duration, mut fits: impl FnMut(&SporadicTask) -> bool) -> Remedy {
        let step = step.as_nanos().max(1);
        let times = |steps: u64| Duration::from_nanos(steps.saturating_mul(step));
        let shorter = |steps| {
            let wcet = times(steps);
            SporadicTask { wcet, section: task.section.min(wcet), ..*task }
        };
        // What is declared is known not to fit.
        let declared = task.wcet.as_nanos().div_ceil(step);
        let wcet = Some(bisect(0, declared, |steps| fits(&shorter(steps)))).filter(|&steps| steps > 0).map(times);
        let deadline = |steps| times(steps).min(task.period);
        let later = |steps| SporadicTask { deadline: deadline(steps), ..*task };
        let (declared, last) = (task.deadline.as_nanos() / step, task.period.as_nanos().div_ceil(step));
        let deadline = (task.deadline < task.period && fits(&later(last)))
            .then(|| deadline(bisect(last, declared, |steps| fits(&later(steps)))));
        let rarer = |steps| {
            let period = times(steps);
            let deadline = if task.deadline == task.period { period } else { task.deadline };
            SporadicTask { period, deadline, ..*task }
        };
        let (declared, last) =
            (task.period.as_nanos() / step, task.period.as_nanos().div_ceil(step).saturating_mul(1000));
        let period = fits(&rarer(last)).then(|| times(bisect(last, declared, |steps| fits(&rarer(steps)))));
        Remedy { wcet, deadline, period }
    }
}

/// The last number that fits on the way from `good`, which does, to `bad`, which does not, up or down.
fn bisect(mut good: u64, mut bad: u64, mut fits: impl FnMut(u64) -> bool) -> u64 {
    while good.abs_diff(bad) > 1 {
        let middle = good.min(bad) + good.abs_diff(bad) / 2;
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::super::{Supply, TaskSet, edf};
    use super::*;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    /// Beside a task that has half of each millisecond.
    fn seek(task: &SporadicTask) -> Remedy {
        let half = SporadicTask::implicit(us(500), us(1_000));
        Remedy::seek(task, us(1), |task| edf::test(&TaskSet::new(&[half, *task], Supply::dedicated())).is_schedulable())
    }

    #[test]
    fn the_remedies_are_the_nearest_ones() {
        // By 2 ms, 1 ms is the other's.
        let remedy = seek(&SporadicTask::new(us(1_200), us(2_000), us(10_000)));
        assert_eq!(remedy, Remedy { wcet: Some(us(1_000)), deadline: Some(us(2_200)), period: None });
        // No deadline helps who wants more than there is.
        let remedy = seek(&SporadicTask::implicit(us(6_000), us(10_000)));
        assert_eq!(remedy, Remedy { wcet: Some(us(5_000)), deadline: None, period: Some(us(12_000)) });
        let remedy = seek(&SporadicTask::new(us(6_000), us(8_000), us(10_000)));
        assert_eq!(remedy, Remedy { wcet: Some(us(4_000)), deadline: None, period: None });
        // Only the whole period is enough.
        let odd = SporadicTask::new(us(5_000), us(9_999), Duration::from_nanos(10_000_300));
        assert_eq!(seek(&odd).deadline, Some(us(10_000)));
    }

    #[test]
    fn a_full_cpu_has_no_remedy() {
        let full = SporadicTask::implicit(us(1_000), us(1_000));
        let remedy = Remedy::seek(&SporadicTask::implicit(us(1), us(100)), us(1), |task| {
            edf::test(&TaskSet::new(&[full, *task], Supply::dedicated())).is_schedulable()
        });
        assert_eq!(remedy, Remedy::default());
    }

    #[test]
    fn the_longest_times_take_few_questions() {
        let mut questions = 0;
        let forever = SporadicTask::new(Duration::from_nanos(1 << 62), Duration::from_nanos(1 << 62), Duration::MAX);
        Remedy::seek(&forever, Duration::from_nanos(1), |task| {
            questions += 1;
            task.deadline == Duration::MAX
        });
        assert!(questions <= 200, "{questions}");
    }
}
