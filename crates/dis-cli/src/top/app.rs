//! What a person has chosen, and what keys do to it.

use std::cmp::Reverse;

use dis_control::protocol::{Command, TaskRow};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rates::{Rates, Sample};
use crate::cli::intent_class;

/// What the tasks are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Cpu,
    Latency,
    Misses,
    Switches,
    Name,
}

impl Sort {
    const ALL: [Sort; 5] = [Sort::Cpu, Sort::Latency, Sort::Misses, Sort::Switches, Sort::Name];

    pub fn name(self) -> &'static str {
        match self {
            Sort::Cpu => "CPU",
            Sort::Latency => "p99",
            Sort::Misses => "missed",
            Sort::Switches => "switches",
            Sort::Name => "name",
        }
    }
}

/// What keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// A filter is typed.
    Filter,
    /// An intent for the task is typed.
    Intent(u64, String),
    /// Whether the task is to end.
    Kill(u64),
}

/// What is to be done after a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    Nothing,
    Quit,
    Ask(Command),
}

/// The state of the view.
#[derive(Debug)]
pub struct App {
    pub now: Sample,
    pub rates: Rates,
    pub sort: Sort,
    pub reversed: bool,
    pub filter: String,
    pub mode: Mode,
    pub message: String,
    selected: Option<u64>,
    paused: bool,
}

impl App {
    pub fn new(now: Sample) -> App {
        let rates = Rates::between(&now, &now);
        let (sort, mode) = (Sort::Cpu, Mode::Normal);
        let (filter, message) = (String::new(), String::new());
        App { now, rates, sort, reversed: false, filter, mode, message, selected: None, paused: false }
    }

    /// There is a newer sample.
    pub fn look(&mut self, now: Sample) {
        if !self.paused {
            self.rates = Rates::between(&self.now, &now);
            self.now = now;
        }
    }

    pub fn say(&mut self, message: String) {
        self.message = message;
    }

    /// The tasks that are shown, in order.
    pub fn tasks(&self) -> Vec<&TaskRow> {
        let filter = self.filter.to_lowercase();
        let fits = |task: &&TaskRow| {
            [&task.name, &task.class, &task.state].iter().any(|text| text.to_lowercase().contains(&filter))
        };
        let mut tasks: Vec<_> = self.now.tasks.iter().filter(fits).collect();
        let rate = |task: &TaskRow| self.rates.task(task.id);
        match self.sort {
            Sort::Cpu => tasks.sort_by(|a, b| rate(b).load.total_cmp(&rate(a).load)),
            Sort::Latency => tasks.sort_by_key(|task| Reverse(task.latency.map_or(0, |latency| latency.p99))),
            Sort::Misses => tasks.sort_by_key(|task| Reverse(task.misses)),
            Sort::Switches => tasks.sort_by(|a, b| rate(b).switches.total_cmp(&rate(a).switches)),
            Sort::Name => tasks.sort_by_key(|task| (&task.name, task.id)),
        }
        if self.reversed {
            tasks.reverse();
        }
        tasks
    }

    /// The place of the selected task among those that are shown.
    pub fn selected(&self) -> Option<usize> {
        let id = self.selected?;
        self.tasks().iter().position(|task| task.id == id)
    }

    fn select(&mut self, step: isize) {
        let tasks = self.tasks();
        let Some(last) = tasks.len().checked_sub(1) else { return };
        let place = match self.selected() {
            Some(place) => place.saturating_add_signed(step).min(last),
            None if step < 0 => last,
            None => 0,
        };
        self.selected = Some(tasks[place].id);
    }

    pub fn key(&mut self, key: KeyEvent) -> Act {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Act::Quit;
        }
        self.message.clear();
        match std::mem::replace(&mut self.mode, Mode::Normal) {
            Mode::Normal => return self.command(key.code),
            Mode::Kill(task) => {
                if key.code == KeyCode::Char('y') {
                    return Act::Ask(Command::Kill { task });
                }
                self.say("nothing was ended".into());
            }
            Mode::Filter => match key.code {
                KeyCode::Enter => {}
                KeyCode::Esc => self.filter.clear(),
                code => {
                    edit(&mut self.filter, code);
                    self.mode = Mode::Filter;
                }
            },
            Mode::Intent(task, mut text) => match key.code {
                KeyCode::Esc => {}
                KeyCode::Enter => match intent_class(&text) {
                    Ok(class) => return Act::Ask(Command::Intent { task, class }),
                    Err(why) => {
                        self.say(why);
                        self.mode = Mode::Intent(task, text);
                    }
                },
                code => {
                    edit(&mut text, code);
                    self.mode = Mode::Intent(task, text);
                }
            },
        }
        Act::Nothing
    }

    fn command(&mut self, code: KeyCode) -> Act {
        match code {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Up => self.select(-1),
            KeyCode::Down => self.select(1),
            KeyCode::PageUp => self.select(-10),
            KeyCode::PageDown => self.select(10),
            KeyCode::Char('s') => {
                let place = Sort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or(0);
                self.sort = Sort::ALL[(place + 1) % Sort::ALL.len()];
            }
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char(' ') => {
                self.paused = !self.paused;
                self.say(if self.paused { "paused".into() } else { String::new() });
            }
            KeyCode::Char(key @ ('i' | 'k')) => match self.selected().and(self.selected) {
                Some(task) if key == 'i' => self.mode = Mode::Intent(task, String::new()),
                Some(task) => self.mode = Mode::Kill(task),
                None => self.say("choose a task with the arrow keys first".into()),
            },
            _ => {}
        }
        Act::Nothing
    }

    /// What a task is called.
    pub fn name(&self, id: u64) -> String {
        let task = self.now.tasks.iter().find(|task| task.id == id);
        task.map_or_else(|| id.to_string(), |task| format!("{} ({id})", task.name))
    }
}

fn edit(text: &mut String, code: KeyCode) {
    match code {
        KeyCode::Char(c) if text.len() < 64 => text.push(c),
        KeyCode::Backspace => drop(text.pop()),
        _ => {}
    }
}
