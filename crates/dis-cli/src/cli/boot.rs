//! `dis boot`.

use std::path::PathBuf;

use clap::Args;
use dis_core::api::Duration;

use super::values::{self, Destination, PolicyChoice};

/// Most CPUs that QEMU's `pc` machine has.
pub const MOST_CPUS: u64 = 64;

const EXAMPLES: &str = "\
Examples:
  dis boot examples/mixed.toml
  dis boot examples/mixed.toml --cpus 4 --memory 512M --duration 3s
  dis boot examples/mixed.toml --deterministic --json report.json
  dis boot examples/mixed.toml --json - | jq '.tasks[] | {name, deadline_misses}'
  dis boot examples/mixed.toml --policy batch=round-robin
  dis boot examples/mixed.toml --trace trace.json      (open it in https://ui.perfetto.dev)

Ctrl-C asks the kernel to end the run early, and the report is still printed; a second Ctrl-C ends all at once.

Exit codes:
  0    it worked
  1    the run failed, the kernel did, or a task of the workload was ended by a fault
  2    bad input: the command line, or a file
  130  stopped by Ctrl-C, after the report (143: by SIGTERM)";

/// What `--help` begins with.
pub const ABOUT: &str = "\
Boot a kernel of nothing but the scheduler in QEMU, and run a workload as its tasks.

The scheduler is the one of `dis run`, unchanged, in a kernel for x86_64 with several CPUs, without an operating system \
below it. The kernel is built if it is not there yet (cargo and this repository are needed for that), gets the workload as \
a boot module, and its console is shown as it comes. The report is that of `dis run`.

QEMU interprets the machine's instructions, so it is slower than the machine it runs on, and its CPUs compete with other \
processes. With --deterministic time is the number of instructions (2 ns each, one CPU after the other): slower still, but \
two runs give the same bytes.";

/// Arguments of `dis boot`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BootArgs {
    /// The workload: a .toml file of DIS or a .json file of rt-app; `-` is standard input, in either format
    pub file: PathBuf,

    /// Number of CPUs of the machine; overrides the file's `cpus` (default: that, else 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_CPUS))]
    pub cpus: Option<u64>,

    /// Memory of the machine, for instance 256M or 1G
    #[arg(long, value_name = "M", default_value = "256M", value_parser = values::megabytes)]
    pub memory: u64,

    /// How long to run, for instance 500ms, 10s, 2min; overrides the file's `duration`
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Seed of the times that are drawn at random; overrides the file's `seed` (default: that, else 0)
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Scheduling policy of a class (once for each class): edf, fair, priority, round-robin, or another that the kernel of --image has
    #[arg(long, value_name = "CLASS=NAME", value_parser = values::policy)]
    pub policy: Vec<PolicyChoice>,

    /// Count instructions instead of time: two runs give the same bytes
    #[arg(long)]
    pub deterministic: bool,

    /// Let the kernel's CPUs look after each other at least every D (rounded up to whole milliseconds): one that no longer answers
    /// is reported and its tasks go on elsewhere (default: only when CPUs have to do with each other)
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub watch: Option<Duration>,

    /// Write the report as JSON (schema dis-report/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Write what each CPU did, and why, to FILE as a Chrome trace, which opens in Perfetto
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// The kernel to boot, instead of the one that this repository builds
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,

    /// When to give up on a machine that hangs, in time of this machine (default: a minute, and twice the duration, or
    /// twenty times with --deterministic)
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub timeout: Option<Duration>,

    /// Print neither the console nor a report for people, only errors (use it with --json)
    #[arg(long, short)]
    pub quiet: bool,
}
