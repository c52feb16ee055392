//! Runs steps one after the other.

use crate::context::Context;
use crate::needs;
use crate::process;
use crate::report::{self, GREEN, Outcome, RED, Row, YELLOW, paint};
use crate::step::{Action, Step};
use std::io::Write;
use std::time::Instant;

/// Runs the steps, prints how they went, and returns whether none failed. A failure does not stop the rest: one
/// run shows all that is wrong.
pub fn run(context: &Context, steps: &[Step]) -> bool {
    let rows: Vec<Row> = steps
        .iter()
        .map(|step| {
            say(&format!("\n{} {}", paint(&format!("==> {}:", step.name), "1", context.colour), step.command_line()));
            let start = Instant::now();
            let outcome = run_one(context, step);
            let seconds = start.elapsed().as_secs_f64();
            announce(step.name, &outcome, seconds, context.colour);
            Row { step: step.name, outcome, seconds }
        })
        .collect();
    print!("{}", report::summary(&rows, context.colour));
    !rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
}

fn run_one(context: &Context, step: &Step) -> Outcome {
    for need in step.needs {
        if let Err(missing) = needs::ensure(need, context) {
            return Outcome::of_missing(missing, context.ci);
        }
    }
    let result = match step.action {
        Action::Cargo(arguments) => process::run(context.cargo(arguments).envs(step.env.iter().copied()), step.limit),
        Action::Function(function) => function(context),
    };
    match result {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

fn announce(name: &str, outcome: &Outcome, seconds: f64, colour: bool) {
    let text = match outcome {
        Outcome::Passed => format!("{} in {seconds:.1} s", paint("passed", GREEN, colour)),
        Outcome::Failed(why) => format!("{} in {seconds:.1} s: {why}", paint("FAILED", RED, colour)),
        Outcome::Skipped(missing) => {
            format!("{}: {}\n    to enable: {}", paint("SKIPPED", YELLOW, colour), missing.reason, missing.remedy)
        }
    };
    say(&format!("<== {name} {text}"));
}

/// Flushed at once: the children write to the same place, and the order tells which step they belong to.
fn say(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}
