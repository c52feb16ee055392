//! `--schedule`: who ran when, as lines of JSON.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use dis_sim::ScheduleEvent;
use dis_workload::Workload;
use serde::Serialize;

use crate::cli::Destination;
use crate::failure::Failure;
use crate::output;

/// A schedule that is being written.
pub struct ScheduleFile {
    /// `None`: standard output.
    path: Option<PathBuf>,
    out: BufWriter<Box<dyn Write>>,
    names: Vec<String>,
    written: u64,
    /// Nobody reads any more.
    closed: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    cpu: usize,
    task: &'a str,
    job: u64,
    event: &'a str,
}

impl ScheduleFile {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(place: &Destination, workload: &Workload) -> Result<ScheduleFile, Failure> {
        let (path, out): (_, Box<dyn Write>) = match place {
            Destination::Stdout => (None, Box::new(io::stdout())),
            Destination::File(path) => (Some(path.clone()), Box::new(output::create(path, "the schedule")?)),
        };
        let names = workload.instances().map(|instance| instance.name()).collect();
        Ok(ScheduleFile { path, out: BufWriter::with_capacity(1 << 16, out), names, written: 0, closed: false })
    }

    /// Writes what happened.
    ///
    /// # Errors
    /// It cannot be written. A reader that has gone away is no error.
    pub fn write(&mut self, events: &[ScheduleEvent]) -> Result<(), Failure> {
        for event in events {
            let line = Line {
                t: event.at.as_nanos(),
                cpu: event.cpu,
                task: self.names.get(event.task as usize).map_or("", String::as_str),
                job: event.job,
                event: event.kind.name(),
            };
            self.written += 1;
            if self.closed {
                return Ok(());
            }
            let written = serde_json::to_writer(&mut self.out, &line).map_err(io::Error::from);
            let written = written.and_then(|()| self.out.write_all(b"\n"));
            self.check(written)?;
        }
        Ok(())
    }

    /// Ends the file. Answers what to tell the person.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<Option<String>, Failure> {
        let flushed = self.out.flush();
        self.check(flushed)?;
        let written = self.written;
        Ok(self.path.map(|path| format!("{}: schedule of {written} events", path.display())))
    }

    fn check(&mut self, result: io::Result<()>) -> Result<(), Failure> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => {
                let place = self.path.as_ref().map_or("standard output".into(), |path| path.display().to_string());
                Err(Failure::failed(format!("{place}: cannot write the schedule: {error}")))
            }
            Ok(()) => Ok(()),
        }
    }
}
