//! What is to be simulated, once the command line and the file have had their say.

use dis_core::api::Duration;
use dis_core::intent::IoPriority;
use dis_core::optimizer::Limits;
use dis_runtime::SpawnError;
use dis_sim::{Costs, Options, SimError};
use dis_workload::Workload;
use dis_workload::model::{Constraint, Repeat, TaskSpec};

use crate::check;
use crate::cli::{Destination, SimArgs};
use crate::failure::Failure;
use crate::run::plan::{check_affinity, place, read};
use crate::run::policies::Chosen;
use crate::run::refusal;

/// A simulation that is about to happen.
#[derive(Debug)]
pub struct Plan {
    file: String,
    /// What to simulate.
    pub workload: Workload,
    /// On what machine, and what to record.
    pub options: Options,
    /// Whether the schedule goes to standard output.
    pub schedule_on_stdout: bool,
    /// The policies.
    pub chosen: Chosen,
    /// What to tell the person before.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads the file and brings it together with the command line.
    ///
    /// # Errors
    /// Whatever is wrong with either.
    pub fn new(args: &SimArgs) -> Result<Plan, Failure> {
        let (workload, file) = read(&args.file)?;
        Self::of(workload, file, args)
    }

    fn of(workload: Workload, file: String, args: &SimArgs) -> Result<Plan, Failure> {
        let chosen = Chosen::or_study(&args.module, &args.policy)?;
        let on_stdout = |place: &Option<Destination>| place == &Some(Destination::Stdout);
        if on_stdout(&args.json) && on_stdout(&args.schedule) {
            let message = "--json - and --schedule - both want standard output; give one of them a file";
            return Err(Failure::bad_input(message));
        }
        let mut notes: Vec<String> = workload.notes.iter().map(ToString::to_string).collect();
        notes.extend(chosen.notes(&args.policy));
        let wanted = args.cpus.map(|cpus| cpus as usize).or(workload.cpus);
        let cpus = wanted.unwrap_or(1);
        if wanted.is_none() {
            notes.push(format!("{file} names no number of `cpus`: simulates 1 (or give --cpus)"));
        }
        for task in &workload.tasks {
            check_affinity(task, &file, cpus, &mut notes)?;
            notes.extend(without_effect(task, &file));
        }
        let duration = args.duration.or(workload.duration);
        if duration.is_none()
            && let Some(endless) = workload.tasks.iter().find(|task| task.repeat == Repeat::Forever)
        {
            let place = place(&file, endless);
            return Err(Failure::bad_input(format!(
                "{place}: never ends, and neither the file nor the command line has a duration; add for instance \
                 --duration 10s, or a `repeat` to the task"
            )));
        }
        let limits = workload.limits.over(Limits::default());
        limits.validate().map_err(|error| Failure::bad_input(format!("{file}: limits: {error}")))?;
        let in_file = &workload.machine;
        let cost = |given: Option<Duration>, in_file: Option<Duration>| given.or(in_file).unwrap_or_default();
        let costs = Costs {
            switch: cost(args.switch_cost, in_file.switch_cost),
            migration: cost(args.migration_cost, in_file.migration_cost),
            preemption: cost(args.preemption_cost, in_file.preemption_cost),
            timer_resolution: cost(args.timer_resolution, in_file.timer_resolution),
        };
        let seed = args.seed.unwrap_or(workload.seed);
        let (schedule, trace) = (args.schedule.is_some(), args.trace.is_some());
        let options = Options { cpus, duration, seed, costs, admission: !args.no_admission, limits, schedule, trace };
        Ok(Plan { file, workload, options, schedule_on_stdout: on_stdout(&args.schedule), chosen, notes })
    }

    /// What messages call the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What went wrong, for a person.
    pub fn explain(&self, error: &SimError) -> Failure {
        match error {
            SimError::Refused { index, error, .. } => {
                let spec = self.workload.instances().nth(*index).map(|instance| instance.spec);
                let Some(spec) = spec else { return Failure::failed(error.to_string()) };
                let (cpus, limits) = (self.options.cpus, &self.options.limits);
                let reason = check::why_not(&self.workload, cpus, limits, *index);
                let why = refusal::explain(spec, SpawnError::Refused(*error), reason);
                let place = place(&self.file, spec);
                Failure::bad_input(format!("{place}: {why}; or run it all the same with --no-admission"))
            }
            SimError::Kernel { .. } => Failure::failed(format!("{}: {error}", self.file)),
            error => Failure::bad_input(format!("{}: {error}", self.file)),
        }
    }
}

/// Constraints that mean nothing to a machine that has only CPUs.
fn without_effect(task: &TaskSpec, file: &str) -> Option<String> {
    let (constraints, qos) = (&task.intent.constraints, &task.intent.qos);
    let given = [
        (Constraint::Memory, constraints.max_memory.is_some()),
        (Constraint::NumaNode, constraints.numa_node.is_some()),
        (Constraint::IoPriority, constraints.io_priority != IoPriority::BestEffort),
        (Constraint::NetPriority, constraints.net_priority != 0),
        (Constraint::MemBandwidth, qos.mem_bandwidth.is_some()),
        (Constraint::IoBandwidth, qos.io_bandwidth.is_some()),
    ];
    let names: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(what, _)| what.key()).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    (!names.is_empty()).then(|| format!("{}: {} {verb} no effect in a simulation", place(file, task), names.join(", ")))
}
