//! `dis top`: a view of a running process.
//!
//! [`app`] is what a person has chosen, and what keys do to it; [`rates`] makes numbers per second of two samples; [`view`] draws
//! both.

mod app;
mod rates;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dis_control::protocol::{Command, Reply};
use dis_control::{Client, ClientError};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::cli::TopArgs;
use crate::ctl::connect::{connect, failure};
use crate::failure::Failure;
use app::{Act, App};
use rates::Sample;

/// Runs the command.
///
/// # Errors
/// There is no terminal, or nobody to watch.
pub fn run(args: &TopArgs) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let remedy = "`dis ctl stats` and `dis ctl tasks` print once, with --json for programs";
        return Err(Failure::bad_input(format!("dis top needs a terminal; {remedy}")));
    }
    let mut client = connect(args.socket.as_deref())?;
    let first = sample(&mut client).map_err(|error| failure(&error))?;
    let every = Duration::from_nanos(args.every.as_nanos().clamp(50_000_000, 60_000_000_000));
    let mut terminal = ratatui::try_init().map_err(|error| Failure::failed(format!("the terminal: {error}")))?;
    let ended = watch(&mut terminal, &mut client, App::new(first), every);
    ratatui::restore();
    ended.map(|()| ExitCode::SUCCESS)
}

/// What the process says now.
fn sample(client: &mut Client) -> Result<Sample, ClientError> {
    let Reply::Stats(stats) = client.ask(&Command::Stats { watch: true })? else { return Err(client.strange()) };
    Ok(Sample { stats: *stats, tasks: client.tasks()? })
}

fn watch(terminal: &mut DefaultTerminal, client: &mut Client, mut app: App, every: Duration) -> Result<(), Failure> {
    let broken = |error: io::Error| Failure::failed(format!("the terminal: {error}"));
    let mut due = Instant::now() + every;
    loop {
        terminal.draw(|frame| view::draw(frame, &mut app)).map_err(broken)?;
        if !event::poll(due.saturating_duration_since(Instant::now())).map_err(broken)? {
            due = Instant::now() + every;
            app.look(sample(client).map_err(|error| failure(&error))?);
            continue;
        }
        // Another event is a change of the size: it is drawn anew.
        let Event::Key(key) = event::read().map_err(broken)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match app.key(key) {
            Act::Nothing => {}
            Act::Quit => return Ok(()),
            Act::Ask(command) => match client.ask(&command) {
                Ok(Reply::Done { text }) => app.say(text),
                Ok(_) => app.say("the process answers another question".into()),
                Err(ClientError::Refused(refusal)) => app.say(refusal.message),
                Err(error) => return Err(failure(&error)),
            },
        }
    }
}
