//! `dis sim`.

use std::path::PathBuf;

use clap::Args;
use dis_core::api::{Duration, MAX_CPUS};

use super::values::{self, Destination, PolicyChoice};

const EXAMPLES: &str = concat!(
    "\
Examples:
  dis sim examples/mixed.toml
  dis sim overloaded.toml --no-admission
  dis sim examples/mixed.toml --cpus 4 --duration 1min
  dis sim examples/mixed.toml --policy batch=round-robin --switch-cost 2us --timer-resolution 1ms
  dis sim set.toml --cpus 2 --policy realtime=global-edf
  dis sim examples/mixed.toml --duration 100ms --schedule - --quiet | head
  dis sim examples/mixed.toml --json - | jq '.tasks[] | {name, deadline_misses}'
  dis sim examples/mixed.toml --trace trace.json      (open it in https://ui.perfetto.dev)

Ctrl-C ends the simulation early and still prints the report; a second Ctrl-C ends it at once.

",
    exit_codes!()
);

/// What `--help` begins with.
pub const ABOUT: &str = "\
Simulate a workload under virtual time: what the scheduler decides, to the nanosecond, the same on any machine.

The scheduler is the one of `dis run`, unchanged; nothing is executed. A `run` step takes exactly the time it says, and \
switches, timers and interrupts take none, unless options give them a cost. Budgets have no slack: a Realtime job that \
needs more than its wcet is stopped until its next period.";

/// Arguments of `dis sim`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimArgs {
    /// The workload: a .toml file of DIS or a .json file of rt-app; `-` is standard input, in either format
    pub file: PathBuf,

    /// Number of CPUs of the simulated machine; overrides the file's `cpus` (default: that, else 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: Option<u64>,

    /// How long to simulate, for instance 500ms, 10s, 2min; overrides the file's `duration`
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Scheduling policy of a class (once for each class): edf, fair, priority, round-robin, or one of a --module; or, for
    /// study and for `realtime` alone, one that decides for all CPUs at once: rm, dm, llf, global-edf, pd2 or dp-wrap
    #[arg(long, value_name = "CLASS=NAME", value_parser = values::simulated_policy)]
    pub policy: Vec<PolicyChoice>,

    /// Load a policy from a file, for --policy to choose (`dis module new` begins one); may be given several times
    #[arg(long, value_name = "FILE")]
    pub module: Vec<PathBuf>,

    /// Seed of the times that are drawn at random; overrides the file's `seed` (default: that, else 0)
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// What each switch to another task takes, charged to that task; this and the next three override the file's `[sim]`
    /// (default: that, else 0)
    #[arg(long, value_name = "D", value_parser = values::duration_or_zero)]
    pub switch_cost: Option<Duration>,

    /// What a task has to compute in addition when it goes on, on another CPU
    #[arg(long, value_name = "D", value_parser = values::duration_or_zero)]
    pub migration_cost: Option<Duration>,

    /// What a task has to compute in addition when it goes on after it was preempted
    #[arg(long, value_name = "D", value_parser = values::duration_or_zero)]
    pub preemption_cost: Option<Duration>,

    /// Timers fire only at multiples of this
    #[arg(long, value_name = "D", value_parser = values::duration_or_zero)]
    pub timer_resolution: Option<Duration>,

    /// Run what admission would refuse: nobody is promised a deadline then, and misses are counted
    #[arg(long)]
    pub no_admission: bool,

    /// Write the report as JSON (schema dis-report/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Write what each CPU did, and why, to FILE as a Chrome trace, which opens in Perfetto
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Write who ran when to FILE, as lines of JSON in the order of time; `-` is standard output
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub schedule: Option<Destination>,

    /// Show no progress line
    #[arg(long)]
    pub no_progress: bool,

    /// Print no report for people, only errors (use it with --json or --schedule)
    #[arg(long, short)]
    pub quiet: bool,
}
