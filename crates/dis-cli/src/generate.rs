//! `dis generate`: a random set of Realtime tasks as a workload file.

use std::fmt::Write;
use std::process::ExitCode;

use dis_core::admission::SporadicTask;
use dis_core::api::Duration;
use dis_sim::generate::{Generator, seed_of};

use crate::cli::{GenerateArgs, percent};
use crate::failure::Failure;
use crate::output::TextOutput;

/// Runs the command.
///
/// # Errors
/// There is no such set, or the file cannot be written.
pub fn run(args: &GenerateArgs) -> Result<ExitCode, Failure> {
    let recipe = args.set.recipe(args.cpus as usize, args.utilisation);
    let bad = |error| Failure::bad_input(format!("at {} utilisation: {error}", percent(args.utilisation)));
    let generator = Generator::new(recipe).map_err(bad)?;
    let seed = seed_of(args.set.seed, recipe.utilisation_ppb, args.number);
    let set = generator.task_set(seed).map_err(bad)?;
    let output = TextOutput::open(Some(&args.output), "the workload")?;
    output.write(|| Ok(workload(args, &set.tasks)))?;
    Ok(ExitCode::SUCCESS)
}

/// The tasks in the order in which they were drawn.
fn workload(args: &GenerateArgs, tasks: &[SporadicTask]) -> String {
    let (cpus, seed, number) = (args.cpus, args.set.seed, args.number);
    let tasks_of = tasks.len();
    let mut text = format!(
        "# {tasks_of} random tasks for {} of {cpus} CPUs: {}, seed {seed}, number {number}\ncpus = {cpus}\n\
         duration = \"10s\"\n",
        percent(args.utilisation),
        args.set.generator.name(),
    );
    let us = |time: Duration| time.as_nanos() / 1_000;
    for (number, task) in tasks.iter().enumerate() {
        let (wcet, deadline, period) = (us(task.wcet), us(task.deadline), us(task.period));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[task]]\nname = \"t{number}\"\nintent = \"realtime\"\nwcet = \"{wcet}us\"\n\
             deadline = \"{deadline}us\"\nperiod = \"{period}us\"\n"
        );
    }
    text
}
