//! `dis ctl`: observes and controls a process by its socket.

pub mod connect;
mod tables;

use std::process::ExitCode;

use dis_control::protocol::{Command, Reply};
use serde::Serialize;

use crate::cli::{CtlAction, CtlArgs, CtlModuleAction};
use crate::failure::Failure;
use crate::output::Stream;
use connect::{connect, failure};

/// Runs the command.
///
/// # Errors
/// Nobody is there, or what was asked is refused.
pub fn run(args: &CtlArgs) -> Result<ExitCode, Failure> {
    let mut client = connect(args.socket.as_deref())?;
    if let CtlAction::Tasks = args.action {
        let tasks = client.tasks().map_err(|error| failure(&error))?;
        return print(args.json, &tasks, || tables::tasks(&tasks));
    }
    let command = command(&args.action)?;
    match client.ask(&command).map_err(|error| failure(&error))? {
        Reply::Stats(stats) => print(args.json, &stats, || tables::stats(&stats)),
        Reply::Modules { modules } => print(args.json, &modules, || tables::modules(&modules)),
        Reply::Done { text } => {
            #[derive(Serialize)]
            struct Done<'a> {
                done: &'a str,
            }
            print(args.json, &Done { done: &text }, || format!("{text}\n"))
        }
        _ => Err(failure(&client.strange())),
    }
}

fn command(action: &CtlAction) -> Result<Command, Failure> {
    Ok(match action {
        CtlAction::Tasks => Command::Tasks { from: 0 },
        CtlAction::Stats => Command::Stats { watch: false },
        CtlAction::Intent { task, intent } => Command::Intent { task: *task, class: *intent },
        CtlAction::Priority { task, priority } => Command::Priority { task: *task, priority: *priority },
        CtlAction::Affinity { task, cpus } => {
            Command::Affinity { task: *task, cpus: cpus.iter().map(|cpu| cpu as u16).collect() }
        }
        CtlAction::Kill { task } => Command::Kill { task: *task },
        CtlAction::Module { action } => match action {
            CtlModuleAction::List => Command::Modules,
            CtlModuleAction::Load { file } => {
                // The process has another current folder.
                let bad = |why: &str| Failure::bad_input(format!("{}: {why}", file.display()));
                let whole = file.canonicalize().map_err(|error| bad(&error.to_string()))?;
                let text = whole.to_str().ok_or_else(|| bad("its path is no UTF-8"))?;
                Command::Load { file: text.into() }
            }
            CtlModuleAction::Activate { class, name } => {
                Command::Activate { class: class.name().into(), name: name.clone() }
            }
            CtlModuleAction::Unload { name } => Command::Unload { name: name.clone() },
        },
    })
}

fn print<T: Serialize>(json: bool, value: &T, text: impl FnOnce() -> String) -> Result<ExitCode, Failure> {
    let text = match json {
        true => serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))? + "\n",
        false => text(),
    };
    Stream::Out.write(&text)?;
    Ok(ExitCode::SUCCESS)
}
