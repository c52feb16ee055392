//! Candidates in processes of their own.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a candidate has measured, by name.
pub type Values = BTreeMap<String, f64>;

/// One of those who are compared.
pub struct Candidate {
    /// Its name in the table.
    pub name: &'static str,
    /// Measures one round of the case whose parameters are given, in a process of its own.
    pub run: fn(&[String]) -> Values,
}

/// Starts candidates.
pub struct Runner {
    /// Time after which a candidate counts as starved.
    pub limit: Duration,
}

/// How a run of a candidate ended.
pub enum Outcome {
    /// It measured.
    Done(Values),
    /// It was ended after the time limit.
    Starved,
    /// It failed, or cannot run here; says why.
    Failed(String),
}

impl Runner {
    /// If this process was started as a candidate: runs it, prints the values, and ends the process.
    pub fn serve(child: Option<&[String]>, candidates: &[Candidate]) {
        let Some([name, parameters @ ..]) = child else { return };
        let Some(candidate) = candidates.iter().find(|c| c.name == name) else {
            eprintln!("no candidate is named {name:?}");
            std::process::exit(2);
        };
        for (key, value) in (candidate.run)(parameters) {
            println!("{key}={value}");
        }
        // Threads and tasks that never yield do not keep the process.
        std::process::exit(0);
    }

    /// Runs a candidate of this program.
    pub fn run(&self, name: &str, parameters: &[String]) -> Outcome {
        let exe = match std::env::current_exe() {
            Ok(exe) => exe,
            Err(e) => return Outcome::Failed(e.to_string()),
        };
        let mut command = Command::new(exe);
        command.arg("--child").arg(name).args(parameters);
        self.wait_for(command)
    }

    /// Runs any program that prints `name=value` lines.
    pub fn wait_for(&self, mut command: Command) -> Outcome {
        let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(e) => return Outcome::Failed(e.to_string()),
        };
        let begun = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if begun.elapsed() > self.limit => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Outcome::Starved;
                }
                // Rarely enough not to disturb what is being measured.
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Err(e) => return Outcome::Failed(e.to_string()),
            }
        };
        let (mut out, mut err) = (String::new(), String::new());
        let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out));
        let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
        if !status.success() {
            let last = err.lines().last().unwrap_or_default();
            return Outcome::Failed(format!("{status}: {last}"));
        }
        let pairs = out.lines().filter_map(|line| line.split_once('='));
        Outcome::Done(pairs.filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?))).collect())
    }
}

/// One value.
pub fn value(name: &str, value: f64) -> Values {
    Values::from([(name.to_owned(), value)])
}

/// The parameter at `index`.
///
/// # Panics
/// If it is not there or not a number: the benchmark itself writes it.
pub fn parameter(parameters: &[String], index: usize) -> u64 {
    parameters[index].parse().expect("a number")
}
