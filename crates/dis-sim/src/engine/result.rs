//! How the tasks fared.

use dis_core::api::TaskId;
use dis_workload::report::{Counters, DomainReport, Report, SchedulerReport};

use super::Simulation;
use crate::error::SimError;
use crate::kernel::Kernel;
use crate::schedule::{Entry, ScheduleEvent, ScheduleKind};
use crate::task::Waiting;
use crate::trace::TraceEvent;

impl<K: Kernel> Simulation<'_, K> {
    /// The core's ids of the tasks, in the order of `workload.instances()`.
    pub fn task_ids(&self) -> Vec<TaskId> {
        self.actors.iter().map(|actor| actor.id).collect()
    }

    /// Jobs that a task has completed. Tasks are indices of `workload.instances()`.
    pub fn jobs(&self, task: usize) -> u64 {
        self.actors.get(task).map_or(0, |actor| actor.record.jobs)
    }

    /// Deadlines that a task has missed so far.
    pub fn misses(&self, task: usize) -> u64 {
        let Some(actor) = self.actors.get(task) else { return 0 };
        let spec = &self.workload.tasks[actor.spec];
        let periodic = actor.grid.as_ref();
        let periodic = periodic.map_or(0, |grid| {
            actor.deadlines.missed(&mut grid.clone(), &self.workload.objects, spec.repeat, actor.record.jobs, self.now)
        });
        // What a task that paces itself has not answered is a miss only if it was due by now.
        let waits = |since: u64| self.now > since.saturating_add(actor.deadline);
        let open = actor.grid.is_none() && !actor.ended && actor.since.is_some_and(waits);
        actor.record.misses + periodic + u64::from(open)
    }

    /// Deadlines missed by all tasks so far.
    pub fn all_misses(&self) -> u64 {
        (0..self.actors.len()).map(|task| self.misses(task)).sum()
    }

    /// The report of the simulation up to now.
    pub fn report(&self) -> Report {
        let mut report = Report::new("sim", self.cpus.len(), self.now);
        for (index, (instance, actor)) in self.workload.instances().zip(&self.actors).enumerate() {
            let mut record = actor.record.clone();
            record.misses = self.misses(index);
            let stats = self.kernel.task_stats(self.now(), actor.id);
            record.counters = match self.used.iter().find(|(task, _)| *task as usize == index) {
                Some((_, counters)) => *counters,
                None => stats.as_ref().map(Counters::from).unwrap_or_default(),
            };
            report.tasks.push(record.report(&instance.name(), &instance.spec.intent.class, self.now));
        }
        report.domains = DomainReport::all(&self.domains);
        report.scheduler = Some(SchedulerReport::from(&self.kernel.stats_at(self.now())));
        report
    }

    /// What tasks could not do, in words.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.workload.instances().zip(&self.actors);
        problems
            .filter_map(|(instance, actor)| {
                actor.record.problem.as_ref().map(|problem| format!("{}: {problem}", instance.name()))
            })
            .collect()
    }

    /// The schedule since the last call; empty unless it was asked for.
    pub fn take_schedule(&mut self) -> Vec<ScheduleEvent> {
        self.recorder.as_mut().map(|recorder| recorder.take()).unwrap_or_default()
    }

    /// The trace since the last call; empty unless it was asked for.
    pub fn take_trace(&mut self) -> Vec<TraceEvent> {
        self.trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Records releases and missed deadlines before `end`, and releases at `end`.
    pub(super) fn pass_calendar(&mut self, end: u64) {
        while let Some(entry) = self.recorder.as_mut().and_then(|recorder| recorder.next_before(end)) {
            let Entry { at, deadline, task, job } = entry;
            let actor = &mut self.actors[task as usize];
            if actor.ended {
                continue;
            }
            if deadline {
                if actor.settled < job {
                    self.record_miss(at, task, job);
                }
                continue;
            }
            let next = match &mut actor.calendar {
                Some(arrivals) => arrivals.next(&self.workload.objects),
                None => at.saturating_add(actor.period),
            };
            let (period, deadline) = (actor.period, actor.grid.is_some().then_some(actor.deadline));
            let cpu = self.home(task);
            let Some(recorder) = self.recorder.as_mut().filter(|_| at < self.end) else { continue };
            recorder.push(at, cpu, (task, job), ScheduleKind::Release);
            if period > 0 {
                recorder.plan(Entry { at: next, deadline: false, task, job: job + 1 });
            }
            if let Some(deadline) = deadline {
                recorder.plan(Entry { at: at.saturating_add(deadline), deadline: true, task, job });
            }
        }
    }

    /// The CPU where a task is at home.
    pub(super) fn home(&self, task: u32) -> usize {
        let actor = &self.actors[task as usize];
        self.kernel.cpu_of(actor.id).unwrap_or_else(|_| actor.last_cpu.map_or(0, usize::from))
    }

    /// A task's name.
    pub(crate) fn name(&self, task: u32) -> String {
        self.workload.instances().nth(task as usize).map(|instance| instance.name()).unwrap_or_default()
    }

    /// Who holds the mutex that a task waits for.
    pub(super) fn holder_for(&self, task: u32) -> Option<u32> {
        match self.actors[task as usize].waits_for {
            Some(Waiting::Mutex(id)) => self.mutexes[id.0].owner(),
            _ => None,
        }
    }

    pub(crate) fn misuse(&self, task: u32, what: &str) -> SimError {
        SimError::Misuse { task: self.name(task), what: what.into() }
    }
}
