//! `dis sweep`: how many random task sets each schedulability test accepts, by utilisation.

mod curves;
mod experiment;
pub mod methods;
mod plot;
mod workers;

use std::process::ExitCode;

use crate::cli::{Destination, SweepArgs};
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::{Stream, TextOutput, note};
use crate::run::interrupt::Interrupt;
use experiment::Experiment;

/// Runs the command.
///
/// # Errors
/// Bad input, or a file that could not be written.
pub fn run(args: &SweepArgs) -> Result<ExitCode, Failure> {
    let experiment = Experiment::new(args)?;
    let csv = TextOutput::open(args.csv.as_ref(), "the CSV file")?;
    let json = TextOutput::open(args.json.as_ref(), "the JSON file")?;
    if csv.is_stdout() && json.is_stdout() {
        return Err(Failure::bad_input("--csv - and --json - both want standard output; give one of them a file"));
    }
    let svg = TextOutput::open(args.svg.clone().map(Destination::File).as_ref(), "the drawing")?;
    let people = if csv.is_stdout() || json.is_stdout() { Stream::Err } else { Stream::Out };

    let interrupt =
        Interrupt::listen().map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let mut progress = Progress::new(!args.no_progress);
    let curves = workers::run(&experiment, args.threads, &interrupt, &mut progress)?;
    progress.clear();

    if interrupt.has_come() {
        note("stopped by a signal; utilisations that were not reached are left out, the last may have fewer sets");
    }
    if !args.quiet {
        people.write(&curves.table(&experiment, people.width()))?;
    }
    csv.write(|| Ok(curves.csv(&experiment)))?;
    json.write(|| curves.json(&experiment))?;
    svg.write(|| plot::draw(&experiment, &curves))?;
    Ok(interrupt.exit_code().map_or(ExitCode::SUCCESS, ExitCode::from))
}
