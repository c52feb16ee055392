//! `dis module`: new ones, and whether one is right.

mod check;
mod load;
mod new;

use std::process::ExitCode;

use crate::cli::{ModuleAction, ModuleArgs};
use crate::failure::Failure;
pub use load::{load, load_native};

/// Runs the command.
///
/// # Errors
/// Bad input, or files that cannot be written.
pub fn run(args: &ModuleArgs) -> Result<ExitCode, Failure> {
    match &args.action {
        ModuleAction::New(args) => new::run(args),
        ModuleAction::Check(args) if args.here => check::here(args),
        ModuleAction::Check(args) => check::run(args),
    }
}
