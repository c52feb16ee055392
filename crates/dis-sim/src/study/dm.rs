//! Deadline monotonic.

use super::task::StudyTask;
use super::{GlobalPolicy, rank};

/// The shortest relative deadline first (Leung and Whitehead, "On the complexity of fixed-priority scheduling of periodic,
/// real-time tasks", Performance Evaluation 2(4), 1982). On one CPU the best fixed priorities if deadlines are at most periods.
#[derive(Debug)]
pub(super) struct DeadlineMonotonic;

impl GlobalPolicy for DeadlineMonotonic {
    fn choose(&mut self, _now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        rank::choose(tasks, cpus, chosen, |task| task.model.deadline.as_nanos().into());
        None
    }
}
