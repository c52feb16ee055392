//! What comes over the serial line: text for people, and messages.

use dis_workload::boot::{Event, MARK, Message, Start};
use dis_workload::report::{DomainReport, Record, SchedulerReport};

/// What the kernel has told so far.
#[derive(Debug, Default)]
pub struct Console {
    line: Vec<u8>,
    /// How the workload began.
    pub start: Option<Start>,
    /// The tasks' records.
    pub records: Vec<(usize, Record)>,
    /// What happened on the CPUs.
    pub events: Vec<Event>,
    /// Events that the kernel had no room for.
    pub lost: u64,
    /// The scheduler's counters.
    pub scheduler: Option<SchedulerReport>,
    /// How long the workload took, ns; once the report is complete.
    pub duration: Option<u64>,
    /// The workload's domains.
    pub domains: Vec<DomainReport>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// A task that cannot be run, and why.
    pub refused: Option<(usize, String)>,
}

impl Console {
    /// Takes what has come. Answers the text for people in it, in whole lines.
    pub fn hear(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        for &byte in bytes {
            self.line.push(byte);
            if byte == b'\n' {
                self.take_line(&mut text);
            }
        }
        text
    }

    /// The machine is off: what is left of a line.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        if !self.line.is_empty() {
            self.line.push(b'\n');
            self.take_line(&mut text);
        }
        text
    }

    fn take_line(&mut self, text: &mut String) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        // The firmware's carriage returns.
        let line = line.trim_end_matches(['\r', '\n']);
        // A message that another CPU's last words run into is still found.
        let (people, message) = match line.split_once(MARK) {
            Some((people, _)) => (people, Message::of_line(&line[people.len()..])),
            None => (line, None),
        };
        if let Some(message) = message {
            self.take(message);
        }
        if !people.is_empty() || !line.contains(MARK) {
            text.push_str(people);
            text.push('\n');
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Start(start) => self.start = Some(start),
            Message::Note(note) => self.notes.push(note),
            Message::Refused(task, why) => self.refused = Some((task, why)),
            Message::Task(task, record) => self.records.push((task, record)),
            Message::Trace(events) => self.events.extend(events),
            Message::TraceLost(lost) => self.lost += lost,
            Message::Domains(domains) => self.domains = domains,
            Message::Scheduler(scheduler) => self.scheduler = Some(scheduler),
            Message::End(duration) => self.duration = Some(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_out_of_the_text() {
        let mut console = Console::default();
        let message = Message::End(5).to_line();
        assert_eq!(console.hear(b"hel"), "");
        assert_eq!(console.hear(format!("lo\r\n\n{message}{{}}\nlast").as_bytes()), "hello\n\n{}\n");
        assert_eq!(console.duration, Some(5));
        assert_eq!((console.rest().as_str(), console.rest().as_str()), ("last\n", ""));
    }

    #[test]
    fn a_message_behind_text_and_one_of_another_kind() {
        let mut console = Console::default();
        let text = console.hear(format!("oops{}\x1e{{\"test\":1}}\n", Message::TraceLost(2).to_line()).as_bytes());
        assert_eq!((text.as_str(), console.lost), ("oops\n", 2));
    }
}
