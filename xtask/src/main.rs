//! Checks of this repository, run by `cargo xtask test`; the list of them is in `steps.rs`.

mod args;
mod context;
mod end_to_end;
mod hygiene;
mod kernel;
mod licences;
mod needs;
mod oracle;
mod process;
mod report;
mod runner;
mod step;
mod steps;
mod workloads;

use std::process::ExitCode;

/// A check failed.
const FAILURE: u8 = 1;
/// The command line was not understood; no check ran.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match args::parse(&arguments, steps::STEPS) {
        Ok(args::Command::Help) => print!("{}", args::HELP),
        Ok(args::Command::List(steps)) => print!("{}", args::list(&steps)),
        Ok(args::Command::Run(steps)) => {
            let context = context::Context::from_environment();
            if !runner::run(&context, &steps) {
                return ExitCode::from(FAILURE);
            }
        }
        Err(message) => {
            eprintln!("error: {message}\n\nFor more: cargo xtask --help");
            return ExitCode::from(USAGE);
        }
    }
    ExitCode::SUCCESS
}
