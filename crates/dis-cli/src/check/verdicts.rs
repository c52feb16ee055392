//! Brings placement, locks and bounds together: an answer for each task.

use std::collections::HashMap;

use dis_core::admission::{Assignment, RejectReason, Rejection, Response, Shortfall, Verdict};
use dis_core::api::Duration;
use dis_core::intent::{IntentClass, QueueType};

use super::bounds::{CpuBounds, Order};
use super::locks::Locks;
use super::place::{Candidate, Placed};
use super::plan::{EDF, PRIORITY, Plan};
use super::remedies;
use super::report::{Answer, CpuRow, Other, PieceRow, Report, SCHEMA, TaskRow};
use crate::output::time;

/// Answers for all tasks of the workload.
pub fn check(plan: &Plan, notes: &mut Vec<String>) -> Report {
    let (workload, limits) = (&plan.workload, &plan.limits);
    let mut placed = Placed::new(workload, plan.cpus, limits);
    let locks = Locks::of(workload, &placed, limits.budget_slack, limits.window);
    let order = match plan.policy {
        PRIORITY => Order::Priorities(placed.candidates.iter().map(|c| (c.id, priority(c))).collect()),
        _ => Order::Edf,
    };
    let cpus: Vec<CpuBounds> =
        (0..plan.cpus).map(|cpu| CpuBounds::of(&mut placed.admission, cpu, limits, &locks, &order)).collect();
    let names: HashMap<_, _> = placed.candidates.iter().map(|c| (c.id, c.instance.name())).collect();
    let judge = Judge { placed: &placed, locks: &locks, cpus: &cpus, names: &names, order: &order };
    let mut tasks: Vec<TaskRow> = placed.candidates.iter().map(|candidate| judge.row(candidate)).collect();
    let per_cpu = cpus.iter().enumerate().map(|(cpu, bounds)| CpuRow {
        cpu,
        tasks: placed.candidates.iter().filter(|c| judge.cpus_of(c).contains(&cpu)).count(),
        utilisation_ppb: placed.admission.utilisation_ppb(cpu),
        system_per_mille: bounds.system,
    });
    let per_cpu = per_cpu.collect();
    notes.extend(lock_notes(plan, &cpus, &judge));
    let unasked = placed.candidates.iter().filter(|candidate| !candidate.asked).count();
    if unasked > 0 {
        notes.push(format!("the last {unasked} tasks were not placed, as too many before them had been rejected"));
    }
    let mut enough_cpus = None;
    if placed.rejects() {
        if remedies::fits_largest_first(&placed, plan.cpus, limits) {
            notes.push("all tasks fit if those that need most of a CPU come first in the file".into());
        }
        enough_cpus = remedies::enough_cpus(workload, plan.cpus, limits);
    }
    let Placed { admission, candidates, bodies } = &mut placed;
    let rejected = candidates.iter().zip(&mut tasks).filter(|(candidate, _)| candidate.rejection.is_some());
    for (candidate, row) in rejected {
        row.remedies = remedies::remedies(admission, candidate, limits);
    }
    for (candidate, row) in candidates.iter().zip(&mut tasks).filter(|(candidate, _)| candidate.is_admitted()) {
        let runs = bodies[candidate.instance.task].runs;
        if runs.as_nanos() > row.wcet_ns && remedies::fits_with_wcet(admission, candidate, runs, limits) {
            row.remedies = vec![format!("wcet = \"{runs}\"")];
        }
    }
    let others = workload.tasks.iter().filter(|task| dis_core::scheduler::request(&task.intent, limits).is_none());
    let others = others.map(|task| Other {
        name: task.name.clone(),
        class: task.intent.class.queue().name().to_string(),
        instances: task.instances,
    });
    // Under other policies a place is a place, and no more is known; nor of a reservation.
    let analysed = [EDF, PRIORITY].contains(&plan.policy);
    let reason = (!analysed).then(|| format!("deadlines are not guaranteed under realtime={}", plan.policy));
    for row in tasks.iter_mut().filter(|row| plan.policy != EDF && row.verdict == Answer::Schedulable) {
        let reservation = row.class != QueueType::Realtime.name();
        if reservation || !analysed {
            row.verdict = Answer::NotAnalysed;
            row.reason = (reservation && analysed).then(|| "a reservation (cpu_min) needs realtime=edf".into());
            (row.response_bound_ns, row.slack_ns, row.response_bound_without_system_ns) = (None, None, None);
        }
    }
    Report {
        schema: SCHEMA,
        host: plan.host.name(),
        policy: plan.policy,
        test: None,
        cpus: plan.cpus,
        reason,
        schedulable: tasks.iter().all(|task| task.verdict == Answer::Schedulable),
        tasks,
        others: others.collect(),
        per_cpu,
        enough_cpus,
    }
}

/// The priority with which a task competes: lower goes first.
fn priority(candidate: &Candidate<'_>) -> u8 {
    let spec = candidate.instance.spec;
    spec.priority.unwrap_or(spec.intent.class.to_priority())
}

/// Where locks, or priorities, leave less to System than the scheduler, which does not know of them, grants it.
fn lock_notes(plan: &Plan, cpus: &[CpuBounds], judge: &Judge<'_>) -> Vec<String> {
    let system = plan.workload.tasks.iter().any(|task| task.intent.class.queue() == QueueType::System);
    let less = cpus.iter().enumerate().filter(|(_, bounds)| system && bounds.system < bounds.granted);
    less.filter(|(cpu, _)| judge.placed.candidates.iter().any(|c| judge.cpus_of(c).contains(cpu)))
        .map(|(cpu, bounds)| {
            let what = if plan.policy == PRIORITY { "priorities" } else { "locks" };
            format!(
                "CPU {cpu}: with the {what} of its tasks, deadlines hold if System uses at most {}.{} % of each window; the \
                 scheduler, which does not know of them, lets it use {}.{} %",
                bounds.system / 10,
                bounds.system % 10,
                bounds.granted / 10,
                bounds.granted % 10
            )
        })
        .collect()
}

struct Judge<'a> {
    placed: &'a Placed<'a>,
    locks: &'a Locks,
    cpus: &'a [CpuBounds],
    names: &'a HashMap<dis_core::api::TaskId, String>,
    order: &'a Order,
}

impl Judge<'_> {
    /// The CPUs of an admitted task, in the order of its pieces.
    fn cpus_of(&self, candidate: &Candidate<'_>) -> Vec<usize> {
        match self.placed.admission.assignment(candidate.id) {
            Some(Assignment::Whole(cpu)) => vec![*cpu],
            Some(Assignment::Split(pieces)) => pieces.iter().map(|piece| piece.cpu).collect(),
            None => Vec::new(),
        }
    }

    fn row(&self, candidate: &Candidate<'_>) -> TaskRow {
        let (spec, task) = (candidate.instance.spec, &candidate.request.task);
        let realtime = match spec.intent.class {
            IntentClass::Realtime { wcet_us, .. } => Some(Duration::from_micros(wcet_us)),
            _ => None,
        };
        let pieces = match self.placed.admission.assignment(candidate.id) {
            Some(Assignment::Split(pieces)) => pieces.as_slice(),
            _ => &[],
        };
        let pieces = pieces.iter().map(|piece| PieceRow {
            cpu: piece.cpu,
            budget_ns: piece.budget.as_nanos(),
            offset_ns: piece.offset.as_nanos(),
            deadline_ns: piece.deadline.as_nanos(),
        });
        let mut row = TaskRow {
            name: candidate.instance.name(),
            class: spec.intent.class.queue().name().to_string(),
            verdict: Answer::Schedulable,
            wcet_ns: realtime.unwrap_or(task.wcet).as_nanos(),
            budget_ns: task.wcet.as_nanos(),
            deadline_ns: task.deadline.as_nanos(),
            period_ns: task.period.as_nanos(),
            cpus: self.cpus_of(candidate),
            pieces: pieces.collect(),
            response_bound_ns: None,
            slack_ns: None,
            response_bound_without_system_ns: None,
            reason: None,
            remedies: Vec::new(),
        };
        if let Some(rejection) = &candidate.rejection {
            row.verdict = Answer::NotSchedulable;
            row.reason = Some(self.why(rejection));
        } else if !candidate.asked {
            row.verdict = Answer::NotAnalysed;
        } else if let Some(wcet) = realtime {
            self.judge_jobs(candidate, wcet, &mut row);
        }
        row
    }

    /// The answer for an admitted Realtime task.
    fn judge_jobs(&self, candidate: &Candidate<'_>, wcet: Duration, row: &mut TaskRow) {
        let body = &self.placed.bodies[candidate.instance.task];
        let not_analysed = |row: &mut TaskRow, why: String| {
            row.verdict = Answer::NotAnalysed;
            row.reason = Some(why);
        };
        if body.runs > wcet {
            row.verdict = Answer::NotSchedulable;
            row.reason = Some(format!(
                "its jobs run for {}, more than its wcet, and are stopped when their budget is used up",
                time(body.runs.as_nanos())
            ));
            return;
        }
        if let Some(waits) = body.waits {
            return not_analysed(row, format!("it {waits} in mid-job, which may postpone its deadline"));
        }
        if body.moves {
            return not_analysed(row, "its phases change the CPUs that it may use".into());
        }
        if let Some(why) = self.locks.uncovered.get(&candidate.instance.task) {
            return not_analysed(row, why.clone());
        }
        let last = row.cpus.last().copied().unwrap_or(0);
        let bounds = &self.cpus[last];
        if bounds.capped_locks {
            return not_analysed(
                row,
                "lower classes share locks with tasks of its CPU, and tasks there reach the cap".into(),
            );
        }
        if let Some(why) = bounds.uncovered {
            return not_analysed(row, why.into());
        }
        let by_priority = matches!(self.order, Order::Priorities(_));
        let offset = row.pieces.last().map_or(0, |piece| piece.offset_ns);
        let (worst, idle) = self.response(candidate, last);
        let of_job = |response: Response| Some(response.within()?.as_nanos() + offset);
        let is_open = |&cpu: &usize| {
            matches!(self.response(candidate, cpu).0, Response::Undecided(_))
                && !self.cpus[cpu].has_locks
                && !by_priority
        };
        match worst {
            Response::Undecided(why) if by_priority => return not_analysed(row, Verdict::Undecided(why).to_string()),
            Response::Beyond(least) if by_priority => {
                row.verdict = Answer::NotSchedulable;
                row.reason = Some(format!(
                    "tasks of its priority and higher ones can delay its jobs for {} or longer; give it a lower number, or take \
                     realtime=edf",
                    time(least.as_nanos())
                ));
                return;
            }
            _ => {}
        }
        let holds = |cpu: &usize| self.response(candidate, *cpu).0.within().is_some() || is_open(cpu);
        if !row.cpus.iter().all(holds) {
            row.verdict = Answer::NotSchedulable;
            row.reason = Some("what it waits for while others hold locks may make it late".into());
            return;
        }
        // Without locks, what is admitted holds, whether a bound has been found or not.
        row.response_bound_ns = of_job(worst);
        row.slack_ns = row.response_bound_ns.map(|bound| row.deadline_ns.saturating_sub(bound));
        row.response_bound_without_system_ns = of_job(idle);
    }

    fn response(&self, candidate: &Candidate<'_>, cpu: usize) -> (Response, Response) {
        let unknown = Response::Undecided(dis_core::admission::Undecided::Work);
        self.cpus[cpu].responses.get(&candidate.id).copied().unwrap_or((unknown, unknown))
    }

    /// Why a task is rejected, for a person.
    fn why(&self, rejection: &Rejection) -> String {
        let RejectReason::NoRoom(Shortfall { cpu, verdict, late }) = &rejection.reason else {
            return rejection.to_string();
        };
        let what = match verdict {
            Verdict::Overload(overload) => {
                let [interval, demand, supply] =
                    [overload.interval, overload.demand, overload.supply].map(|t| time(t.as_nanos()));
                format!("{demand} would be needed within {interval}, of which {supply} are sure")
            }
            // Admission has found nothing against it whole; a bounded search for pieces has failed.
            verdict => verdict.to_string(),
        };
        let late = late.as_ref().filter(|&&late| late != rejection.task).and_then(|late| self.names.get(late));
        let late = late.map(|name| format!(", and `{name}` would be late")).unwrap_or_default();
        format!("no CPU has room for it; on CPU {cpu}, which is used least, {what}{late}")
    }
}
