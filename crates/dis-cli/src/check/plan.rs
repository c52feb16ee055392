//! What is to be checked, once the command line and the file have had their say.

use dis_core::intent::QueueType;
use dis_core::optimizer::Limits;
use dis_workload::Workload;

use crate::cli::{CheckArgs, HostKind};
use crate::failure::Failure;
use crate::run::plan::{check_affinity, read};
use crate::run::policies::Chosen;
use crate::study::{self, StudySet};
use crate::sys;

/// The policy under which the scheduler promises deadlines.
pub const EDF: &str = "edf";

/// The policy whose response times are analysed where admission has placed the tasks.
pub const PRIORITY: &str = "priority";

/// A workload, and the machine that it is to run on.
#[derive(Debug)]
pub struct Plan {
    /// What is to run.
    pub workload: Workload,
    /// On how many CPUs.
    pub cpus: usize,
    /// Caps, and what a job costs beside its wcet.
    pub limits: Limits,
    /// What it is to run on.
    pub host: HostKind,
    /// The policy of Realtime.
    pub policy: &'static str,
    /// The tasks under a policy for study, if it is one.
    pub study: Option<StudySet>,
    /// What to tell the person.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads the file and brings it together with the command line.
    ///
    /// # Errors
    /// Whatever is wrong with either.
    pub fn new(args: &CheckArgs) -> Result<Plan, Failure> {
        let (workload, file) = read(&args.file)?;
        Self::of(workload, &file, args)
    }

    /// For a workload that has been read.
    ///
    /// # Errors
    /// An affinity beyond the CPUs, limits out of range, or policies that do not go with the workload or the host.
    pub fn of(workload: Workload, file: &str, args: &CheckArgs) -> Result<Plan, Failure> {
        Chosen::or_study(&[], &args.policy)?;
        let study = study::chosen(&args.policy);
        let host = args.host.unwrap_or(if study.is_some() { HostKind::Sim } else { HostKind::Linux });
        if let Some(study) = study.filter(|_| host == HostKind::Linux) {
            let name = study.name();
            return Err(Failure::bad_input(format!(
                "--policy realtime={name}: is for study, and no policy of `dis run`; leave --host linux out"
            )));
        }
        let mut notes: Vec<String> = workload.notes.iter().map(ToString::to_string).collect();
        let wanted = args.cpus.map(|cpus| cpus as usize).or(workload.cpus);
        let cpus = wanted.unwrap_or_else(|| match host {
            HostKind::Linux => sys::allowed_cpus().len().max(1),
            HostKind::Sim => 1,
        });
        if wanted.is_none() {
            notes.push(format!("{file} names no number of `cpus`: checked for {cpus} (or give --cpus)"));
        }
        for task in &workload.tasks {
            check_affinity(task, file, cpus, &mut notes)?;
        }
        let limits = workload.limits.over(match host {
            HostKind::Linux => dis_runtime::default_limits(),
            HostKind::Sim => Limits::default(),
        });
        limits.validate().map_err(|error| Failure::bad_input(format!("{file}: limits: {error}")))?;
        let study = study.map(|study| StudySet::new(study, &workload, file, cpus, &args.policy)).transpose()?;
        let policy = args.policy.iter().find(|choice| choice.class == QueueType::Realtime);
        let policy = policy.map_or(EDF, |choice| choice.name);
        Ok(Plan { workload, cpus, limits, host, policy, study, notes })
    }
}
