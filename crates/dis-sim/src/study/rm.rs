//! Rate monotonic.

use super::task::StudyTask;
use super::{GlobalPolicy, rank};

/// The shortest period first (Liu and Layland, "Scheduling Algorithms for Multiprogramming in a Hard-Real-Time Environment",
/// JACM 20(1), 1973). On one CPU the best fixed priorities if deadlines equal periods.
#[derive(Debug)]
pub(super) struct RateMonotonic;

impl GlobalPolicy for RateMonotonic {
    fn choose(&mut self, _now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        rank::choose(tasks, cpus, chosen, |task| task.period().into());
        None
    }
}
