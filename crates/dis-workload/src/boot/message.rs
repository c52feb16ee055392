//! What the kernel tells whoever reads its console.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::report::{DomainReport, Record, SchedulerReport};

/// Begins each line that is a [`Message`]: ASCII "record separator", which no text for people holds.
pub const MARK: char = '\x1e';

/// One line of the console that is not for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The workload begins.
    Start(Start),
    /// Something that a person should know.
    Note(String),
    /// A task cannot be run as its file says; the workload does not begin. Which of `workload.tasks`, and why.
    Refused(usize, String),
    /// What one task did: its place among `workload.instances()`, and its record.
    Task(usize, Record),
    /// What happened on the CPUs since the last such message, CPU for CPU in the order of time.
    Trace(Vec<Event>),
    /// So many events were lost.
    TraceLost(u64),
    /// The workload's domains.
    Domains(Vec<DomainReport>),
    /// The scheduler's counters.
    Scheduler(SchedulerReport),
    /// The measurement is complete, and took so long, ns.
    End(u64),
}

/// How the kernel runs the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// CPUs in use.
    pub cpus: usize,
    /// Tasks.
    pub tasks: usize,
    /// From the kernel's first instruction until now, ns of its clock.
    pub boot_ns: u64,
    /// The instant at which the workload begins; those of [`Event`]s are of the same clock.
    pub start: u64,
}

impl Message {
    /// The line, with the mark and the end of the line.
    pub fn to_line(&self) -> String {
        // Fails only for maps whose keys are no text or number; there is none.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{MARK}{json}\n")
    }

    /// Reads a line; `None` if it is for people, or a message of another kind.
    pub fn of_line(line: &str) -> Option<Message> {
        let json = line.trim_end().strip_prefix(MARK)?;
        serde_json::from_str(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_json_behind_the_mark() {
        let line = Message::Start(Start { cpus: 2, tasks: 9, boot_ns: 7, start: 8 }).to_line();
        assert_eq!(line, "\x1e{\"start\":{\"cpus\":2,\"tasks\":9,\"boot_ns\":7,\"start\":8}}\n");
        assert!(matches!(Message::of_line(&line), Some(Message::Start(Start { cpus: 2, .. }))));
        assert!(Message::of_line(&line[1..]).is_none());
        assert!(Message::of_line("\x1e{\"test\":\"torture\"}").is_none());
    }

    #[test]
    fn records_arrive_as_they_were() {
        let mut record = Record { jobs: 3, problem: Some("a\nb".into()), ..Record::default() };
        (0..40_000).for_each(|ns| record.wake.record(ns));
        let line = Message::Task(5, record.clone()).to_line();
        assert_eq!(line.matches('\n').count(), 1);
        let Some(Message::Task(5, read)) = Message::of_line(&line) else { panic!() };
        assert_eq!((read.jobs, read.wake.summary(), read.problem), (3, record.wake.summary(), record.problem));
    }
}
