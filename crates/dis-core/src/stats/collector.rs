//! Counters with a memory.

use alloc::collections::VecDeque;
use core::fmt;

use super::{QueueStat, SchedulerStats, Summary};
use crate::api::{Duration, Timestamp};
use crate::intent::QueueType;

/// Counts, and keeps samples of the counters, the latest ones only. Allocates when it is made and never again.
#[derive(Debug, Clone)]
pub struct StatsCollector {
    stats: SchedulerStats,
    sample_interval: Duration,
    history: VecDeque<SchedulerStats>,
    max_history: usize,
    next_sample: Timestamp,
}

impl Default for StatsCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl StatsCollector {
    /// Keeps a sample a second for a minute.
    pub fn new() -> Self {
        Self::with_history(60, Duration::from_secs(1))
    }

    /// Keeps the last `max` samples, one every `interval`.
    pub fn with_history(max: usize, interval: Duration) -> Self {
        StatsCollector {
            stats: SchedulerStats::default(),
            sample_interval: interval,
            history: VecDeque::with_capacity(max),
            max_history: max,
            next_sample: Timestamp::ZERO,
        }
    }

    /// Counts a context switch.
    pub fn record_switch(&mut self, voluntary: bool) {
        self.stats.record_switch(voluntary);
    }

    /// Counts a Realtime job that was not finished by its deadline.
    pub fn record_deadline_miss(&mut self) {
        self.stats.deadline_misses += 1;
    }

    /// Counts a policy that was replaced because its answers were wrong.
    pub fn record_policy_fault(&mut self) {
        self.stats.policy_faults += 1;
    }

    /// Counts a new task.
    pub fn record_task_created(&mut self) {
        self.stats.tasks_created += 1;
    }

    /// Counts a task that ended by itself.
    pub fn record_task_exit(&mut self) {
        self.stats.tasks_exited += 1;
    }

    /// Counts a task that was killed.
    pub fn record_task_killed(&mut self) {
        self.stats.tasks_killed += 1;
    }

    /// Counts CPU time that a task has used.
    pub fn record_cpu_time(&mut self, ran: Duration) {
        self.stats.record_cpu_time(ran);
    }

    /// Counts a task put into the queue of `class`.
    pub fn record_enqueue(&mut self, class: QueueType) {
        self.stats.queue_stats[class].record_enqueue();
    }

    /// Counts a task taken out of the queue of `class`, after it had `waited` there.
    pub fn record_dequeue(&mut self, class: QueueType, waited: Duration) {
        self.stats.queue_stats[class].record_dequeue(waited);
    }

    /// Keeps the present numbers; the oldest sample makes place.
    pub fn sample(&mut self) {
        while self.history.len() >= self.max_history {
            if self.history.pop_front().is_none() {
                return;
            }
        }
        self.history.push_back(self.stats.clone());
    }

    /// Takes a sample if the last one is an interval ago, or there is none. Whether it did.
    pub fn sample_if_due(&mut self, now: Timestamp) -> bool {
        let due = now >= self.next_sample;
        if due {
            self.next_sample = now + self.sample_interval;
            self.sample();
        }
        due
    }

    /// Replaces the present numbers, for example by the sum over the CPUs, before they are sampled.
    pub fn set_current(&mut self, stats: SchedulerStats) {
        self.stats = stats;
    }

    /// The present numbers.
    pub fn current(&self) -> &SchedulerStats {
        &self.stats
    }

    /// The samples, oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &SchedulerStats> {
        self.history.iter()
    }

    /// The mean of every number over the samples, rounded down; the present numbers if there are no samples.
    pub fn average(&self) -> SchedulerStats {
        if self.history.is_empty() {
            return self.stats.clone();
        }
        let mut average = SchedulerStats::default();
        for (i, mean) in average.counters_mut().into_iter().enumerate() {
            let sum: u128 = self.history.iter().map(|sample| u128::from(sample.counters()[i])).sum();
            // A mean of 64-bit numbers.
            *mean = (sum / self.history.len() as u128) as u64;
        }
        for class in QueueType::ALL {
            average.queue_stats[class] = QueueStat::mean(self.history.iter().map(|sample| sample.queue_stats[class]));
        }
        average
    }

    /// The present numbers for people.
    pub fn summary(&self) -> Summary<'_> {
        Summary(&self.stats)
    }

    /// Writes the [`summary`](Self::summary).
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_event_has_its_counter() {
        let mut collector = StatsCollector::new();
        collector.record_task_created();
        collector.record_task_exit();
        collector.record_task_killed();
        collector.record_switch(true);
        collector.record_switch(true);
        collector.record_switch(false);
        collector.record_deadline_miss();
        (0..3).for_each(|_| collector.record_policy_fault());
        collector.record_cpu_time(Duration::from_nanos(5));
        collector.record_enqueue(QueueType::Realtime);
        collector.record_dequeue(QueueType::Realtime, Duration::from_nanos(8));
        let stats = collector.current();
        assert_eq!((stats.tasks_created, stats.tasks_exited, stats.tasks_killed), (1, 1, 1));
        assert_eq!((stats.context_switches, stats.voluntary_switches, stats.involuntary_switches), (3, 2, 1));
        assert_eq!((stats.deadline_misses, stats.total_cpu_time, stats.policy_faults), (1, 5, 3));
        assert_eq!(stats.queue_stats.realtime.avg_wait_time, 8);
    }

    #[test]
    fn history_keeps_the_latest_samples() {
        let mut collector = StatsCollector::with_history(2, Duration::from_nanos(10));
        for _ in 0..3 {
            collector.record_task_created();
            collector.sample();
        }
        assert_eq!(collector.history().map(|sample| sample.tasks_created).collect::<Vec<_>>(), [2, 3]);
        let mut none = StatsCollector::with_history(0, Duration::ZERO);
        none.sample();
        assert_eq!(none.history().len(), 0);
    }

    #[test]
    fn samples_are_an_interval_apart() {
        let mut collector = StatsCollector::with_history(9, Duration::from_nanos(10));
        let due: Vec<_> = [5, 14, 15, 24, 40].map(|t| collector.sample_if_due(Timestamp::from_nanos(t))).into();
        assert_eq!(due, [true, false, true, false, true]);
    }

    #[test]
    fn the_average_covers_every_number() {
        let mut collector = StatsCollector::new();
        assert_eq!(&collector.average(), collector.current());
        let sample = |n: u64| {
            let mut stats = SchedulerStats::default();
            for (counter, i) in stats.counters_mut().into_iter().zip(1..) {
                *counter = n * i;
            }
            for class in QueueType::ALL {
                let stat = &mut stats.queue_stats[class];
                (0..3 * n).for_each(|_| stat.record_enqueue());
                (0..n).for_each(|_| stat.record_dequeue(Duration::from_nanos(n)));
            }
            stats
        };
        for n in [2, 4] {
            collector.set_current(sample(n));
            collector.sample();
        }
        let average = collector.average();
        assert_eq!(average.counters(), [3, 6, 9, 12, 15, 18, 21, 24, 27]);
        for (_, stat) in average.queue_stats.iter() {
            assert_eq!((stat.length, stat.max_length, stat.enqueued, stat.dequeued), (6, 9, 9, 3));
            assert_eq!(stat.avg_wait_time, 3, "(2 tasks · 2 ns + 4 tasks · 4 ns) / 6 tasks");
        }
    }
}
