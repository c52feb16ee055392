//! The kernel's command line: words, each `name` or `name=value`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dis_core::intent::QueueType;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// `test=NAME`: run that self-test and exit.
    pub test: Option<String>,
    /// `cpus=N`: use at most N CPUs.
    pub cpus: Option<usize>,
    /// `trace`: the workload's events are told.
    pub trace: bool,
    /// `interleave=US`: QEMU, counting instructions, goes from CPU to CPU at least every so many microseconds.
    pub interleave_us: Option<u64>,
    /// `watch=MS`: CPUs look after each other at least every MS milliseconds; 0 or absent: only when they have to do with
    /// each other. Costs a timer interrupt each time where there would be none.
    pub watch_ms: u64,
    /// `policy=CLASS=NAME`: that class has the policy of that module; may be given several times.
    pub policies: Vec<(QueueType, String)>,
}

/// A word that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord(pub String);

impl Command {
    /// Reads a command line.
    ///
    /// # Errors
    /// The first word that is not understood. Words that belong to the workload (`name.rest=…`) are left to it.
    pub fn parse(text: &str) -> Result<Self, UnknownWord> {
        let mut command = Command::default();
        for word in text.split_ascii_whitespace() {
            let unknown = || UnknownWord(word.to_string());
            match word.split_once('=') {
                Some(("test", name)) => command.test = Some(name.to_string()),
                Some(("cpus", value)) => {
                    command.cpus = Some(value.parse().ok().filter(|&cpus| cpus > 0).ok_or_else(unknown)?);
                }
                Some(("interleave", value)) => command.interleave_us = Some(value.parse().map_err(|_| unknown())?),
                Some(("watch", value)) => command.watch_ms = value.parse().map_err(|_| unknown())?,
                Some(("policy", choice)) => {
                    let (class, name) = choice.split_once('=').ok_or_else(unknown)?;
                    command.policies.push((QueueType::from_name(class).ok_or_else(unknown)?, name.to_string()));
                }
                Some((name, _)) if name.contains('.') => {}
                None if word == "trace" => command.trace = true,
                _ => return Err(unknown()),
            }
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_named() {
        let command = Command::parse(" test=two  trace cpus=3 run.seconds=5 watch=250 interleave=50").unwrap();
        assert_eq!(command.interleave_us, Some(50));
        assert_eq!((command.test.as_deref(), command.cpus, command.watch_ms), (Some("two"), Some(3), 250));
        assert_eq!(Command::parse(""), Ok(Command::default()));
        let command = Command::parse("policy=batch=edf policy=system=fair").unwrap();
        let [batch, system] =
            [(QueueType::Batch, "edf"), (QueueType::System, "fair")].map(|(class, name)| (class, name.into()));
        assert_eq!(command.policies, [batch, system]);
        for word in ["bogus", "cpus=0", "cpus=x", "watch=soon", "policy=edf", "policy=batches=edf"] {
            assert_eq!(Command::parse(word), Err(UnknownWord(word.into())));
        }
    }
}
