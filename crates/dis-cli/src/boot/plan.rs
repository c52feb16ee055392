//! What is to be booted, once the command line and the file have had their say.

use std::time::Duration;

use dis_core::optimizer::Limits;
use dis_workload::Workload;
use dis_workload::boot;
use dis_workload::model::{Machine, Repeat};

use crate::cli::{BootArgs, MOST_BOOT_CPUS};
use crate::failure::Failure;
use crate::run::plan::{check_affinity, place, read};
use crate::run::policies::Chosen;

/// A boot that is about to happen.
#[derive(Debug)]
pub struct Plan {
    /// What messages call the file.
    pub file: String,
    /// What to run: as the file says, with what the command line says in its place.
    pub workload: Workload,
    /// CPUs of the machine.
    pub cpus: usize,
    /// The boot module.
    pub module: Vec<u8>,
    /// When to give up.
    pub limit: Duration,
    /// What to tell the person before.
    pub notes: Vec<String>,
}

/// What a machine may take beside what the workload does: QEMU starts, the kernel boots, the trace is sent.
const MINIMUM: Duration = Duration::from_secs(60);

impl Plan {
    /// Reads the file and brings it together with the command line.
    ///
    /// # Errors
    /// Whatever is wrong with either.
    pub fn new(args: &BootArgs) -> Result<Plan, Failure> {
        let (workload, file) = read(&args.file)?;
        Self::of(workload, file, args)
    }

    fn of(mut workload: Workload, file: String, args: &BootArgs) -> Result<Plan, Failure> {
        let mut notes: Vec<String> = workload.notes.iter().map(ToString::to_string).collect();
        if workload.machine != Machine::default() {
            notes.push(format!("{file}: [sim]: has an effect in `dis sim` only"));
        }
        let cpus = match (args.cpus, workload.cpus) {
            (Some(cpus), _) => cpus as usize,
            (None, Some(cpus)) if cpus as u64 > MOST_BOOT_CPUS => {
                notes.push(format!("{file}: asks for {cpus} CPUs; the machine gets {MOST_BOOT_CPUS}, its most"));
                MOST_BOOT_CPUS as usize
            }
            (None, Some(cpus)) => cpus,
            (None, None) => {
                notes.push(format!("{file} names no number of `cpus`: boots 1 (or give --cpus)"));
                1
            }
        };
        // What another kernel has is known to that one alone, which refuses what it has not.
        if args.image.is_none() {
            notes.extend(Chosen::new(&[], &args.policy)?.notes(&args.policy));
        }
        for task in &workload.tasks {
            check_affinity(task, &file, cpus, &mut notes)?;
        }
        workload.duration = args.duration.or(workload.duration);
        workload.cpus = Some(cpus);
        workload.seed = args.seed.unwrap_or(workload.seed);
        let endless = workload.tasks.iter().find(|task| task.repeat == Repeat::Forever);
        let length = match (workload.duration, endless) {
            (Some(duration), _) => duration.into(),
            (None, None) => Duration::ZERO,
            (None, Some(task)) => {
                return Err(Failure::bad_input(format!(
                    "{}: never ends, and neither the file nor the command line has a duration; add for instance \
                     --duration 10s, or a `repeat` to the task",
                    place(&file, task)
                )));
            }
        };
        let limits = workload.limits.over(Limits::default());
        limits.validate().map_err(|error| Failure::bad_input(format!("{file}: limits: {error}")))?;
        let factor = if args.deterministic { 20 } else { 2 };
        let limit = args.timeout.map_or(MINIMUM + length.saturating_mul(factor), Duration::from);
        let module = boot::encode(&workload).map_err(|error| Failure::failed(format!("{file}: {error}")))?;
        Ok(Plan { file, workload, cpus, module, limit, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn plan(text: &str, line: &str) -> Result<Plan, Failure> {
        let words = ["dis", "boot", "w.toml"].into_iter().chain(line.split_whitespace());
        let Command::Boot(args) = Cli::parse_from(words).command else { panic!() };
        Plan::of(Workload::from_toml(text, "w.toml").unwrap(), "w.toml".into(), &args)
    }

    const TASK: &str = "[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";

    #[test]
    fn the_module_holds_what_the_command_line_says() {
        let plan = plan(&format!("duration = \"3s\"\ncpus = 2\n{TASK}"), "--cpus 3 --duration 5s --seed 9").unwrap();
        let workload = boot::decode(&plan.module).unwrap();
        assert_eq!((workload.cpus, workload.seed), (Some(3), 9));
        assert_eq!(workload.duration.map(Duration::from), Some(Duration::from_secs(5)));
        assert_eq!(plan.limit, Duration::from_secs(70));
    }

    #[test]
    fn policies_are_those_of_the_kernel() {
        let plan = |line: &str| plan(TASK, &format!("--duration 1s {line}"));
        let notes = plan("--policy batch=edf").unwrap().notes;
        assert!(
            notes.iter().any(|note| note == "batch: a turn for every task is not guaranteed under edf"),
            "{notes:?}"
        );
        assert!(plan("--policy batch=lottery").unwrap_err().message.contains("names: edf, fair, priority"));
        assert!(plan("--policy batch=lottery --image k").is_ok());
    }

    #[test]
    fn what_never_ends_needs_a_duration() {
        assert!(plan(TASK, "").unwrap_err().message.contains("w.toml:1: task \"a\": never ends"));
        assert_eq!(plan(TASK, "--duration 1s --timeout 7s").unwrap().limit, Duration::from_secs(7));
    }
}
