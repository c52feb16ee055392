//! `dis check`: whether all deadlines hold, before a run.

mod body;
mod bounds;
mod locks;
mod place;
mod plan;
mod remedies;
mod report;
mod text;
mod verdicts;

use std::process::ExitCode;

use crate::cli::{CheckArgs, HostKind};
use crate::failure::Failure;
use crate::output::{JsonOutput, note};
use plan::Plan;

/// Runs the command.
///
/// # Errors
/// Bad input, or a file that cannot be written.
pub fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let host = match args.host {
        HostKind::Linux => "linux",
        HostKind::Sim => "sim",
    };
    let mut notes = plan.notes.clone();
    let report = verdicts::check(&plan, host, &mut notes);
    notes.iter().for_each(|text| note(text));
    if !args.quiet {
        let stream = json.stream_for_people();
        stream.write(&text::render(&report, stream.width()))?;
    }
    json.write(&report)?;
    Ok(if report.schedulable { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
