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

/// Runs the command.
///
/// # Errors
/// Bad input, or a file that cannot be written.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let mut notes = plan.notes.clone();
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
