//! Tasks that the runtime refuses: what is wrong, and what can be done.

use dis_core::admission::{RejectReason, Rejection, Shortfall};
use dis_core::api::SchedError;
use dis_core::intent::{Intent, IntentClass};
use dis_runtime::SpawnError;
use dis_workload::model::{Constraint, TaskSpec};

use super::plan::Plan;
use crate::failure::Failure;

/// The first constraint of an intent that the steps of a workload have nothing to do with, as the runtime names those that it refuses.
pub fn pointless(intent: &Intent) -> Option<&'static str> {
    let (constraints, qos) = (&intent.constraints, &intent.qos);
    if constraints.max_memory.is_some() {
        return Some("max_memory: the steps of a workload allocate nothing");
    }
    if constraints.net_priority != 0 {
        return Some("net_priority: the steps of a workload open no sockets");
    }
    qos.io_bandwidth.is_some().then_some("io_bandwidth: the steps of a workload read and write nothing")
}

/// Drops the constraint that the runtime cannot enforce, if the task says that it may.
pub fn give_in(
    plan: &Plan,
    spec: &TaskSpec,
    intent: &mut Intent,
    why: &str,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let place = plan.place(spec);
    let (name, why) = why.split_once(": ").unwrap_or(("", why));
    let constraint = Constraint::ALL
        .into_iter()
        .find(|constraint| constraint.key() == name || (name == "max_memory" && *constraint == Constraint::Memory));
    let Some(constraint) = constraint else {
        return Err(Failure::bad_input(format!("{place}: not supported: {name}{why}")));
    };
    let key = constraint.key();
    if !spec.best_effort.contains(&constraint) {
        return Err(Failure::bad_input(format!(
            "{place}: {key}: cannot be enforced here: {why}; leave it out, or add best_effort = [\"{key}\"] to run without it"
        )));
    }
    let note = format!("{place}: {key}: not enforced (best_effort): {why}");
    if !notes.contains(&note) {
        notes.push(note);
    }
    constraint.clear(intent);
    Ok(())
}

/// Why a task was refused, and what to do. `reason`: what admission says about it, if that was asked, and lines that would fit.
pub fn explain(spec: &TaskSpec, error: SpawnError, reason: Option<(Rejection, Vec<String>)>) -> String {
    let (why, would_fit) = reason.map_or_else(Default::default, |(rejection, fits)| because(&rejection, &fits));
    match (error, spec.intent.class) {
        (SpawnError::Refused(SchedError::NoCpu), IntentClass::Realtime { wcet_us, deadline_us, period_us }) => {
            let share = wcet_us as f64 / deadline_us.min(period_us).max(1) as f64 * 100.0;
            format!(
                "no CPU has room for its reservation of {share:.1} % (wcet {wcet_us} us within {deadline_us} us){why}; \
                 {would_fit}lower `wcet`, lengthen `period` or `deadline`, add CPUs, or raise `realtime` in [limits]"
            )
        }
        (SpawnError::Refused(SchedError::NoCpu), _) if spec.intent.qos.cpu_min > 0 => {
            let share = f64::from(spec.intent.qos.cpu_min) / 10.0;
            format!(
                "no CPU has room for its reservation of {share:.1} %{why}; lower `cpu_min`, allow more CPUs by `affinity`, or \
                 raise `realtime` in [limits], which is the most that may be reserved"
            )
        }
        (SpawnError::Refused(SchedError::ResourceExhausted), _) => "too many tasks; lower `instances`".into(),
        (error, _) => error.to_string(),
    }
}

/// The reason in the words of the analysis, and what would fit.
fn because(rejection: &Rejection, fits: &[String]) -> (String, String) {
    let RejectReason::NoRoom(Shortfall { cpu, verdict, .. }) = rejection.reason else { return Default::default() };
    let would_fit = if fits.is_empty() { String::new() } else { format!("{} would fit; ", fits.join(" or ")) };
    (format!(": CPU {cpu}: {verdict}"), would_fit)
}
