//! The command line: what can be said, and what is wrong with what was said.
//!
//! A new command is a variant of [`Command`], a struct of arguments, and a module with its `run`.

/// The exit codes of every command, as its help has them.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0    it worked
  1    the run failed, or a task of the workload panicked
  2    bad input: the command line, or a file
  130  stopped by Ctrl-C, after the report (143: by SIGTERM)"
    };
}

mod boot;
mod check;
mod ctl;
mod generate;
mod module;
mod sets;
mod sim;
mod sweep;
#[cfg(feature = "top")]
mod top;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dis_core::api::{Duration, MAX_CPUS};

pub use boot::{BootArgs, MOST_CPUS as MOST_BOOT_CPUS};
pub use check::{CheckArgs, HostKind};
#[cfg(feature = "top")]
pub use ctl::class as intent_class;
pub use ctl::{CtlAction, CtlArgs, CtlModuleAction};
pub use generate::GenerateArgs;
pub use module::{CheckModuleArgs, ModuleAction, ModuleArgs, NewArgs};
pub use sets::{SetArgs, percent};
pub use sim::SimArgs;
pub use sweep::SweepArgs;
#[cfg(feature = "top")]
pub use top::TopArgs;
pub use values::{Destination, PolicyChoice, list};

/// Runs workloads on an intent-based scheduler.
#[derive(Debug, Parser)]
#[command(name = "dis", version, max_term_width = 100, after_help = exit_codes!())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a workload as tasks of this process and report how they fared
    #[command(long_about = RUN_ABOUT)]
    Run(RunArgs),
    /// Simulate a workload under virtual time: what the scheduler decides, to the nanosecond, the same on any machine
    #[command(long_about = sim::ABOUT)]
    Sim(SimArgs),
    /// Boot a kernel of nothing but the scheduler in QEMU, and run a workload as its tasks
    #[command(long_about = boot::ABOUT)]
    Boot(BootArgs),
    /// Find out before a run whether all deadlines hold, whatever happens
    #[command(long_about = check::ABOUT)]
    Check(CheckArgs),
    /// Observe and control a process that runs tasks: its tasks, its policies
    #[command(long_about = ctl::ABOUT)]
    Ctl(CtlArgs),
    /// Watch a process that runs tasks, in a terminal
    #[cfg(feature = "top")]
    #[command(long_about = top::ABOUT)]
    Top(TopArgs),
    /// Begin a scheduling policy in a file of its own, or find out whether one is right
    #[command(long_about = module::ABOUT)]
    Module(ModuleArgs),
    /// Measure wake-up latency while every CPU is kept busy, against plain threads
    #[command(long_about = BENCH_ABOUT)]
    Bench(BenchArgs),
    /// Compare schedulability tests on random task sets: how many each accepts, by utilisation
    #[command(long_about = sweep::about())]
    Sweep(SweepArgs),
    /// Write a random set of Realtime tasks as a workload file
    #[command(long_about = generate::ABOUT)]
    Generate(GenerateArgs),
}

const RUN_EXAMPLES: &str = concat!(
    "\
Examples:
  dis run examples/mixed.toml
  dis run examples/mixed.toml --duration 3s --cpus 1
  dis run examples/mixed.toml --policy batch=round-robin --policy interactive=priority
  dis run examples/mixed.toml --module libmy_policy.so --policy batch=my-policy
  sed 's/^cpus = 2/cpus = 1/' examples/mixed.toml | dis run -
  dis run examples/mixed.toml --json - | jq '.tasks[] | {name, deadline_misses}'
  dis run examples/mixed.toml --trace trace.json      (open it in https://ui.perfetto.dev)
  dis run /usr/share/doc/rt-app/examples/mp3-short.json --compare

Ctrl-C ends the run early and still prints the report; a second Ctrl-C ends it at once.

",
    exit_codes!()
);

/// Arguments of `dis run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The workload: a .toml file of DIS or a .json file of rt-app; `-` is standard input, in either format
    pub file: PathBuf,

    /// Number of CPUs to use; overrides the file's `cpus` (default: that, else all this process may use)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: Option<u64>,

    /// How long to run, for instance 500ms, 10s, 2min; overrides the file's `duration`
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub duration: Option<Duration>,

    /// Scheduling policy of a class (once for each class): edf, fair, priority, round-robin, or one of a --module
    #[arg(long, value_name = "CLASS=NAME", value_parser = values::policy)]
    pub policy: Vec<PolicyChoice>,

    /// Load a policy from a file, for --policy to choose (`dis module new` begins one); may be given several times
    #[arg(long, value_name = "FILE")]
    pub module: Vec<PathBuf>,

    /// Seed of the times that are drawn at random; overrides the file's `seed` (default: that, else 0)
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Write the report as JSON (schema dis-report/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Write what each CPU did, and why, to FILE as a Chrome trace, which opens in Perfetto
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Run the workload as plain threads too, in turns with DIS, and show both
    #[arg(long)]
    pub compare: bool,

    /// Ask for SCHED_FIFO for the worker threads, ahead of all ordinary processes; the output says whether it was granted,
    /// and whether Linux will throttle them
    #[arg(long)]
    pub fifo: bool,

    /// Where `dis ctl` and `dis top` find this run: a UNIX socket, made with mode 0600; `none`: nowhere (default:
    /// dis-PID.sock in $XDG_RUNTIME_DIR, nowhere if the system has no such folder)
    #[arg(long, value_name = "PATH|none")]
    pub control: Option<PathBuf>,

    /// Show no progress line
    #[arg(long)]
    pub no_progress: bool,

    /// Print no report for people, only errors (use it with --json)
    #[arg(long, short)]
    pub quiet: bool,
}

const RUN_ABOUT: &str = "\
Run a workload as tasks of this process and report how they fared.

Every task is executed for real: `run` steps use CPU time, calibrated on this machine at the start. The report shows \
for each task the jobs (passes through its loop), missed deadlines, the latency of its wake-ups, the response time of \
its jobs, and the CPU time it got.

With --compare the same workload also runs as plain threads of Linux on the same CPUs, in turns with DIS (at least \
three rounds each, so that a disturbance hits all alike; every round begins the workload anew). Each scheduler gets \
the whole duration; threads get exact timers (no slack). linux-eevdf: all threads SCHED_OTHER at nice 0. linux-fifo, where permitted: System at SCHED_FIFO \
60, Realtime at 50 and below by rate-monotonic order, Interactive at 20, Batch SCHED_OTHER, Background SCHED_IDLE. \
linux-deadline, where permitted: the same with Realtime under SCHED_DEADLINE, with the slack on budgets that DIS \
gives.";

/// Arguments of `dis bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// Number of rounds; each is one run of DIS and one of every baseline
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub rounds: u64,

    /// Length of one run
    #[arg(long, value_name = "D", default_value = "2s", value_parser = values::duration)]
    pub duration: Duration,

    /// Number of CPUs to use (default: all this process may use)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: Option<u64>,

    /// Write the figures as JSON to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Show no progress line
    #[arg(long)]
    pub no_progress: bool,
}

const BENCH_EXAMPLES: &str = concat!(
    "\
Examples:
  dis bench
  dis bench --rounds 9 --duration 4s --json figures.json

",
    exit_codes!()
);

const BENCH_ABOUT: &str = "\
Measure wake-up latency while every CPU is kept busy, against plain threads.

Two tasks that never give up the CPU run on each CPU, and one interactive task wakes every millisecond. DIS and plain \
threads under EEVDF, all at equal nice, take turns; the table shows medians over the rounds. If the machine was too \
busy for the figures to mean anything, it says so.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn error(line: &[&str]) -> (i32, String) {
        let error = Cli::try_parse_from(line).unwrap_err();
        (error.exit_code(), error.to_string())
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_can_be_said() {
        let line = "dis run a.toml --cpus 2 --duration 1.5s --policy batch=edf --policy system=fair --json - \
                    --trace t.json --compare --fifo --no-progress --quiet";
        let Command::Run(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else { panic!() };
        assert_eq!((args.cpus, args.duration), (Some(2), Some(Duration::from_millis(1_500))));
        assert_eq!(args.policy.iter().map(|choice| choice.name).collect::<Vec<_>>(), ["edf", "fair"]);
        assert_eq!(args.json, Some(Destination::Stdout));
        assert!(args.compare && args.fifo && args.no_progress && args.quiet);
    }

    #[test]
    fn mistakes_are_explained() {
        let (code, text) = error(&["dis", "run", "a.toml", "--policy", "batches=fair"]);
        assert_eq!(code, 2);
        assert!(text.contains("`batches` is no class") && text.contains("did you mean `batch`"), "{text}");
        let (_, text) = error(&["dis", "run", "a.toml", "--policy", "batch"]);
        assert!(text.contains("edf, fair, priority or round-robin"), "{text}");
        let (_, text) = error(&["dis", "run", "a.toml", "--cpus", "0"]);
        assert!(text.contains("1..=256"), "{text}");
        let (_, text) = error(&["dis", "run", "a.toml", "--duration", "10"]);
        assert!(text.contains("has no unit") && text.contains("10s"), "{text}");
        assert_eq!(error(&["dis"]).0, 2);
        assert_eq!(error(&["dis", "run"]).0, 2);
        assert_eq!(error(&["dis", "simulate", "a.toml"]).0, 2);
        assert_eq!(error(&["dis", "run", "--help"]).0, 0);
    }
}
