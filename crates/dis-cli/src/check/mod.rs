//! `dis check`: whether all deadlines hold, before a run.

mod body;
mod bounds;
mod locks;
mod place;
mod plan;
mod remedies;
mod report;
mod study;
mod text;
mod verdicts;

use std::process::ExitCode;

use dis_core::admission::Rejection;
use dis_core::optimizer::Limits;
use dis_workload::Workload;
use dis_workload::model::Release;

use crate::cli::CheckArgs;
use crate::failure::Failure;
use crate::output::{JsonOutput, note};
use place::Placed;
use plan::Plan;

/// Why the instance of this number is the first that is not admitted, and what would fit in its place; if it is.
pub fn why_not(workload: &Workload, cpus: usize, limits: &Limits, instance: usize) -> Option<(Rejection, Vec<String>)> {
    let Placed { mut admission, candidates, .. } = Placed::until_rejected(workload, cpus, limits);
    let candidate = candidates.iter().find(|candidate| candidate.rejection.is_some())?;
    let rejection = candidate.rejection.filter(|_| candidate.id.slot() as usize == instance)?;
    Some((rejection, remedies::remedies(&mut admission, candidate, limits)))
}

/// What is assumed of tasks whose jobs arrive at random.
fn sporadic(workload: &Workload) -> Option<String> {
    let mut sporadic = workload.tasks.iter().filter(|task| matches!(task.release, Release::Sporadic { .. }));
    let first = &sporadic.next()?.name;
    let more = match sporadic.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "task \"{first}\"{more}: checked as sporadic, whatever `interarrival` draws: at most one job in each `period`, which every host enforces"
    ))
}

/// Runs the command.
///
/// # Errors
/// Bad input, or a file that cannot be written.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let mut notes = plan.notes.clone();
    notes.extend(sporadic(&plan.workload));
    let report = match &plan.study {
        Some(set) => study::check(&plan, set),
        None => verdicts::check(&plan, &mut notes),
    };
    notes.iter().for_each(|text| note(text));
    if !args.quiet {
        let stream = json.stream_for_people();
        stream.write(&text::render(&report, stream.width()))?;
    }
    json.write(&report)?;
    Ok(if report.schedulable { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
