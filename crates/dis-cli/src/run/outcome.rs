//! What came out of the rounds of one host.

use dis_workload::Workload;
use dis_workload::report::{DomainReport, Record, Report, SchedulerReport};

use super::noise::Disturbance;

/// The result of one round, or of several put together.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The tasks' measurements, in the order of the workload's instances.
    pub records: Vec<Record>,
    /// How long it took, ns.
    pub duration_ns: u64,
    /// Who disturbed it.
    pub noise: Disturbance,
    /// The workload's domains, if the scheduler is ours.
    pub domains: Vec<DomainReport>,
    /// The scheduler's counters, if it is ours.
    pub scheduler: Option<SchedulerReport>,
    /// What is to be said about it.
    pub notes: Vec<String>,
    /// Tasks that panicked, and how.
    pub panics: Vec<String>,
}

impl Outcome {
    /// Adds a round.
    pub fn merge(&mut self, round: Outcome) {
        if self.records.is_empty() {
            *self = round;
            return;
        }
        self.records.iter_mut().zip(&round.records).for_each(|(sum, record)| sum.merge(record));
        self.duration_ns += round.duration_ns;
        self.noise.merge(&round.noise);
        if let (Some(sum), Some(round)) = (&mut self.scheduler, &round.scheduler) {
            merge_scheduler(sum, round);
        }
        self.domains.iter_mut().zip(&round.domains).for_each(|(sum, round)| merge_domain(sum, round));
        self.notes.extend(round.notes);
        self.panics.extend(round.panics);
    }

    /// The report of the host.
    pub fn report(&self, host: &str, workload: &Workload, cpus: usize) -> Report {
        let mut report = Report::new(host, cpus, self.duration_ns);
        let rows = workload.instances().zip(&self.records);
        report.tasks = rows
            .map(|(instance, record)| record.report(&instance.name(), &instance.spec.intent.class, self.duration_ns))
            .collect();
        report.domains = self.domains.clone();
        report.scheduler = self.scheduler.clone();
        report.noise = self.noise.noise.clone();
        report
    }
}

/// Says which of `whom` did not end when the round was over.
pub fn hang_text(whom: &str, names: &[String]) -> String {
    const NAMED: usize = 5;
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = names[..names.len().min(NAMED)].join(", ");
    format!("{whom} that did not end by themselves: {names}{more}; do they wait for each other, or are they too many?")
}

fn merge_domain(sum: &mut DomainReport, round: &DomainReport) {
    sum.tasks = round.tasks;
    sum.cpu_ns += round.cpu_ns;
    sum.denied += round.denied;
    sum.exhausted += round.exhausted;
    sum.throttled += round.throttled;
}

fn merge_scheduler(sum: &mut SchedulerReport, round: &SchedulerReport) {
    sum.tasks_created += round.tasks_created;
    sum.tasks_exited += round.tasks_exited;
    sum.tasks_killed += round.tasks_killed;
    sum.context_switches += round.context_switches;
    sum.voluntary_switches += round.voluntary_switches;
    sum.involuntary_switches += round.involuntary_switches;
    sum.deadline_misses += round.deadline_misses;
    sum.total_cpu_time += round.total_cpu_time;
    sum.policy_faults += round.policy_faults;
    let (queues, others) = (&mut sum.queue_stats, &round.queue_stats);
    for (queue, other) in [
        (&mut queues.system, &others.system),
        (&mut queues.realtime, &others.realtime),
        (&mut queues.interactive, &others.interactive),
        (&mut queues.batch, &others.batch),
        (&mut queues.background, &others.background),
    ] {
        let waits = [&*queue, other].map(|q| u128::from(q.avg_wait_time) * u128::from(q.dequeued));
        queue.length = other.length;
        queue.max_length = queue.max_length.max(other.max_length);
        queue.enqueued += other.enqueued;
        queue.dequeued += other.dequeued;
        queue.avg_wait_time =
            (waits[0] + waits[1]).checked_div(u128::from(queue.dequeued)).map_or(0, |average| average as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_core::stats::SchedulerStats;

    #[test]
    fn rounds_add_up() {
        let round = |jobs, length, wait| {
            let mut stats = SchedulerStats { tasks_created: 1, policy_faults: 2, ..SchedulerStats::default() };
            stats.queue_stats.batch.record_enqueue();
            stats.queue_stats.batch.record_dequeue(dis_core::api::Duration::from_nanos(wait));
            let mut record = Record { jobs, ..Record::default() };
            record.wake.record(wait);
            Outcome {
                records: vec![record],
                duration_ns: length,
                noise: Disturbance { elapsed_ns: 1, ..Disturbance::default() },
                scheduler: Some(SchedulerReport::from(&stats)),
                ..Outcome::default()
            }
        };
        let mut sum = Outcome::default();
        sum.merge(round(2, 10, 100));
        sum.merge(round(3, 20, 300));
        let scheduler = sum.scheduler.as_ref().unwrap();
        assert_eq!((sum.records[0].jobs, sum.duration_ns, sum.noise.elapsed_ns), (5, 30, 2));
        assert_eq!(scheduler.policy_faults, 4);
        assert_eq!((scheduler.tasks_created, scheduler.queue_stats.batch.avg_wait_time), (2, 200));
        assert_eq!(sum.records[0].wake.summary().map(|s| (s.min, s.max)), Some((100, 300)));
    }
}
