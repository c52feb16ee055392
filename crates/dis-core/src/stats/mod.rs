//! What the scheduler has done, in numbers.
//!
//! [`SchedulerStats`] holds counters that only grow, and for each class a [`QueueStat`]. Each CPU counts for itself,
//! and [`SchedulerStats::merge`] adds CPUs up. [`StatsCollector`] keeps samples for an average over the last minute.
//! Times are in nanoseconds.

mod collector;
mod queue;
mod summary;

pub use collector::StatsCollector;
pub use queue::{QueueStat, QueueStats};
pub use summary::Summary;

use crate::api::Duration;

/// Everything that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchedulerStats {
    /// Tasks created.
    pub tasks_created: u64,
    /// Tasks that ended by themselves.
    pub tasks_exited: u64,
    /// Tasks that were killed.
    pub tasks_killed: u64,
    /// Context switches; the sum of the two kinds.
    pub context_switches: u64,
    /// Switches because the running task yielded, blocked, slept or ended.
    pub voluntary_switches: u64,
    /// Switches because the running task was preempted.
    pub involuntary_switches: u64,
    /// Realtime jobs not finished by their deadlines.
    pub deadline_misses: u64,
    /// CPU time used by all tasks, ns.
    pub total_cpu_time: u64,
    /// Policies that were replaced by the built-in ones because their answers were wrong.
    pub policy_faults: u64,
    /// The queues, class by class.
    pub queue_stats: QueueStats,
}

impl SchedulerStats {
    /// Counts a context switch.
    pub fn record_switch(&mut self, voluntary: bool) {
        self.context_switches += 1;
        if voluntary {
            self.voluntary_switches += 1;
        } else {
            self.involuntary_switches += 1;
        }
    }

    /// Counts CPU time that a task has used.
    pub fn record_cpu_time(&mut self, ran: Duration) {
        self.total_cpu_time = self.total_cpu_time.saturating_add(ran.as_nanos());
    }

    /// Adds what another CPU has counted. Lengths, and so the greatest lengths, add up: the sum of the greatest
    /// lengths is an upper bound of the greatest sum, which nobody has observed.
    pub fn merge(&mut self, other: &SchedulerStats) {
        for (sum, part) in self.counters_mut().into_iter().zip(other.counters()) {
            *sum = sum.saturating_add(part);
        }
        self.queue_stats.merge(&other.queue_stats);
    }

    fn counters(&self) -> [u64; 9] {
        [
            self.tasks_created,
            self.tasks_exited,
            self.tasks_killed,
            self.context_switches,
            self.voluntary_switches,
            self.involuntary_switches,
            self.deadline_misses,
            self.total_cpu_time,
            self.policy_faults,
        ]
    }

    /// The same counters in the same order.
    fn counters_mut(&mut self) -> [&mut u64; 9] {
        [
            &mut self.tasks_created,
            &mut self.tasks_exited,
            &mut self.tasks_killed,
            &mut self.context_switches,
            &mut self.voluntary_switches,
            &mut self.involuntary_switches,
            &mut self.deadline_misses,
            &mut self.total_cpu_time,
            &mut self.policy_faults,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::QueueType;

    #[test]
    fn merging_adds_every_counter() {
        let mut one = SchedulerStats::default();
        for (value, counter) in (1..).zip(one.counters_mut()) {
            *counter = value;
        }
        one.queue_stats[QueueType::Batch].record_enqueue();
        let mut sum = one.clone();
        sum.merge(&one);
        assert_eq!(sum.counters(), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(sum.queue_stats.batch.enqueued, 2);
        assert_eq!(sum.tasks_created, 2);
        assert_eq!(sum.total_cpu_time, 16);
        assert_eq!(sum.policy_faults, 18);
    }
}
