//! What is to be run, once the command line, the file and the machine have had their say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dis_core::api::CpuMask;
use dis_core::optimizer::Limits;
use dis_workload::Workload;
use dis_workload::model::{Machine, Repeat, TaskSpec};

use super::policies::Chosen;
use crate::cli::{PolicyChoice, RunArgs};
use crate::ctl::connect::usual_folder;
use crate::failure::Failure;
use crate::sys;

/// What messages call standard input.
const STDIN: &str = "<stdin>";

/// Most tasks with a thread of their own: the runtime has 4096, some of which it needs for all others and for itself.
const MOST_DEDICATED: usize = 3_000;

/// A run that is about to happen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file as the person named it.
    pub file: String,
    /// What to run.
    pub workload: Arc<Workload>,
    /// The machine's CPU behind each CPU of the workload.
    pub cpus: Arc<[usize]>,
    /// How long, ns; without end if `None`.
    pub duration: Option<u64>,
    /// Policies that were chosen.
    pub policies: Vec<PolicyChoice>,
    /// Files with policies.
    pub modules: Vec<PathBuf>,
    /// Caps and floors.
    pub limits: Limits,
    /// What the times that are drawn at random depend on.
    pub seed: u64,
    /// Ask for SCHED_FIFO.
    pub fifo: bool,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// What to tell the person before the run.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads the file and brings it together with the command line.
    ///
    /// # Errors
    /// Whatever is wrong with either, or what this machine lacks.
    pub fn new(args: &RunArgs) -> Result<Plan, Failure> {
        let (workload, file) = read(&args.file)?;
        Self::of(workload, file, args, sys::allowed_cpus())
    }

    fn of(workload: Workload, file: String, args: &RunArgs, allowed: Vec<usize>) -> Result<Plan, Failure> {
        let chosen = Chosen::new(&args.module, &args.policy)?;
        let mut notes: Vec<String> = workload.notes.iter().map(ToString::to_string).collect();
        notes.extend(chosen.notes(&args.policy));
        if workload.machine != Machine::default() {
            notes.push(format!("{file}: [sim]: has an effect in `dis sim` only"));
        }
        let seed = args.seed.unwrap_or(workload.seed);
        let count = cpu_count(workload.cpus, &file, args.cpus, allowed.len(), &mut notes)?;
        for task in &workload.tasks {
            check_affinity(task, &file, count, &mut notes)?;
        }
        check_dedicated(&workload, &file)?;
        let duration = args.duration.or(workload.duration).map(|duration| duration.as_nanos());
        let endless = workload.tasks.iter().any(|task| task.repeat == Repeat::Forever);
        if duration.is_none() && endless {
            if args.compare {
                let message = "--compare needs a duration to share out; add for instance --duration 10s";
                return Err(Failure::bad_input(format!("{file}: has no `duration`, and {message}")));
            }
            notes.push(format!("{file} has no `duration`: runs until Ctrl-C (or give --duration)"));
        }
        let limits = workload.limits.over(dis_runtime::default_limits());
        limits.validate().map_err(|error| Failure::bad_input(format!("{file}: limits: {error}")))?;
        Ok(Plan {
            file,
            workload: Arc::new(workload),
            cpus: allowed[..count].into(),
            duration,
            policies: args.policy.clone(),
            modules: args.module.clone(),
            limits,
            seed,
            fifo: args.fifo,
            control: control_socket(args.control.as_deref()),
            notes,
        })
    }

    /// The machine's CPUs of a mask of the workload's.
    pub fn real_cpus(&self, mask: &CpuMask) -> CpuMask {
        self.cpus.iter().enumerate().filter(|(cpu, _)| mask.contains(*cpu)).map(|(_, &real)| real).collect()
    }

    /// The beginning of a message about a task: file, line, name.
    pub fn place(&self, task: &TaskSpec) -> String {
        place(&self.file, task)
    }
}

/// Where the run can be controlled.
fn control_socket(chosen: Option<&Path>) -> Option<PathBuf> {
    match chosen {
        Some(path) if path.as_os_str() == "none" => None,
        Some(path) => Some(path.into()),
        None => Some(usual_folder()?.join(format!("dis-{}.sock", std::process::id()))),
    }
}

/// Reads a workload; `-` is standard input. Answers what messages call the file, too.
///
/// # Errors
/// All that is wrong with the file.
pub fn read(path: &Path) -> Result<(Workload, String), Failure> {
    let (workload, file) = match path.as_os_str() == "-" {
        true => (Workload::from_reader(io::stdin().lock(), STDIN), STDIN.to_string()),
        false => (Workload::load(path), path.display().to_string()),
    };
    Ok((workload.map_err(|error| Failure::bad_input(error.to_string()))?, file))
}

/// The beginning of a message about a task: file, line, name.
pub fn place(file: &str, task: &TaskSpec) -> String {
    match task.line {
        0 => format!("{file}: task \"{}\"", task.name),
        line => format!("{file}:{line}: task \"{}\"", task.name),
    }
}

/// How many CPUs to use: as the command line says (`wanted`), else as the file does, of those that the process `have`s.
pub fn cpu_count(
    in_file: Option<usize>,
    file: &str,
    wanted: Option<u64>,
    have: usize,
    notes: &mut Vec<String>,
) -> Result<usize, Failure> {
    let cpus = if have == 1 { "1 CPU".to_string() } else { format!("{have} CPUs") };
    match (wanted.map(|wanted| wanted as usize), in_file) {
        (Some(wanted), _) if wanted > have => {
            let remedy = format!("give --cpus {have} or less, or allow it more (taskset, cpuset)");
            Err(Failure::bad_input(format!("--cpus {wanted}: this process may use {cpus}; {remedy}")))
        }
        (Some(wanted), _) => Ok(wanted),
        (None, Some(wanted)) if wanted > have => {
            notes.push(format!("{file}: asks for {wanted} CPUs, but this process may use {cpus}; uses {have}"));
            Ok(have)
        }
        (None, wanted) => Ok(wanted.unwrap_or(have)),
    }
}

/// Tasks beyond the threads that there are would never begin.
fn check_dedicated(workload: &Workload, file: &str) -> Result<(), Failure> {
    let mut sum = 0_usize;
    for task in workload.tasks.iter().filter(|task| task.dedicated) {
        sum = sum.saturating_add(task.instances);
        if sum > MOST_DEDICATED {
            return Err(Failure::bad_input(format!(
                "{}: dedicated: {sum} tasks up to here ask for a thread of their own; at most {MOST_DEDICATED} can have one",
                place(file, task)
            )));
        }
    }
    Ok(())
}

/// A task needs one of the CPUs in use; the others that it names are told of.
pub fn check_affinity(task: &TaskSpec, file: &str, count: usize, notes: &mut Vec<String>) -> Result<(), Failure> {
    let masks = task.phases.iter().filter_map(|phase| phase.affinity);
    for mask in masks.chain(task.intent.constraints.cpu_affinity) {
        let beyond: CpuMask = mask.iter().filter(|&cpu| cpu >= count).collect();
        if beyond.is_empty() {
            continue;
        }
        let what = format!(
            "{}: affinity: CPU {beyond} is beyond the {count} in use (CPU 0 to {})",
            place(file, task),
            count - 1
        );
        let inside = mask.intersection(&CpuMask::first(count));
        if inside.is_empty() {
            return Err(Failure::bad_input(format!("{what}; change it, or raise --cpus")));
        }
        notes.push(format!("{what}; the task runs on CPU {inside} only"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn plan(text: &str, line: &str, cpus: usize) -> Result<Plan, Failure> {
        let words = ["dis", "run", "w.toml"].into_iter().chain(line.split_whitespace());
        let Command::Run(args) = Cli::parse_from(words).command else { panic!() };
        let workload = Workload::from_toml(text, "w.toml").unwrap();
        Plan::of(workload, "w.toml".into(), &args, (4..4 + cpus).collect())
    }

    const TASK: &str = "[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";

    #[test]
    fn the_command_line_overrides_the_file() {
        let text = format!("duration = \"3s\"\ncpus = 2\n{TASK}");
        let both = plan(&text, "--cpus 1 --duration 1s", 4).unwrap();
        assert_eq!((both.cpus.len(), both.duration), (1, Some(1_000_000_000)));
        let file = plan(&text, "", 4).unwrap();
        assert_eq!((&file.cpus[..], file.duration), (&[4, 5][..], Some(3_000_000_000)));
        assert_eq!(file.real_cpus(&CpuMask::single(1)), CpuMask::single(5));
    }

    #[test]
    fn too_many_cpus_are_an_error_if_given_and_a_note_if_in_the_file() {
        let text = format!("duration = \"3s\"\ncpus = 8\n{TASK}");
        assert_eq!(
            plan(&text, "--cpus 3", 2).unwrap_err().message,
            "--cpus 3: this process may use 2 CPUs; give --cpus 2 or less, or allow it more (taskset, cpuset)"
        );
        let lowered = plan(&text, "", 1).unwrap();
        assert_eq!(lowered.notes, ["w.toml: asks for 8 CPUs, but this process may use 1 CPU; uses 1"]);
    }

    #[test]
    fn an_affinity_beyond_the_cpus_names_the_task() {
        let text = format!("duration = \"3s\"\n{TASK}affinity = [5]\n");
        let failure = plan(&text, "", 2).unwrap_err();
        assert_eq!(failure.code, 2);
        assert_eq!(
            failure.message,
            "w.toml:2: task \"a\": affinity: CPU 5 is beyond the 2 in use (CPU 0 to 1); change it, or raise --cpus"
        );
    }

    #[test]
    fn cpus_of_an_affinity_that_are_not_there_are_told() {
        let text = format!("duration = \"3s\"\n{TASK}affinity = [0, 5, 7]\n");
        let wanted =
            "w.toml:2: task \"a\": affinity: CPU 5,7 is beyond the 2 in use (CPU 0 to 1); the task runs on CPU 0 only";
        assert_eq!(plan(&text, "", 2).unwrap().notes, [wanted]);
        assert_eq!(plan(&text, "", 8).unwrap().notes, Vec::<String>::new());
    }

    #[test]
    fn threads_of_their_own_are_counted() {
        let text = |count| format!("duration = \"3s\"\n{TASK}dedicated = true\ninstances = {count}\n");
        assert!(plan(&text(3_000), "", 1).is_ok());
        assert_eq!(
            plan(&text(3_001), "", 1).unwrap_err().message,
            "w.toml:2: task \"a\": dedicated: 3001 tasks up to here ask for a thread of their own; at most 3000 can have one"
        );
    }

    #[test]
    fn comparing_needs_a_duration() {
        assert!(plan(TASK, "--compare", 1).unwrap_err().message.contains("--duration 10s"));
        assert!(plan(TASK, "", 1).unwrap().notes[0].contains("until Ctrl-C"));
    }
}
