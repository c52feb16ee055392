//! What goes to the terminal and into files.

mod comparison;
pub mod progress;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use dis_core::admission::Remedy;
use dis_workload::report::{Report, render};

use crate::cli::Destination;
use crate::failure::Failure;
pub use comparison::{align, ratio, time};

/// Columns of a report that goes to no terminal.
const WIDTH: usize = 120;

/// One of the two streams, as what it is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn is_terminal(self) -> bool {
        match self {
            Stream::Out => io::stdout().is_terminal(),
            Stream::Err => io::stderr().is_terminal(),
        }
    }

    /// Whether colours are welcome: on a terminal that has some, unless NO_COLOR is set (see no-color.org).
    pub fn has_colour(self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self.is_terminal() && !dumb && !set("NO_COLOR")
    }

    /// Its columns.
    pub fn width(self) -> usize {
        let size = match self {
            Stream::Out => terminal_size::terminal_size_of(io::stdout()),
            Stream::Err => terminal_size::terminal_size_of(io::stderr()),
        };
        size.map_or(WIDTH, |(width, _)| usize::from(width.0).max(20))
    }

    /// Writes text. A reader that has gone away is no error.
    pub fn write(self, text: &str) -> Result<(), Failure> {
        let result = match self {
            Stream::Out => io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
            Stream::Err => io::stderr().write_all(text.as_bytes()),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write the output: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// Says something about the run, on standard error.
pub fn note(text: &str) {
    // Whether anybody hears it is of no consequence.
    let _ = Stream::Err.write(&format!("note: {text}\n"));
}

/// The report for a person.
pub fn report_text(report: &Report, stream: Stream) -> String {
    render(report, stream.has_colour(), stream.width())
}

/// Changes that would make a task fit, each alone, as lines of a workload file.
pub fn remedy_lines(remedy: &Remedy) -> Vec<String> {
    remedy.changes().map(|(name, time)| format!("{name} = \"{time}\"")).collect()
}

/// A file that will be written later; that it can be is found out now.
pub fn create(path: &Path, what: &str) -> Result<File, Failure> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "its folder does not exist; make it first, or name another place",
            io::ErrorKind::PermissionDenied => "this user may not write there; name another place",
            io::ErrorKind::IsADirectory => "it is a folder; name a file in it",
            _ => "name another place",
        };
        Failure::bad_input(format!("{}: cannot write {what}: {error}; {remedy}", path.display()))
    })
}

/// Where a document goes, opened before the run; or nowhere.
#[derive(Debug)]
pub struct TextOutput(Option<(Destination, Option<File>)>);

impl TextOutput {
    /// Opens the destination of `what`, if there is one.
    pub fn open(destination: Option<&Destination>, what: &str) -> Result<Self, Failure> {
        Ok(TextOutput(match destination {
            None => None,
            Some(Destination::Stdout) => Some((Destination::Stdout, None)),
            Some(Destination::File(path)) => Some((Destination::File(path.clone()), Some(create(path, what)?))),
        }))
    }

    /// Whether it is standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.0, Some((Destination::Stdout, _)))
    }

    /// Writes what `text` makes, if it goes anywhere.
    pub fn write(self, text: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
        match self.0 {
            None => Ok(()),
            Some((Destination::File(path), Some(mut file))) => file
                .write_all(text()?.as_bytes())
                .map_err(|error| Failure::failed(format!("{}: cannot write it: {error}", path.display()))),
            Some(_) => Stream::Out.write(&text()?),
        }
    }
}

/// Where the JSON report goes, opened before the run.
#[derive(Debug)]
pub struct JsonOutput(TextOutput);

impl JsonOutput {
    /// Opens the destination, if there is one.
    pub fn open(destination: Option<&Destination>) -> Result<Self, Failure> {
        TextOutput::open(destination, "the JSON report").map(JsonOutput)
    }

    /// The stream that remains for people.
    pub fn stream_for_people(&self) -> Stream {
        if self.0.is_stdout() { Stream::Err } else { Stream::Out }
    }

    /// Writes the document.
    pub fn write(self, document: &impl serde::Serialize) -> Result<(), Failure> {
        self.0.write(|| {
            let text = serde_json::to_string_pretty(document)
                .map_err(|error| Failure::failed(format!("cannot make JSON of the report: {error}")))?;
            Ok(text + "\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_cannot_be_written_are_named_with_a_remedy() {
        let error = create(Path::new("/no/such/folder/x.json"), "the JSON report").unwrap_err();
        assert_eq!(error.code, 2);
        assert!(error.message.starts_with("/no/such/folder/x.json: cannot write the JSON report"), "{error}");
        assert!(error.message.contains("its folder does not exist"), "{error}");
        let error = create(Path::new("/"), "the trace").unwrap_err();
        assert!(error.message.contains("name a file in it"), "{error}");
    }

    #[test]
    fn people_read_the_stream_that_is_left() {
        assert_eq!(JsonOutput::open(None).unwrap().stream_for_people(), Stream::Out);
        assert_eq!(JsonOutput::open(Some(&Destination::Stdout)).unwrap().stream_for_people(), Stream::Err);
    }
}
