//! Global EDF.

use super::task::StudyTask;
use super::{GlobalPolicy, rank};

/// The earliest absolute deadline first, on all CPUs together. On several CPUs it can miss deadlines at a utilisation just above
/// 1 (Dhall and Liu, "On a Real-Time Scheduling Problem", Operations Research 26(1), 1978);
/// `dis_core::admission::global` has tests for it.
#[derive(Debug)]
pub(super) struct GlobalEdf;

impl GlobalPolicy for GlobalEdf {
    fn choose(&mut self, _now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        rank::choose(tasks, cpus, chosen, |task| task.deadline.into());
        None
    }
}
