//! What is asked and answered: one JSON object a line, with the version of the protocol in each.

use serde::{Deserialize, Serialize};

/// The version of the protocol. A request of another version is refused.
pub const VERSION: u32 = 1;

/// Longest request, bytes, its newline included.
pub const LONGEST_REQUEST: usize = 16 << 10;

/// Longest reply, bytes, its newline included.
pub const LONGEST_REPLY: usize = 4 << 20;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Command {
    /// Who is there.
    Hello,
    /// The live tasks, some at a time.
    Tasks {
        /// Where to go on: 0, or `next` of the reply before.
        #[serde(default)]
        from: u64,
    },
    /// What each CPU and each class does and has done.
    Stats {
        /// Begin to record decisions, or go on, so that the next replies have wake-up latencies, reasons and the classes' times.
        /// Recording ends when nobody has asked for some seconds.
        #[serde(default)]
        watch: bool,
    },
    /// Declares a task to be for something else.
    Intent {
        /// Which task.
        task: u64,
        /// For what.
        class: Class,
    },
    /// Changes a task's priority within its class.
    Priority {
        /// Which task.
        task: u64,
        /// Lower goes first.
        priority: u8,
    },
    /// Changes the machine's CPUs on which a task may run.
    Affinity {
        /// Which task.
        task: u64,
        /// Which CPUs.
        cpus: Vec<u16>,
    },
    /// Ends a task.
    Kill {
        /// Which task.
        task: u64,
    },
    /// The modules that policies come from.
    Modules,
    /// Loads a module.
    Load {
        /// An absolute path.
        file: String,
    },
    /// Gives a class the policy of a module.
    Activate {
        /// The class's name.
        class: String,
        /// The module's name.
        name: String,
    },
    /// Takes a module out.
    Unload {
        /// The module's name.
        name: String,
    },
}

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Class {
    /// Jobs with deadlines.
    Realtime {
        /// Distance of two releases, µs.
        period_us: u64,
        /// Deadline after the release, µs.
        deadline_us: u64,
        /// CPU time of a job, µs.
        wcet_us: u64,
    },
    /// Someone waits for the answer.
    Interactive {
        /// Target time from wake-up to running, µs.
        latency_us: u64,
    },
    /// Throughput counts.
    Batch,
    /// Whatever is left over.
    Background,
    /// The host's own work.
    System,
}

impl Class {
    /// The class's name.
    pub fn name(&self) -> &'static str {
        match self {
            Class::Realtime { .. } => "realtime",
            Class::Interactive { .. } => "interactive",
            Class::Batch => "batch",
            Class::Background => "background",
            Class::System => "system",
        }
    }
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Reply {
    /// To [`Command::Hello`].
    Hello(About),
    /// To [`Command::Tasks`].
    Tasks {
        /// Some of the live tasks, in no order.
        tasks: Vec<TaskRow>,
        /// Where to go on; nothing if these were the last.
        next: Option<u64>,
    },
    /// To [`Command::Stats`].
    Stats(Box<Stats>),
    /// To [`Command::Modules`].
    Modules {
        /// In alphabetical order.
        modules: Vec<ModuleRow>,
    },
    /// It was done.
    Done {
        /// What, for people.
        text: String,
    },
    /// It was not.
    Error(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub kind: Kind,
    /// For people: what is wrong, and what to do.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No request of this protocol.
    Malformed,
    /// A request of another version.
    Version,
    /// A request that is too long, or takes too long to come.
    Limit,
    /// Neither the user of the process nor root.
    NotPermitted,
    /// There is no such task, module or class.
    NotFound,
    /// The scheduler, or the module, refuses.
    Refused,
}

impl Refusal {
    /// One of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into() }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        Reply::Error(refusal)
    }
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// The version of DIS.
    pub dis: String,
    /// The process.
    pub pid: u32,
    /// The runtime's name.
    pub name: String,
}

/// A task. Times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskRow {
    /// Its id.
    pub id: u64,
    /// Its name, cut after 48 bytes.
    pub name: String,
    /// What it is for.
    pub class: String,
    /// The class in which it competes: its own, an inherited one, or Batch while an Interactive task has no credit.
    pub competes: String,
    /// Where it stands, and what it waits for.
    pub state: String,
    /// The machine's CPU that owns it.
    pub cpu: usize,
    /// Priority within its class.
    pub priority: u8,
    /// The machine's CPUs on which it may run.
    pub affinity: Vec<u16>,
    /// CPU time it has had.
    pub cpu_ns: u64,
    /// Times it was switched to.
    pub switches: u64,
    /// Times it lost the CPU without wanting to.
    pub preemptions: u64,
    /// Times it was woken.
    pub wakes: u64,
    /// Times it moved.
    pub migrations: u64,
    /// Jobs finished after their deadlines.
    pub misses: u64,
    /// Budgets used up before a job was finished.
    pub overruns: u64,
    /// Wake-up latencies, if they are recorded.
    pub latency: Option<Latency>,
    /// Why it was chosen last, if that is recorded.
    pub reason: Option<String>,
}

/// Times from becoming ready, after a wait, to running, ns; each at most a quarter above what was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Half are at most this.
    pub p50: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
    /// The longest, exactly.
    pub max: u64,
}

/// The machine. Times in nanoseconds; counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// The runtime's clock.
    pub now_ns: u64,
    /// Tasks that have not ended.
    pub live: usize,
    /// Tasks created.
    pub created: u64,
    /// Tasks that ended by themselves.
    pub exited: u64,
    /// Tasks that were killed.
    pub killed: u64,
    /// Realtime jobs not finished by their deadlines.
    pub misses: u64,
    /// Policies that were replaced by the built-in ones.
    pub policy_faults: u64,
    /// Each CPU.
    pub cpus: Vec<CpuRow>,
    /// Why decisions fell as they did, if that is recorded; most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// Records that were lost, as they came faster than they were read.
    pub lost: u64,
}

/// A CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuRow {
    /// The machine's number of it.
    pub cpu: usize,
    /// The task that runs there; 0: none.
    pub running: u64,
    /// CPU time of tasks.
    pub busy_ns: u64,
    /// Context switches.
    pub switches: u64,
    /// Those that the task that ran did not want.
    pub preemptions: u64,
    /// Each class, highest first.
    pub classes: Vec<ClassRow>,
}

/// A class on a CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClassRow {
    /// Its name.
    pub class: String,
    /// Tasks that wait for the CPU.
    pub ready: u32,
    /// Tasks taken out of the queue.
    pub dequeued: u64,
    /// How long those waited together.
    pub waited_ns: u64,
    /// CPU time since recording began, if it is on.
    pub ran_ns: Option<u64>,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModuleRow {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The classes that it is active for.
    pub active: Vec<String>,
    /// Those of them for which one CPU or more has the built-in policy, as the module's policy answered wrongly there.
    #[serde(default)]
    pub reverted: Vec<String>,
}

/// What every line has.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    rest: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// A line, its newline included.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Only strings and numbers: this cannot fail.
    let mut line = serde_json::to_vec(&Versioned { v: VERSION, rest: message }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What a line says.
///
/// # Errors
/// The line is none of this protocol, or of another version.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, Refusal> {
    let malformed = |error: serde_json::Error| Refusal::new(Kind::Malformed, format!("not understood: {error}"));
    let VersionOnly { v } = serde_json::from_slice(line).map_err(malformed)?;
    if v != VERSION {
        let message = format!("version {v} of the protocol is not spoken here, version {VERSION} is");
        return Err(Refusal::new(Kind::Version, message));
    }
    Ok(serde_json::from_slice::<Versioned<T>>(line).map_err(malformed)?.rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_a_fixed_form() {
        let class = Class::Realtime { period_us: 10_000, deadline_us: 10_000, wcet_us: 500 };
        let line = encode(&Command::Intent { task: 7, class });
        let text = r#"{"v":1,"do":"intent","task":7,"class":{"is":"realtime","period-us":10000,"deadline-us":10000,"wcet-us":500}}"#;
        assert_eq!(String::from_utf8(line.clone()).unwrap(), format!("{text}\n"));
        assert_eq!(decode::<Command>(&line), Ok(Command::Intent { task: 7, class }));
        assert_eq!(decode(br#"{"v":1,"do":"tasks"}"#), Ok(Command::Tasks { from: 0 }));
        assert_eq!(decode(br#"{"v":1,"do":"stats"}"#), Ok(Command::Stats { watch: false }));
    }

    #[test]
    fn other_versions_and_nonsense_are_told_apart() {
        let kind = |line: &[u8]| decode::<Command>(line).unwrap_err().kind;
        assert_eq!(kind(br#"{"v":2,"do":"something new"}"#), Kind::Version);
        for line in [&b""[..], b"{}", b"[1]", br#"{"v":1}"#, br#"{"v":1,"do":"dance"}"#, b"\xff\xfe", b"{\"v\":1e99}"] {
            assert_eq!(kind(line), Kind::Malformed, "{}", String::from_utf8_lossy(line));
        }
        let deep = [b"{\"v\":1,\"do\":", &b"[".repeat(10_000)[..]].concat();
        assert_eq!(kind(&deep), Kind::Malformed);
    }

    #[test]
    fn replies_come_back_as_they_were() {
        let row = TaskRow { id: 3, name: "ü\n".into(), latency: Some(Latency::default()), ..TaskRow::default() };
        for reply in [
            Reply::Tasks { tasks: vec![row], next: Some(9) },
            Reply::Stats(Box::new(Stats {
                reasons: vec![("cap".into(), 2)],
                cpus: vec![CpuRow::default()],
                ..Stats::default()
            })),
            Refusal::new(Kind::NotFound, "no such task").into(),
        ] {
            let line = encode(&reply);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(decode::<Reply>(&line), Ok(reply));
        }
    }
}
