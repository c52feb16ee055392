//! The `dis` command.
//!
//! * [`cli`] is what can be said on the command line; every command has a module with a `run`.
//! * [`run`](mod@run), [`sim`](mod@sim), [`boot`](mod@boot), [`check`](mod@check), [`ctl`](mod@ctl), [`module`](mod@module),
//!   [`bench`](mod@bench), [`sweep`](mod@sweep) and [`generate`](mod@generate) are the commands.
//! * The tasks of a workload are executed on a [`host`]: under DIS, or as plain threads.
//! * [`work`] measures the machine's speed, [`trace`] records what happened, [`output`] shows it.

mod bench;
mod boot;
mod check;
mod cli;
mod ctl;
mod failure;
mod generate;
mod host;
mod module;
mod output;
mod run;
mod sim;
mod study;
mod sweep;
mod sys;
#[cfg(feature = "top")]
mod top;
mod trace;
mod work;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Boot(args) => boot::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Ctl(args) => ctl::run(&args),
        #[cfg(feature = "top")]
        Command::Top(args) => top::run(&args),
        Command::Module(args) => module::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Generate(args) => generate::run(&args),
    };
    result.unwrap_or_else(|failure| {
        let text: String = failure.message.lines().map(|line| format!("error: {line}\n")).collect();
        // Nobody to tell it to if this fails.
        let _ = output::Stream::Err.write(&text);
        ExitCode::from(failure.code)
    })
}
