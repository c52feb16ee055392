//! The loop that most benchmarks share: in each round, each candidate runs each case in a process of its own.

use std::process::Command;

use crate::child::{Candidate, Outcome, Runner, Values};
use crate::{Options, Report, go};

/// Something to be measured by every candidate.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// What the candidates are told.
    pub parameters: Vec<String>,
    /// What the Go program is told; `None` if it has no such case.
    pub go: Option<Vec<String>>,
    /// Candidates that do not take part, and why.
    pub without: &'static [(&'static str, &'static str)],
}

/// The name of the Go candidate.
pub const GO: &str = "go";

/// Runs `rounds` rounds; `record` enters what a candidate has measured in a case.
pub fn compare(
    options: &Options,
    report: &mut Report,
    runner: &Runner,
    candidates: &[Candidate],
    cases: &[Case],
    rounds: usize,
    mut record: impl FnMut(&mut Report, &str, &Case, Values),
) {
    let mut given_up: Vec<(String, &str)> = Vec::new();
    for round in 0..rounds {
        for case in cases {
            // Another order each round: nobody always follows the same neighbour.
            let names: Vec<&str> = candidates.iter().map(|c| c.name).chain([GO]).collect();
            for i in 0..names.len() {
                let name = names[(i + round) % names.len()];
                let out = (name.to_owned(), case.name);
                if !(options.wants(name) || options.wants(case.name)) || given_up.contains(&out) {
                    continue;
                }
                if let Some((_, why)) = case.without.iter().find(|(who, _)| *who == name) {
                    report.say(name, case.name, why);
                    given_up.push(out);
                    continue;
                }
                let outcome = if name == GO {
                    match (&case.go, go::program()) {
                        (None, _) => continue,
                        (_, Err(why)) => Outcome::Failed(why.to_owned()),
                        (Some(arguments), Ok(program)) => {
                            let mut command = Command::new(program);
                            command.args(arguments);
                            runner.wait_for(command)
                        }
                    }
                } else {
                    runner.run(name, &case.parameters)
                };
                match outcome {
                    Outcome::Done(values) => record(report, name, case, values),
                    Outcome::Starved => {
                        report.say(name, case.name, "time limit");
                        given_up.push(out);
                    }
                    Outcome::Failed(why) => {
                        eprintln!("{name}, {}: {why}", case.name);
                        report.say(name, case.name, if name == GO { "skipped" } else { "failed" });
                        given_up.push(out);
                    }
                }
            }
        }
    }
}

/// Parameters as the command line wants them.
pub fn parameters(values: &[u64]) -> Vec<String> {
    values.iter().map(u64::to_string).collect()
}

/// The same for the Go program, whose first argument names the case.
pub fn go_parameters(case: &str, values: &[u64]) -> Option<Vec<String>> {
    Some(std::iter::once(case.to_owned()).chain(parameters(values)).collect())
}
