//! The numbers for people.

use core::fmt;

use super::SchedulerStats;
use crate::api::Duration;

/// Prints [`SchedulerStats`], a table line for each class that had something to do.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(pub(super) &'a SchedulerStats);

impl SchedulerStats {
    /// The numbers for people.
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        writeln!(f, "tasks: {} created, {} exited, {} killed", s.tasks_created, s.tasks_exited, s.tasks_killed)?;
        writeln!(
            f,
            "context switches: {} ({} voluntary, {} involuntary)",
            s.context_switches, s.voluntary_switches, s.involuntary_switches
        )?;
        writeln!(f, "deadline misses: {}", s.deadline_misses)?;
        writeln!(f, "cpu time: {}", Duration::from_nanos(s.total_cpu_time))?;
        if s.policy_faults > 0 {
            writeln!(f, "policies replaced after wrong answers: {}", s.policy_faults)?;
        }
        if s.queue_stats.iter().all(|(_, stat)| stat.enqueued == 0) {
            return Ok(());
        }
        writeln!(
            f,
            "{:<12}{:>8}{:>8}{:>12}{:>12}{:>14}",
            "queue", "length", "max", "enqueued", "dequeued", "wait (ns)"
        )?;
        for (class, stat) in s.queue_stats.iter().filter(|(_, stat)| stat.enqueued > 0) {
            writeln!(
                f,
                "{:<12}{:>8}{:>8}{:>12}{:>12}{:>14}",
                class.name(),
                stat.length,
                stat.max_length,
                stat.enqueued,
                stat.dequeued,
                stat.avg_wait_time
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::api::Duration;
    use crate::intent::QueueType;
    use crate::stats::StatsCollector;
    use alloc::string::{String, ToString};

    #[test]
    fn prints_counters_and_busy_queues() {
        let mut collector = StatsCollector::new();
        let mut text = String::new();
        collector.print(&mut text).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        collector.record_switch(true);
        collector.record_cpu_time(Duration::from_millis(2));
        collector.record_enqueue(QueueType::Batch);
        collector.record_dequeue(QueueType::Batch, Duration::from_nanos(70));
        assert_eq!(
            collector.summary().to_string(),
            "tasks: 0 created, 0 exited, 0 killed\n\
             context switches: 1 (1 voluntary, 0 involuntary)\n\
             deadline misses: 0\n\
             cpu time: 2ms\n\
             queue         length     max    enqueued    dequeued     wait (ns)\n\
             batch              0       1           1           1            70\n"
        );
        collector.record_policy_fault();
        assert!(collector.summary().to_string().contains("\npolicies replaced after wrong answers: 1\n"));
    }
}
