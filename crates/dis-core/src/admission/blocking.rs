//! What less urgent tasks that do not give way cost under EDF.

use alloc::vec::Vec;

use super::{Locking, TaskSet};

/// B(t), ns: for how long jobs that are ready and due within an interval of length t may wait for one that is due later. Its task
/// has a relative deadline above t, and was at it before the interval began (Baker 1991; with jitter a job that became
/// ready at its release has the whole deadline before it). A step function that falls with t.
#[derive(Debug)]
pub(super) struct Blocking {
    /// Deadlines in ascending order, each with B just below it; B is 0 from the last on.
    steps: Vec<(u64, u64)>,
}

impl Blocking {
    /// O(n log n), and nothing if no task has a section.
    pub fn of(set: &TaskSet<'_>) -> Blocking {
        let mut steps: Vec<(u64, u64)> = set
            .tasks
            .iter()
            .filter(|task| !task.section.is_zero())
            .map(|task| (task.deadline.as_nanos(), task.section.min(task.wcet).as_nanos()))
            .collect();
        steps.sort_unstable();
        let mut above = 0u64;
        for (_, b) in steps.iter_mut().rev() {
            above = match set.locking {
                Locking::Ceiling => above.max(*b),
                Locking::Inheritance => above.saturating_add(*b),
            };
            *b = above;
        }
        Blocking { steps }
    }

    /// B(t), and from which t on it is that.
    pub fn at(&self, t: u64) -> (u64, u64) {
        let above = self.steps.partition_point(|&(deadline, _)| deadline <= t);
        let since = above.checked_sub(1).map_or(0, |last| self.steps[last].0);
        (self.steps.get(above).map_or(0, |&(_, b)| b), since)
    }

    /// The greatest value, B(0).
    pub fn most(&self) -> u64 {
        self.at(0).0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SporadicTask, Supply};
    use super::*;
    use crate::api::Duration;

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    #[test]
    fn only_tasks_that_are_due_later_block() {
        let task = |c, t, section| SporadicTask::implicit(d(c), d(t)).with_section(d(section));
        let tasks = [task(2, 10, 1), task(4, 30, 3), task(9, 20, 2), task(5, 40, 0), task(1, 30, 9)];
        let set = TaskSet::new(&tasks, Supply::dedicated());
        let b = |set: &TaskSet<'_>| [0, 9, 10, 19, 20, 29, 30, 99].map(|t| Blocking::of(set).at(t));
        assert_eq!(b(&set), [(3, 0), (3, 0), (3, 10), (3, 10), (3, 20), (3, 20), (0, 30), (0, 30)]);
        let set = set.with_locking(Locking::Inheritance);
        assert_eq!(b(&set), [(7, 0), (7, 0), (6, 10), (6, 10), (4, 20), (4, 20), (0, 30), (0, 30)]);
        assert_eq!(Blocking::of(&TaskSet::new(&tasks[3..4], Supply::dedicated())).at(5), (0, 0));
    }
}
