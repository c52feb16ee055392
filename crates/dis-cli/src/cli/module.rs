//! `dis module`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{self, Destination};

/// What `--help` begins with.
pub const ABOUT: &str = "\
Scheduling policies in files: begin one, and find out whether one is right.

A module is a shared library with one or more policies under a name. `dis run` and `dis sim` load it with --module and use it \
for the classes that --policy gives it.";

const EXAMPLES: &str = "\
Examples:
  dis module new my-policy
  cargo build --release --manifest-path my-policy/Cargo.toml
  dis module check my-policy/target/release/libmy_policy.so
  dis run examples/mixed.toml --module my-policy/target/release/libmy_policy.so --policy batch=my-policy

Exit codes of check:
  0    the module is right, as far as the suite can tell
  1    it is not: it failed a check, panicked, crashed or did not come back
  2    it cannot be loaded, or bad input";

/// Arguments of `dis module`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ModuleArgs {
    /// What to do
    #[command(subcommand)]
    pub action: ModuleAction,
}

/// What can be done with modules.
#[derive(Debug, Subcommand)]
pub enum ModuleAction {
    /// Write a crate with a policy that works, to begin with
    New(NewArgs),
    /// Load a module and run the conformance suite against it, in a process of its own
    Check(CheckModuleArgs),
}

/// Arguments of `dis module new`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct NewArgs {
    /// The name of the policy, of its crate, and of the new folder
    pub name: String,

    /// Where to make it (default: a folder of its name here); it must not exist
    #[arg(long, value_name = "FOLDER")]
    pub path: Option<PathBuf>,

    /// The folder with the crates of DIS that it depends on (default: those that this program was built from, if they are
    /// still there, else the published ones of this version)
    #[arg(long, value_name = "FOLDER")]
    pub crates: Option<PathBuf>,
}

/// Arguments of `dis module check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckModuleArgs {
    /// The module
    pub file: PathBuf,

    /// Write the verdict as JSON (schema dis-module/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Print nothing for people, only errors (use it with --json, or for the exit code)
    #[arg(long, short)]
    pub quiet: bool,

    /// Check it in this process: what the process of its own is told
    #[arg(long, hide = true)]
    pub here: bool,
}
