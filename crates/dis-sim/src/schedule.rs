//! Who ran where from when to when: the schedule, in the order of time.
//!
//! A *slice* is a time during which a job has a CPU. What happens within one instant is settled when time goes on, so
//! no slice is empty, and a task that loses its CPU and gets it back at the same instant has lost nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dis_core::api::Timestamp;

/// Something that happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleEvent {
    /// When.
    pub at: Timestamp,
    /// On which CPU; of a release or a miss the one where the task is at home.
    pub cpu: usize,
    /// Which of `workload.instances()`.
    pub task: u32,
    /// Its job, from 1: the number of the release, or of the pass of a task without releases.
    pub job: u64,
    /// What.
    pub kind: ScheduleKind,
}

/// What happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScheduleKind {
    /// The job may begin.
    Release,
    /// It has a CPU: a slice begins.
    Run,
    /// The slice ends, the job wants to go on.
    Preempt,
    /// The slice ends, the job waits for something.
    Block,
    /// The job is complete, which ends a slice unless it ended without using any more time.
    Finish,
    /// The job's deadline has come and it is not complete.
    Miss,
    /// The slice ends; the job goes on at the same instant on another CPU.
    Migrate,
}

impl ScheduleKind {
    /// The word for it in a schedule file.
    pub const fn name(self) -> &'static str {
        match self {
            ScheduleKind::Release => "release",
            ScheduleKind::Run => "run",
            ScheduleKind::Preempt => "preempt",
            ScheduleKind::Block => "block",
            ScheduleKind::Finish => "finish",
            ScheduleKind::Miss => "miss",
            ScheduleKind::Migrate => "migrate",
        }
    }
}

/// A job: task and number.
type Job = (u32, u64);

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The slice that has begun and is recorded.
    open: Option<Job>,
    /// Who has the CPU now.
    running: Option<Job>,
    /// Whether the two may differ.
    dirty: bool,
}

/// Records the schedule.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Whether anybody wants the events; else only the calendar is of use.
    keeps: bool,
    events: Vec<ScheduleEvent>,
    places: Vec<Place>,
    dirty: Vec<usize>,
    /// Releases and deadlines of periodic tasks that are to come.
    calendar: BinaryHeap<Reverse<Entry>>,
}

/// At one instant releases come before deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// When, ns.
    pub at: u64,
    /// Whether it is a deadline.
    pub deadline: bool,
    /// Whose.
    pub task: u32,
    /// Of which job.
    pub job: u64,
}

impl Recorder {
    pub fn new(cpus: usize, keeps: bool) -> Recorder {
        Recorder { keeps, places: vec![Place::default(); cpus], ..Recorder::default() }
    }

    /// The events since the last call.
    pub fn take(&mut self) -> Vec<ScheduleEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn push(&mut self, at: u64, cpu: usize, (task, job): Job, kind: ScheduleKind) {
        if self.keeps {
            self.events.push(ScheduleEvent { at: Timestamp::from_nanos(at), cpu, task, job, kind });
        }
    }

    pub fn plan(&mut self, entry: Entry) {
        self.calendar.push(Reverse(entry));
    }

    /// The first entry of the calendar before `end`, or a release at `end`.
    pub fn next_before(&mut self, end: u64) -> Option<Entry> {
        let first = self.calendar.peek()?.0;
        if (first.at, first.deadline) >= (end, true) {
            return None;
        }
        self.calendar.pop().map(|Reverse(entry)| entry)
    }

    /// From now on that job has the CPU.
    pub fn runs(&mut self, cpu: usize, job: Option<Job>) {
        let place = &mut self.places[cpu];
        place.running = job;
        if !std::mem::replace(&mut place.dirty, true) {
            self.dirty.push(cpu);
        }
    }

    /// The job that has the CPU stops by itself. A finish is recorded in any case.
    pub fn stops(&mut self, at: u64, cpu: usize, job: Job, kind: ScheduleKind) {
        let open = self.places[cpu].open.take_if(|open| *open == job).is_some();
        if open || kind == ScheduleKind::Finish {
            self.push(at, cpu, job, kind);
        }
        self.runs(cpu, None);
    }

    /// The instant is over: what has changed since it began is recorded.
    pub fn settle(&mut self, at: u64) {
        if self.dirty.is_empty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for &cpu in &dirty {
            let Place { open: Some(job), running, .. } = self.places[cpu] else { continue };
            if running == Some(job) {
                continue;
            }
            let moves = dirty.iter().any(|&other| other != cpu && self.places[other].running == Some(job));
            self.push(at, cpu, job, if moves { ScheduleKind::Migrate } else { ScheduleKind::Preempt });
            self.places[cpu].open = None;
        }
        for &cpu in &dirty {
            let place = &mut self.places[cpu];
            place.dirty = false;
            if place.open.is_none()
                && let Some(job) = place.running
            {
                place.open = Some(job);
                self.push(at, cpu, job, ScheduleKind::Run);
            }
        }
        dirty.clear();
        self.dirty = dirty;
    }

    /// The simulation is over: it ends the slices that are under way.
    pub fn finish(&mut self, at: u64) {
        (0..self.places.len()).for_each(|cpu| self.runs(cpu, None));
        self.settle(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScheduleKind::*;

    fn seen(recorder: &mut Recorder) -> Vec<(u64, usize, u32, ScheduleKind)> {
        recorder.take().into_iter().map(|event| (event.at.as_nanos(), event.cpu, event.task, event.kind)).collect()
    }

    #[test]
    fn what_is_over_within_an_instant_is_not_seen() {
        let mut recorder = Recorder::new(2, true);
        recorder.runs(0, Some((1, 1)));
        recorder.runs(0, Some((2, 1)));
        recorder.settle(5);
        recorder.runs(0, Some((1, 1)));
        recorder.runs(0, Some((2, 1)));
        recorder.settle(6);
        recorder.runs(0, Some((3, 1)));
        recorder.stops(7, 0, (3, 1), Block);
        recorder.runs(0, Some((2, 1)));
        recorder.settle(7);
        assert_eq!(seen(&mut recorder), [(5, 0, 2, Run)]);
    }

    #[test]
    fn a_task_that_goes_on_elsewhere_at_once_migrates() {
        let mut recorder = Recorder::new(2, true);
        recorder.runs(0, Some((1, 1)));
        recorder.settle(0);
        recorder.runs(0, Some((2, 1)));
        recorder.runs(1, Some((1, 1)));
        recorder.settle(4);
        recorder.runs(1, Some((3, 1)));
        recorder.settle(6);
        recorder.runs(0, Some((1, 1)));
        recorder.finish(8);
        let first = [(0, 0, 1, Run), (4, 0, 1, Migrate), (4, 0, 2, Run), (4, 1, 1, Run)];
        assert_eq!(
            seen(&mut recorder),
            [&first[..], &[(6, 1, 1, Preempt), (6, 1, 3, Run)], &[(8, 0, 2, Preempt), (8, 1, 3, Preempt)]].concat()
        );
    }

    #[test]
    fn a_finish_is_recorded_without_a_slice_a_block_is_not() {
        let mut recorder = Recorder::new(1, true);
        recorder.runs(0, Some((1, 1)));
        recorder.stops(3, 0, (1, 1), Block);
        recorder.runs(0, Some((1, 1)));
        recorder.stops(4, 0, (1, 1), Finish);
        assert_eq!(seen(&mut recorder), [(4, 0, 1, Finish)]);
    }

    #[test]
    fn the_calendar_answers_releases_before_deadlines_of_the_same_instant() {
        let mut recorder = Recorder::new(1, true);
        let entry = |at, deadline| Entry { at, deadline, task: 0, job: 1 };
        [entry(5, true), entry(5, false), entry(4, true)].into_iter().for_each(|entry| recorder.plan(entry));
        assert_eq!(recorder.next_before(5), Some(entry(4, true)));
        assert_eq!(recorder.next_before(5), Some(entry(5, false)));
        assert_eq!(recorder.next_before(5), None);
        assert_eq!(recorder.next_before(6), Some(entry(5, true)));
    }
}
