//! CPUs that go offline and come back (CPU hotplug, as Linux calls it).
//!
//! A CPU that is *offline* takes no tasks: nobody is placed, admitted, woken or moved there. Its tasks go elsewhere at once, but
//! for the one that runs and those whose registers are not saved yet: these leave as soon as the CPU, which must be interrupted,
//! has asked and saved them. Then it is [vacant](TaskManager::is_vacant), and the host may stop it. What it has counted stays.
//!
//! *Affinity.* A task of whose CPUs none is online any more may run anywhere until one of them is back, as in Linux
//! (`select_fallback_rq`, kernel/sched/core.c): to let it wait might keep others waiting for ever for what it holds. Its mask is
//! [`CpuMask::ALL`] meanwhile; what was asked for is kept in its intent.
//!
//! *Reservations* that were there are made anew elsewhere, those with the fewest CPUs to choose from first, then the densest; all
//! others stay where they are. Whoever comes in mid-job begins anew: a budget, and that job's deadline, as if it had been spawned now; but
//! at the end of its period if it has pieces on CPUs that go on. Whoever fits nowhere holds nothing any more: it
//! keeps its budget, its jobs and their deadlines, but competes as a Batch task (one with `cpu_min` in its own class) until
//! a CPU comes back, or its intent is declared again and fits. Then
//! it begins anew.

use alloc::vec::Vec;

use lock_api::RawMutex;

use super::book::{Entry, OpenBook, Plan, request};
use super::evacuate::begin_job_anew;
use super::state::WINDOW;
use super::{Ordering, TaskManager};
use crate::admission::{Rejection, Request};
use crate::api::{CpuMask, SchedError, SchedResult, TaskId, Timestamp};
use crate::executor::Wake;
use crate::optimizer::CpuLoad;
use crate::policy::Arrival;

/// The seat of a CPU that is offline.
const NO_SEAT: usize = usize::MAX;

/// What a CPU that went offline has changed.
#[derive(Debug, Clone, Default)]
#[must_use = "the host has to interrupt the CPUs named"]
pub struct Offline {
    /// The CPUs that the host must interrupt now. The one that went offline is among them unless it is vacant.
    pub interrupts: CpuMask,
    /// Whose reservation fits nowhere else, and why.
    pub displaced: Vec<Rejection>,
    /// Whose CPUs are all offline now, so that they may run anywhere.
    pub strays: Vec<TaskId>,
}

/// What a CPU that came back has changed.
#[derive(Debug, Clone, Default)]
#[must_use = "the host has to interrupt the CPUs named"]
pub struct Online {
    /// The CPUs that the host must interrupt, or rouse, now; the one that came back is among them.
    pub interrupts: CpuMask,
    /// Who holds its reservation again.
    pub placed: Vec<TaskId>,
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Takes a CPU away. O(tasks), and what admission takes for each reservation there.
    ///
    /// # Errors
    /// [`SchedError::NoCpu`] for a CPU that is not there; [`SchedError::InvalidState`] if it is offline already;
    /// [`SchedError::LastCpu`] if no other one is online. Which CPU must stay for other reasons, as the one that booted, is the host's affair.
    pub fn set_offline(&self, cpu: usize, now: Timestamp) -> SchedResult<Offline> {
        let mut book = self.open_book();
        if !self.is_switchable(cpu, true)? {
            return Err(SchedError::InvalidState);
        }
        if book.book.admission.online().count() == 1 {
            return Err(SchedError::LastCpu);
        }
        let mut answer = Offline::default();
        let plans = book.evacuate(cpu);
        self.close(cpu, now);
        for (id, entered) in plans {
            let (plan, rejection) = match entered {
                Ok(plan) => (Some(plan), None),
                Err(rejection) => (None, Some(rejection)),
            };
            match self.replace(now, id, plan.as_ref()) {
                Ok((wake, stray)) => {
                    note(&mut answer.interrupts, wake);
                    answer.strays.extend(stray.then_some(id));
                    answer.displaced.extend(rejection);
                }
                Err(_) => {
                    plan.into_iter().for_each(|plan| book.abandon(plan));
                }
            }
        }
        for id in self.homes.ids() {
            let Ok((stray, there)) = self.expel(id, cpu) else { continue };
            answer.strays.extend(stray.then_some(id));
            if there && let Ok(wake) = self.relocate(now, id) {
                note(&mut answer.interrupts, wake);
            }
        }
        self.tell_rest(&mut book, &mut answer.interrupts, now);
        Ok(answer)
    }

    /// Gives a CPU back. It is to ask at once: what waits elsewhere may be for it. O(tasks), and what admission takes for each
    /// reservation that had no place.
    ///
    /// # Errors
    /// [`SchedError::NoCpu`] for a CPU that is not there; [`SchedError::InvalidState`] if it is online.
    pub fn set_online(&self, cpu: usize, now: Timestamp) -> SchedResult<Online> {
        let mut book = self.open_book();
        if !self.is_switchable(cpu, false)? {
            return Err(SchedError::InvalidState);
        }
        book.book.admission.set_offline(cpu, false);
        book.book.touched.add(cpu);
        self.reopen(cpu);
        let mut answer = Online { interrupts: CpuMask::single(cpu), placed: Vec::new() };
        let mut waiting = Vec::new();
        for id in self.homes.ids() {
            if let Ok(Some(wake)) = self.return_to_mask(&mut book, id, now) {
                note(&mut answer.interrupts, wake);
            }
            waiting.extend(self.without_place(id).map(|request| (id, request)));
        }
        waiting.sort_by_cached_key(|(id, request)| (book.book.admission.rank(request), *id));
        for (id, request) in waiting {
            let Ok(plan) = book.enter(id, request).map(Plan::anew) else { continue };
            match self.replace(now, id, Some(&plan)) {
                Ok((wake, _)) => {
                    note(&mut answer.interrupts, wake);
                    answer.placed.push(id);
                }
                Err(_) => book.abandon(plan),
            }
        }
        self.tell_rest(&mut book, &mut answer.interrupts, now);
        Ok(answer)
    }

    /// Whether tasks may run on `cpu`; false also if there is no such CPU.
    pub fn is_online(&self, cpu: usize) -> bool {
        cpu < self.cpu_count() && !self.load(cpu).is_offline()
    }

    /// Whether `cpu` is offline and its last task has left it: nothing runs there, and no registers are unsaved but those of a task
    /// that has ended. The host may stop it.
    pub fn is_vacant(&self, cpu: usize) -> bool {
        let Some(shared) = self.cpus.get(cpu) else { return false };
        let state = shared.state.lock();
        let live = self.homes.get(TaskId(shared.unsaved.load(Ordering::Acquire)));
        let ended = live.is_none_or(|live| state.get(live.key).is_some_and(|task| task.state.has_ended()));
        !state.is_online() && state.current.is_none() && state.leaving.is_empty() && ended
    }

    pub(super) fn is_any_online(&self, mask: &CpuMask) -> bool {
        mask.iter().take_while(|&cpu| cpu < self.cpu_count()).any(|cpu| self.is_online(cpu))
    }

    /// Whether the CPU is in the state that is to be left. The book is open.
    fn is_switchable(&self, cpu: usize, online: bool) -> SchedResult<bool> {
        if cpu >= self.cpu_count() { Err(SchedError::NoCpu) } else { Ok(self.is_online(cpu) == online) }
    }

    /// From now on nobody comes to `cpu`.
    fn close(&self, cpu: usize, now: Timestamp) {
        let mut state = self.lock(cpu);
        state.charge(now);
        state.seat = NO_SEAT;
        state.timers.remove(WINDOW);
        state.load = CpuLoad::OFFLINE;
        self.cpus[cpu].load.store(CpuLoad::OFFLINE.pack(), Ordering::SeqCst);
    }

    fn reopen(&self, cpu: usize) {
        let mut state = self.lock(cpu);
        state.seat = cpu;
        self.publish(&mut state);
    }

    /// Gives a task that goes on another place, or none. Answers what is to be done, and whether all its CPUs are offline.
    fn replace(&self, now: Timestamp, id: TaskId, plan: Option<&Plan>) -> SchedResult<(Wake, bool)> {
        let sooner = self.tell_news(plan, now);
        let (mut state, key) = self.lock_home(id)?;
        let task = state.task(key);
        if task.state.has_ended() {
            return Err(SchedError::InvalidState);
        }
        let stray = !self.is_any_online(&task.affinity);
        self.lift_mask(&mut state, key);
        state.charge(now);
        let entry = plan.map(|plan| plan.entry);
        match plan.and_then(|plan| Some((plan.assignment()?, plan.entry))) {
            Some((assignment, entry)) => self.reassign(&mut state, key, assignment, entry, now),
            None => self.give_up(&mut state, key),
        }
        if entry.is_some() {
            begin_job_anew(state.task(key), now);
        }
        let renewed = state.task(key).sched.server.is_some_and(|server| server.start == now);
        if entry == Some(Entry::Anew) && renewed && state.task(key).is_throttled() {
            // It has a new budget.
            state.clear_timer(key);
            state.task(key).sched.throttled = false;
            self.admit_to_queue(&mut state, key, Arrival::Migrate, now);
        }
        let wake = self.reapply(&mut state, key, now);
        drop(state);
        let moved = self.relocate(now, id)?;
        let wake = if moved.interrupt || moved.cpu != wake.cpu { moved } else { wake };
        Ok((self.interrupt_all(wake, sooner), stray))
    }

    /// Before a task is sent away from `cpu`: whether all its CPUs are offline, and whether it is to be sent away.
    fn expel(&self, id: TaskId, cpu: usize) -> SchedResult<(bool, bool)> {
        let (mut state, key) = self.lock_home(id)?;
        let home = state.cpu;
        let task = state.task(key);
        let stray = !task.state.has_ended() && !self.is_any_online(&task.affinity);
        self.lift_mask(&mut state, key);
        let task = state.task(key);
        Ok((stray, home == cpu || !task.may_run(home)))
    }

    /// A task that may run anywhere, as its own CPUs were offline, goes back to one of them, if one is online and, where it
    /// reserves, has room.
    fn return_to_mask(&self, book: &mut OpenBook<'_, C, R>, id: TaskId, now: Timestamp) -> SchedResult<Option<Wake>> {
        let (own, lifted, holds) = self.with_task(id, |task| {
            let own = task.intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL);
            (own, task.affinity != own && !task.state.has_ended(), task.sched.hold.is_some())
        })?;
        if !lifted || !self.is_any_online(&own) {
            return Ok(None);
        }
        if !holds {
            return self.set_mask(now, id, own, None).map(Some);
        }
        let plan = book.plan_affinity(id, own)?;
        let answer = self.set_mask(now, id, own, Some(plan.as_ref()));
        if let (Some(plan), Err(_)) = (plan, &answer) {
            book.abandon(plan);
        }
        answer.map(Some)
    }

    /// What a task asks to be sure of and does not hold.
    fn without_place(&self, id: TaskId) -> Option<Request> {
        let (mut state, key) = self.lock_home(id).ok()?;
        let task = state.task(key);
        let lost = task.sched.hold.is_none() && !task.state.has_ended();
        request(&task.intent, &self.config.limits).filter(|_| lost).map(|request| request.on(task.affinity))
    }

    /// Tells the CPUs what has changed on them and no plan has said.
    fn tell_rest(&self, book: &mut OpenBook<'_, C, R>, interrupts: &mut CpuMask, now: Timestamp) {
        let rest = book.plan(TaskId::INVALID, None);
        *interrupts = interrupts.union(&self.tell_news(Some(&rest), now));
    }
}

/// Notes that a CPU must be interrupted.
fn note(interrupts: &mut CpuMask, wake: Wake) {
    if wake.interrupt || wake.until.is_some() {
        interrupts.add(wake.cpu);
    }
}
