//! `dis ctl`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dis_control::protocol::Class;
use dis_core::api::{CpuMask, Duration, MAX_CPUS};
use dis_core::intent::QueueType;

use super::values;

/// What `--help` begins with.
pub const ABOUT: &str = "\
Observe and control a process that runs tasks: what `dis run` does, or any program that has given its runtime a socket.

Changes are made with the rights of the process itself. Only its own user, and root, may connect.";

const EXAMPLES: &str = "\
Examples:
  dis run examples/mixed.toml --duration 10min &
  dis ctl tasks
  dis ctl --socket /tmp/my.sock stats --json | jq '.cpus[] | {cpu, busy_ns}'
  dis ctl intent 4294967301 interactive:2ms
  dis ctl intent 4294967301 realtime:10ms,500us
  dis ctl affinity 4294967301 0-1
  dis ctl module load ./libmy_policy.so
  dis ctl module activate batch my-policy
  dis top

Without --socket, the one socket `dis-PID.sock` in $XDG_RUNTIME_DIR behind which a process answers.

Exit codes:
  0    it was done
  1    it was refused: no such task, not admitted, a module that is no good
  2    bad input
  3    nobody to ask: no such socket, one whose process is gone, another user's, or the connection was lost";

const MODULE_EXAMPLES: &str = "\
Examples:
  dis ctl module load ./libmy_policy.so
  dis ctl module activate batch my-policy
  dis ctl module list
  dis ctl module activate batch fair
  dis ctl module unload my-policy";

/// Arguments of `dis ctl`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CtlArgs {
    /// The process's control socket
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do
    #[command(subcommand)]
    pub action: CtlAction,
}

/// What can be done to a process.
#[derive(Debug, Subcommand)]
pub enum CtlAction {
    /// List the live tasks
    Tasks,
    /// Show what each CPU and each class does and has done
    Stats,
    /// Declare a task to be for something else; it keeps its constraints
    Intent {
        /// The task's id, as `dis ctl tasks` shows it
        task: u64,
        /// `batch`, `background`, `system`, `interactive:LATENCY`, or `realtime:PERIOD,WCET[,DEADLINE]`
        #[arg(value_parser = class)]
        intent: Class,
    },
    /// Change a task's priority within its class; lower goes first
    Priority {
        /// The task's id
        task: u64,
        /// 0 to 255
        priority: u8,
    },
    /// Change the machine's CPUs on which a task may run
    Affinity {
        /// The task's id
        task: u64,
        /// A list such as 0,2-3
        #[arg(value_parser = cpus)]
        cpus: CpuMask,
    },
    /// End a task where it next calls the scheduler
    Kill {
        /// The task's id
        task: u64,
    },
    /// List, load, activate and unload scheduling policies
    #[command(after_help = MODULE_EXAMPLES)]
    Module {
        /// What to do
        #[command(subcommand)]
        action: CtlModuleAction,
    },
}

/// What can be done to the modules of a process.
#[derive(Debug, Subcommand)]
pub enum CtlModuleAction {
    /// List the modules, and the classes that each is active for
    List,
    /// Load a module from a file; no class uses it yet
    Load {
        /// The file
        file: PathBuf,
    },
    /// Give a class the policy of a module, while its tasks wait and run
    Activate {
        /// The class
        #[arg(value_parser = queue)]
        class: QueueType,
        /// The module's name
        name: String,
    },
    /// Take a module out that no class uses
    Unload {
        /// The module's name
        name: String,
    },
}

fn queue(text: &str) -> Result<QueueType, String> {
    let names = QueueType::ALL.map(QueueType::name);
    QueueType::from_name(text).ok_or_else(|| format!("is no class (classes: {})", values::list(&names)))
}

/// An intent's class with its parameters.
pub fn class(text: &str) -> Result<Class, String> {
    let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
    let times: Vec<&str> = parameters.split(',').map(str::trim).filter(|time| !time.is_empty()).collect();
    let us = |text: &str| -> Result<u64, String> {
        let time: Duration = values::duration(text).map_err(|why| format!("{text}: {why}"))?;
        Ok(time.as_nanos().div_ceil(1_000))
    };
    match (name, &times[..]) {
        ("batch", []) => Ok(Class::Batch),
        ("background", []) => Ok(Class::Background),
        ("system", []) => Ok(Class::System),
        ("interactive", [latency]) => Ok(Class::Interactive { latency_us: us(latency)? }),
        ("realtime", [period, wcet]) => {
            Ok(Class::Realtime { period_us: us(period)?, deadline_us: us(period)?, wcet_us: us(wcet)? })
        }
        ("realtime", [period, wcet, deadline]) => {
            Ok(Class::Realtime { period_us: us(period)?, deadline_us: us(deadline)?, wcet_us: us(wcet)? })
        }
        ("interactive", _) => Err("write interactive:LATENCY, for instance interactive:2ms".into()),
        ("realtime", _) => {
            Err("write realtime:PERIOD,WCET or realtime:PERIOD,WCET,DEADLINE, for instance realtime:10ms,500us".into())
        }
        ("batch" | "background" | "system", _) => Err(format!("{name} has no parameters")),
        _ => Err(format!("`{name}` is no class (classes: {})", values::list(&QueueType::ALL.map(QueueType::name)))),
    }
}

/// CPUs as the kernel writes them: `0,2-3`.
fn cpus(text: &str) -> Result<CpuMask, String> {
    let number = |text: &str| {
        let number =
            text.trim().parse::<usize>().map_err(|_| format!("`{text}` is no number; write for instance 0,2-3"))?;
        if number < MAX_CPUS { Ok(number) } else { Err(format!("{number}: the highest CPU is {}", MAX_CPUS - 1)) }
    };
    let mut mask = CpuMask::EMPTY;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{part}: is no range; write {last}-{first}"));
        }
        (first..=last).for_each(|cpu| mask.add(cpu));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_have_a_short_form() {
        assert_eq!(class("batch"), Ok(Class::Batch));
        assert_eq!(class("interactive:1.5ms"), Ok(Class::Interactive { latency_us: 1_500 }));
        let realtime = |deadline_us| Class::Realtime { period_us: 10_000, deadline_us, wcet_us: 500 };
        assert_eq!(class("realtime:10ms,500us"), Ok(realtime(10_000)));
        assert_eq!(class("realtime:10ms, 500us, 8ms"), Ok(realtime(8_000)));
        for text in
            ["", "batch:1ms", "interactive", "interactive:2", "realtime:10ms", "lazy", "realtime:1ms,1ms,1ms,1ms"]
        {
            assert!(class(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_are_lists_of_ranges() {
        assert_eq!(cpus("0,2-3"), Ok([0, 2, 3].into_iter().collect()));
        for text in ["", "a", "3-1", "0,", "256", "-1"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
