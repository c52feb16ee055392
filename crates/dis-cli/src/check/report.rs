//! The verdicts as data: schema `dis-check/1`.

use serde::Serialize;

/// The name of the schema.
pub const SCHEMA: &str = "dis-check/1";

/// All verdicts. Times are in ns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `dis-check/1`.
    pub schema: &'static str,
    /// `linux` or `sim`.
    pub host: &'static str,
    /// The policy of Realtime: `edf`, or one whose name was given.
    pub policy: &'static str,
    /// The test that decided, where a policy for study is asked about.
    pub test: Option<&'static str>,
    /// Number of CPUs.
    pub cpus: usize,
    /// Why not, if it is not the matter of single tasks.
    pub reason: Option<String>,
    /// Whether every deadline and reservation holds.
    pub schedulable: bool,
    /// Who has a deadline or a reservation, in the order of the file.
    pub tasks: Vec<TaskRow>,
    /// All others: no guarantee by analysis.
    pub others: Vec<Other>,
    /// What the CPUs are used for.
    pub per_cpu: Vec<CpuRow>,
    /// The least number of CPUs that was found to be enough for all that is rejected, if more would help.
    pub enough_cpus: Option<usize>,
}

/// The answer for one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Its deadlines hold, or its reservation does.
    Schedulable,
    /// They do not.
    NotSchedulable,
    /// The analysis does not cover what it does.
    NotAnalysed,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskRow {
    /// Its name; instances have a number.
    pub name: String,
    /// `realtime`, or the class of a task with `cpu_min`.
    pub class: String,
    /// The answer.
    pub verdict: Answer,
    /// What it is to get in each period: the wcet as declared, or its part of each window.
    pub wcet_ns: u64,
    /// That with what the host adds.
    pub budget_ns: u64,
    /// When a job is due.
    pub deadline_ns: u64,
    /// How often one is released; of a reservation: the window.
    pub period_ns: u64,
    /// Where it runs: one CPU, or those of its pieces in their order; none if it is rejected.
    pub cpus: Vec<usize>,
    /// The pieces of a split task.
    pub pieces: Vec<PieceRow>,
    /// A job has ended at most this long after its release, whatever System does.
    pub response_bound_ns: Option<u64>,
    /// What is left until the deadline then.
    pub slack_ns: Option<u64>,
    /// The bound if no System task runs.
    pub response_bound_without_system_ns: Option<u64>,
    /// Why not.
    pub reason: Option<String>,
    /// What would help, each alone.
    pub remedies: Vec<String>,
}

/// A part of each job of a split task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PieceRow {
    /// Where.
    pub cpu: usize,
    /// For how long.
    pub budget_ns: u64,
    /// Not before, after the release.
    pub offset_ns: u64,
    /// To be ended, after the release.
    pub deadline_ns: u64,
}

/// A task without deadline and reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Its name, without a number.
    pub name: String,
    /// Its class.
    pub class: String,
    /// How many of them.
    pub instances: usize,
}

/// One CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuRow {
    /// Which.
    pub cpu: usize,
    /// How many tasks, pieces and reservations are on it.
    pub tasks: usize,
    /// What they use of it, in parts per billion.
    pub utilisation_ppb: u64,
    /// What System may use of each window there, per mille.
    pub system_per_mille: u16,
}
