//! `dis check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dis_core::api::MAX_CPUS;

use super::values::{self, Destination, PolicyChoice};

/// What `--help` begins with.
pub const ABOUT: &str = "\
Find out before a run whether all deadlines hold, whatever happens.

Places the Realtime tasks and `cpu_min` reservations of the workload as the scheduler does, in the order of the file, and \
shows for each the CPU it is on, a bound on its response time, and what is left until its deadline. What does not fit is \
named with the reason and what would help. Nothing is executed. What the verdict rests on is in docs/analysis.md.";

const EXAMPLES: &str = "\
Examples:
  dis check examples/mixed.toml
  dis check examples/overload.toml
  dis check examples/mixed.toml --cpus 1 --host sim
  dis check set.toml --policy realtime=priority
  dis check set.toml --cpus 2 --policy realtime=global-edf
  dis check examples/mixed.toml --json - | jq '.tasks[] | {name, verdict, response_bound_ns}'

Exit codes:
  0    every deadline and every reservation holds
  1    at least one does not, or is not known to
  2    bad input: the command line, or the file";

/// Arguments of `dis check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// The workload: a .toml file of DIS or a .json file of rt-app; `-` is standard input, in either format
    pub file: PathBuf,

    /// Number of CPUs; overrides the file's `cpus` (default: that, else all this process may use, or 1 for --host sim)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: Option<u64>,

    /// What the workload is to run on, which decides what a job costs beside its wcet (default: linux; sim with a policy for
    /// study)
    #[arg(long, value_enum)]
    pub host: Option<HostKind>,

    /// Scheduling policy of a class, as `dis sim` takes it: realtime=edf, the default; realtime=priority, with response times under
    /// fixed priorities; or, for study, rm, dm, llf, global-edf, pd2 or dp-wrap, with the test for that policy
    #[arg(long, value_name = "CLASS=NAME", value_parser = values::simulated_policy)]
    pub policy: Vec<PolicyChoice>,

    /// Write the verdicts as JSON (schema dis-check/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Print no table for people, only errors (use it with --json, or for the exit code)
    #[arg(long, short)]
    pub quiet: bool,
}

/// A host, as far as the analysis is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostKind {
    /// `dis run`: 10 % and 100 µs for each job
    Linux,
    /// `dis sim` without costs: nothing
    Sim,
}

impl HostKind {
    /// As options and reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            HostKind::Linux => "linux",
            HostKind::Sim => "sim",
        }
    }
}
