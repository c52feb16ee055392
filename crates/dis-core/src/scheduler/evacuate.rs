//! The reservations of a CPU that goes offline: where they are made anew, and how their tasks begin there.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::book::{Entry, OpenBook, Plan, request};
use crate::admission::Rejection;
use crate::api::{CpuMask, Duration, Task, TaskId, Timestamp};
use crate::intent::IntentClass;
use crate::optimizer::Wakes;

impl<C: Copy, R: RawMutex> OpenBook<'_, C, R> {
    /// `cpu` takes nobody any more: makes anew the reservations that are there.
    pub(super) fn evacuate(&mut self, cpu: usize) -> Vec<(TaskId, Result<Plan, Rejection>)> {
        self.book.admission.set_offline(cpu, true);
        let tasks = self.tasks;
        let mut held = Vec::new();
        for id in tasks.homes.ids() {
            let assigned = self.book.admission.assignment(id).is_some_and(|held| held.cpus().contains(cpu));
            let asked = tasks.with_task(id, |task| {
                let here = assigned || task.reserved_on() == Some(cpu);
                let request = request(&task.intent, &tasks.config.limits).filter(|_| here && !task.state.has_ended());
                request.map(|request| request.on(task.affinity))
            });
            held.extend(asked.ok().flatten().map(|request| (id, request)));
        }
        let online = self.book.admission.online();
        let mut before = Vec::new();
        for (id, request) in &mut held {
            before.extend(self.book.admission.assignment(*id).map(|held| (*id, held.cpus())));
            self.strike(*id);
            if !request.affinity.intersects(&online) {
                *request = request.on(CpuMask::ALL);
            }
        }
        held.sort_by_cached_key(|(id, request)| (self.book.admission.rank(request), *id));
        let entered = held.into_iter().map(|(id, request)| (id, self.enter(id, request).map(Plan::anew)));
        let mut entered: Vec<_> = entered.collect();
        for (id, pieces) in &before {
            let plan = entered.iter_mut().find_map(|(other, entered)| entered.as_mut().ok().filter(|_| other == id));
            let Some((new, plan)) = plan.and_then(|plan| Some((plan.assignment()?.cpus(), plan))) else { continue };
            if new.intersection(&online).intersects(pieces) {
                plan.entry = Entry::Awake(Wakes::Postponed);
            }
        }
        entered
    }
}

impl Plan {
    /// For a task that holds nothing on any CPU that goes on.
    pub(super) fn anew(mut self) -> Plan {
        self.entry = Entry::Anew;
        self
    }
}

/// The job that is under way counts as released when the task's budget begins, if that is now or later: it could not meet its
/// deadline by that, nor would any later job catch up.
pub(super) fn begin_job_anew<C>(task: &mut Task<C>, now: Timestamp) {
    let (IntentClass::Realtime { deadline_us, .. }, Some(server)) = (task.intent.class, task.sched.server) else {
        return;
    };
    if let Some(job) = task.sched.duty.job().filter(|_| !task.sched.pending_release && server.start >= now) {
        (job.release, job.deadline) = (server.start, server.start + Duration::from_micros(deadline_us));
        task.deadline = Some(job.deadline);
    }
}
