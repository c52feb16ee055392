//! `--trace`: what each CPU did, and why, as a Chrome trace (which Perfetto opens).
//!
//! One track for each CPU with a slice for each stay of a task, one track for each task with its states, an arrow from
//! becoming ready to running, and a mark at each missed deadline. [`feed`] fetches what the
//! scheduler records, [`timeline`] makes slices of it, [`chrome`] writes them.

mod chrome;
pub mod event;
mod feed;
mod timeline;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use dis_core::api::TaskId;

use crate::failure::Failure;
use crate::output;
use chrome::{CPUS, ChromeWriter, TASKS};
use event::Happened;
pub use feed::{Feed, KEPT};
use timeline::Timeline;

/// A trace that is being written.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    writer: ChromeWriter<BufWriter<File>>,
    timeline: Timeline,
    named: bool,
    dropped: u64,
    problem: Option<io::Error>,
}

impl TraceFile {
    /// Creates the file. Time 0 of the trace is `origin`, ns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path, origin: u64) -> Result<TraceFile, Failure> {
        let file = output::create(path, "the trace")?;
        let writer = ChromeWriter::new(BufWriter::with_capacity(1 << 16, file), origin)
            .map_err(|error| unwritable(path, &error))?;
        let timeline = Timeline::new(0, 0);
        Ok(TraceFile { path: path.into(), writer, timeline, named: false, dropped: 0, problem: None })
    }

    /// A round begins on so many CPUs, with these tasks in the workload's order.
    pub fn begin(&mut self, cpus: usize, tasks: impl Iterator<Item = (TaskId, String)>) {
        self.timeline = Timeline::new(cpus, self.timeline.arrows());
        let tasks: Vec<_> = tasks.collect();
        if !self.named {
            self.named = true;
            let names = self.write_names(cpus, &tasks);
            self.keep(names);
        }
        for (index, (id, name)) in tasks.into_iter().enumerate() {
            self.timeline.name(id, index, name);
        }
    }

    fn write_names(&mut self, cpus: usize, tasks: &[(TaskId, String)]) -> io::Result<()> {
        self.writer.process(CPUS, "CPUs")?;
        self.writer.process(TASKS, "Tasks")?;
        for cpu in 0..cpus {
            self.writer.thread((CPUS, cpu as u64 + 1), &format!("CPU {cpu}"))?;
        }
        for (index, (_, name)) in tasks.iter().enumerate() {
            self.writer.thread((TASKS, index as u64 + 1), name)?;
        }
        Ok(())
    }

    /// What happened, in the order of time.
    pub fn happened(&mut self, events: &[Happened]) {
        for event in events {
            if self.problem.is_some() {
                return;
            }
            let result = self.timeline.happened(event, &mut self.writer);
            self.keep(result);
        }
    }

    /// A task missed a deadline.
    pub fn miss(&mut self, id: TaskId, at: u64) {
        self.timeline.miss(id, at);
    }

    /// So many events were lost, as they came faster than they could be written.
    pub fn dropped(&mut self, events: u64) {
        self.dropped += events;
    }

    /// The round is over.
    pub fn end(&mut self, at: u64) {
        let result = self.timeline.finish(at, &mut self.writer);
        self.keep(result);
    }

    /// The first thing that went wrong is told at the end.
    fn keep(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.problem.get_or_insert(error);
        }
    }

    /// Ends the file. Answers what to tell the person.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(self) -> Result<String, Failure> {
        let written = match self.problem {
            Some(error) => Err(error),
            None => self.writer.finish(),
        };
        let written = written.map_err(|error| unwritable(&self.path, &error))?;
        let path = self.path.display();
        let lost = match self.dropped {
            0 => String::new(),
            lost => format!("; {lost} events were lost, as they came faster than they could be written"),
        };
        Ok(format!("{path}: trace of {written} events{lost}; open it in https://ui.perfetto.dev"))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: cannot write the trace: {error}", path.display()))
}
