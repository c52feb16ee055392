//! Turns what happens on the CPUs into what CPUs and tasks did when.

use std::collections::BTreeMap;
use std::io::{self, Write};

use dis_core::api::TaskId;
use serde_json::json;

use super::chrome::{CPUS, ChromeWriter, TASKS, Track};
use super::event::{Chosen, Happened, Left, What};

/// Follows a round, each CPU and each task in the order of time, and writes the trace.
///
/// Events of one track are written in the order of their times: a slice when it ends, what lies between two runs of a
/// task when the second begins.
#[derive(Debug)]
pub struct Timeline {
    cpus: Vec<Option<Running>>,
    tasks: BTreeMap<TaskId, TaskState>,
    arrows: u64,
}

#[derive(Debug)]
struct Running {
    chosen: Chosen,
    from: u64,
    /// When the task became ready for this run.
    ready: u64,
}

#[derive(Debug, Default)]
struct TaskState {
    /// Index among the workload's instances.
    index: u64,
    name: String,
    /// What it has done since: blocked for a reason, or ready; `None` while it runs or before it was seen.
    since: Option<(u64, Left)>,
    /// Up to where its track is written.
    written: u64,
    /// Instants that wait for the slice in which they lie.
    misses: Vec<u64>,
}

impl TaskState {
    fn track(&self) -> Track {
        (TASKS, self.index + 1)
    }
}

impl Timeline {
    /// Nothing has happened on so many CPUs; arrows are numbered from `arrows` on.
    pub fn new(cpus: usize, arrows: u64) -> Self {
        Timeline { cpus: (0..cpus).map(|_| None).collect(), tasks: BTreeMap::new(), arrows }
    }

    /// Introduces a task.
    pub fn name(&mut self, id: TaskId, index: usize, name: String) {
        self.tasks.insert(id, TaskState { index: index as u64, name, ..TaskState::default() });
    }

    /// Number of the next arrow.
    pub fn arrows(&self) -> u64 {
        self.arrows
    }

    /// A task missed a deadline.
    pub fn miss(&mut self, id: TaskId, at: u64) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.misses.push(at);
        }
    }

    /// What happened next.
    pub fn happened<W: Write>(&mut self, event: &Happened, out: &mut ChromeWriter<W>) -> io::Result<()> {
        let Some(place) = self.cpus.get_mut(event.cpu) else { return Ok(()) };
        let running = place.take();
        match (event.what, running) {
            (What::Left(id, left), Some(running)) if running.chosen.id == id => {
                self.stopped(event.cpu, running, event.at, left, out)
            }
            // The beginning of this stay was lost.
            (What::Left(id, left), _) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.since = Some((event.at, left)).filter(|_| left != Left::Ended);
                }
                Ok(())
            }
            // The end of the stay before was lost: where it ended nobody knows, so it is not shown.
            (What::Started(chosen), _) => {
                let ready = self.ready_since(event, &chosen);
                self.cpus[event.cpu] = Some(Running { chosen, from: event.at, ready });
                Ok(())
            }
            (What::Idle, _) => Ok(()),
        }
    }

    /// The round is over.
    pub fn finish<W: Write>(&mut self, at: u64, out: &mut ChromeWriter<W>) -> io::Result<()> {
        for cpu in 0..self.cpus.len() {
            if let Some(running) = self.cpus[cpu].take() {
                self.stopped(cpu, running, at, Left::Ended, out)?;
            }
        }
        for task in self.tasks.values_mut() {
            let since = task.since.take();
            if let Some((since, Left::Ready(why) | Left::Blocked(why))) = since.filter(|(since, _)| *since < at) {
                out.slice(task.track(), why, since.max(task.written), at, json!({}))?;
            }
        }
        Ok(())
    }

    /// When a task that starts became ready.
    fn ready_since(&self, event: &Happened, chosen: &Chosen) -> u64 {
        let ready = event.at.saturating_sub(chosen.waited);
        match self.tasks.get(&chosen.id).and_then(|task| task.since) {
            Some((since, Left::Ready(_))) => since.min(event.at),
            Some((since, _)) => ready.max(since).min(event.at),
            None => ready,
        }
    }

    fn stopped<W: Write>(
        &mut self,
        cpu: usize,
        running: Running,
        at: u64,
        left: Left,
        out: &mut ChromeWriter<W>,
    ) -> io::Result<()> {
        let Running { chosen, from, ready } = running;
        let at = at.max(from);
        let Some(task) = self.tasks.get_mut(&chosen.id) else { return Ok(()) };
        let track = task.track();
        if left == Left::Declined {
            // It never ran; it goes on waiting, for its kernel thread.
            task.since = Some((from, Left::Blocked("waits for its kernel thread")));
            return Ok(());
        }
        if let Some((since, Left::Blocked(why))) = task.since.take().filter(|(since, _)| *since < ready) {
            out.slice(track, why, since.max(task.written), ready, json!({ "state": "blocked" }))?;
        }
        let mut arrow = None;
        if from > ready && ready >= task.written {
            out.slice(track, "ready", ready, from, json!({ "state": "ready" }))?;
            out.arrow(track, self.arrows, ready, true)?;
            arrow = Some(self.arrows);
            self.arrows += 1;
        }
        let mut args = json!({});
        for (key, class) in [("class", chosen.class), ("waiting class", chosen.lost)] {
            if let Some(class) = class {
                args[key] = class.name().into();
            }
        }
        if let Some(reason) = chosen.reason {
            args["reason"] = reason.as_str().into();
        }
        args["end"] = match left {
            Left::Ready(why) | Left::Blocked(why) => why,
            Left::Ended | Left::Declined => "ended",
        }
        .into();
        let cpu_track = (CPUS, cpu as u64 + 1);
        out.slice(cpu_track, &task.name, from, at, args.clone())?;
        if let Some(arrow) = arrow {
            out.arrow(cpu_track, arrow, from, false)?;
        }
        args["cpu"] = cpu.into();
        args["state"] = "running".into();
        out.slice(track, "running", from, at, args)?;
        for miss in std::mem::take(&mut task.misses) {
            out.instant(track, "deadline missed", miss.clamp(from, at), json!({}))?;
        }
        task.written = at;
        task.since = Some((at, left)).filter(|_| left != Left::Ended);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
