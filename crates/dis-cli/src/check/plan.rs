//! What is to be checked, once the command line and the file have had their say.

use dis_core::optimizer::Limits;
use dis_workload::Workload;

use crate::cli::{CheckArgs, HostKind};
use crate::failure::Failure;
use crate::run::plan::{check_affinity, read};
use crate::sys;

/// A workload, and the machine that it is to run on.
#[derive(Debug)]
pub struct Plan {
    /// What is to run.
    pub workload: Workload,
    /// On how many CPUs.
    pub cpus: usize,
    /// Caps, and what a job costs beside its wcet.
    pub limits: Limits,
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
        Self::of(workload, &file, args.cpus, args.host)
    }

    /// For a workload that has been read.
    ///
    /// # Errors
    /// An affinity beyond the CPUs, or limits out of range.
    pub fn of(workload: Workload, file: &str, cpus: Option<u64>, host: HostKind) -> Result<Plan, Failure> {
        let mut notes: Vec<String> = workload.notes.iter().map(ToString::to_string).collect();
        let wanted = cpus.map(|cpus| cpus as usize).or(workload.cpus);
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
        Ok(Plan { workload, cpus, limits, notes })
    }
}
