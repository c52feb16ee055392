//! Least laxity first.

use super::task::StudyTask;
use super::{GlobalPolicy, rank};

/// How often laxities are compared, ns, beside the instants at which jobs are released or end. In continuous time, two jobs of
/// equal laxity would take turns without end.
const TICK: u64 = 1_000_000;

/// The least laxity first: what is left until the deadline beyond what the job still needs, by its wcet (Mok, "Fundamental
/// Design Problems of Distributed Systems for the Hard Real-Time Environment", PhD thesis, MIT, 1983). Laxity counts as it is at
/// each whole millisecond, release and end.
#[derive(Debug)]
pub(super) struct LeastLaxity;

impl GlobalPolicy for LeastLaxity {
    fn choose(&mut self, now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        let laxity = |task: &StudyTask| {
            i128::from(task.deadline) - i128::from(now) - i128::from(task.wcet().saturating_sub(task.executed))
        };
        let ready = rank::choose(tasks, cpus, chosen, laxity);
        (ready > cpus).then(|| (now / TICK + 1) * TICK)
    }
}
