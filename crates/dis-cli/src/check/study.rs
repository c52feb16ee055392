//! Verdicts under policies for study, which have the whole machine: a test for all tasks at once, in place of places.

use std::collections::{BTreeMap, BTreeSet};

use dis_core::admission::{Remedy, SporadicTask};
use dis_core::api::{Duration, MAX_CPUS};
use dis_core::intent::QueueType;
use dis_sim::study::{Answer as Verdict, Study};
use dis_workload::Workload;

use super::body::Body;
use super::place::bodies;
use super::plan::Plan;
use super::report::{Answer, Report, SCHEMA, TaskRow};
use crate::output::{remedy_lines, time};
use crate::study::StudySet;

/// Remedies are sought for sets up to this size, and for so many of those that may be late.
const MOST_TASKS: usize = 64;
const MOST_REMEDIES: usize = 8;

/// Answers for all tasks of the workload.
pub fn check(plan: &Plan, set: &StudySet) -> Report {
    let analysis = set.analyse(plan.cpus);
    let (answer, reason) = match analysis.answer {
        Verdict::Holds => (Answer::Schedulable, None),
        Verdict::Fails(why) => (Answer::NotSchedulable, Some(why)),
        Verdict::Open(why) => (Answer::NotAnalysed, Some(why)),
    };
    let instances = plan.workload.instances().zip(&set.tasks).zip(&analysis.bounds);
    let mut tasks: Vec<TaskRow> = instances
        .map(|((instance, task), bound)| TaskRow {
            name: instance.name(),
            class: QueueType::Realtime.name().to_string(),
            verdict: if bound.is_some() { Answer::Schedulable } else { answer },
            wcet_ns: task.wcet.as_nanos(),
            budget_ns: task.wcet.as_nanos(),
            deadline_ns: task.deadline.as_nanos(),
            period_ns: task.period.as_nanos(),
            cpus: Vec::new(),
            pieces: Vec::new(),
            response_bound_ns: bound.map(|bound| bound.as_nanos()),
            slack_ns: bound.map(|bound| task.deadline.saturating_sub(bound).as_nanos()),
            response_bound_without_system_ns: bound.map(|bound| bound.as_nanos()),
            reason: None,
            remedies: Vec::new(),
        })
        .collect();
    if reason.is_some() && tasks.len() <= MOST_TASKS {
        let late = tasks.iter_mut().enumerate().filter(|(_, row)| row.verdict != Answer::Schedulable);
        for (index, row) in late.take(MOST_REMEDIES) {
            row.remedies = remedies(set, index, plan.cpus);
        }
    }
    judge_bodies(&plan.workload, &mut tasks);
    Report {
        schema: SCHEMA,
        host: plan.host.name(),
        policy: plan.policy,
        test: Some(analysis.test),
        cpus: plan.cpus,
        enough_cpus: reason.as_ref().and_then(|_| enough_cpus(set, plan.cpus)),
        reason,
        schedulable: tasks.iter().all(|task| task.verdict == Answer::Schedulable),
        tasks,
        others: Vec::new(),
        per_cpu: Vec::new(),
    }
}

fn holds(set: &StudySet, cpus: usize) -> bool {
    set.analyse(cpus).answer == Verdict::Holds
}

/// Changes to one task with which the whole set is accepted.
fn remedies(set: &StudySet, index: usize, cpus: usize) -> Vec<String> {
    // PD2 knows whole milliseconds only.
    let step = if set.study == Study::Pd2 { Duration::from_millis(1) } else { Duration::from_micros(1) };
    let fits = |task: &SporadicTask| {
        let mut changed = set.clone();
        changed.tasks[index] = *task;
        task.is_valid() && set.study.accepts(task, set.starts[index]).is_ok() && holds(&changed, cpus)
    };
    remedy_lines(&Remedy::seek(&set.tasks[index], step, fits))
}

/// The least number of CPUs that is enough, up to four times as many.
fn enough_cpus(set: &StudySet, cpus: usize) -> Option<usize> {
    (cpus + 1..=(4 * cpus).min(MAX_CPUS)).find(|&more| holds(set, more))
}

/// What bodies do that the tests do not have: no budget stops a job here, and nobody inherits urgency. Whoever runs beside such a
/// task cannot be sure of anything.
fn judge_bodies(workload: &Workload, rows: &mut [TaskRow]) {
    let bodies = bodies(workload);
    let mut users: BTreeMap<_, usize> = BTreeMap::new();
    for instance in workload.instances() {
        let mutexes: BTreeSet<_> = bodies[instance.task].sections.iter().flat_map(|section| &section.mutexes).collect();
        for mutex in mutexes {
            *users.entry(*mutex).or_default() += 1;
        }
    }
    let shared = |body: &Body| body.longest(|mutex| users.get(&mutex).is_some_and(|&users| users > 1));
    let mut first = None;
    for (instance, row) in workload.instances().zip(&mut *rows) {
        let body = &bodies[instance.task];
        let (verdict, reason) = if body.runs.as_nanos() > row.wcet_ns {
            let runs = time(body.runs.as_nanos());
            (Answer::NotSchedulable, format!("its jobs run for {runs}, more than its wcet, and no budget stops them"))
        } else if let Some(waits) = body.waits {
            (Answer::NotAnalysed, format!("it {waits} in mid-job"))
        } else if !shared(body).is_zero() {
            (Answer::NotAnalysed, "it shares a mutex, and there is no inheritance under a policy for study".into())
        } else {
            continue;
        };
        first.get_or_insert_with(|| row.name.clone());
        (row.verdict, row.reason) = (verdict, Some(reason));
    }
    let Some(first) = first else { return };
    for row in rows {
        if row.reason.is_none() {
            row.verdict = Answer::NotAnalysed;
            row.reason = Some(format!("counts on `{first}`, which is not as declared"));
        }
        (row.response_bound_ns, row.slack_ns, row.response_bound_without_system_ns) = (None, None, None);
    }
}
