//! The book of reservations: who holds how much of which CPU.
//!
//! It is the machine's and has a lock of its own, which only those calls take that make, change or look at reservations.
//! Such a call has three parts:
//!
//! 1. [`OpenBook`] *plans*: it analyses and enters, under the book's lock alone. This may allocate, and take a millisecond for
//!    each CPU.
//! 2. The plan is *carried out*, under the locks of CPUs. This does not allocate.
//! 3. The book is closed; if the second part has failed, what was entered is struck out first.
//!
//! [`TaskManager::spawn`], [`set_intent`](TaskManager::set_intent) and [`set_affinity`](TaskManager::set_affinity) do all of that
//! in one. A host that must not allocate, or not for long be out of reach, under the locks of CPUs takes the three parts one by one.
//! The book's lock comes before those of CPUs. A task ends under its CPU's lock, so it only leaves a mark then; whoever opens
//! the book after that strikes it out, but not before its CPUs have been without Realtime work for an instant. Till then jobs may be
//! pending that have waited for what it had, and a newcomer in its place would have them wait again (the idle instant of mode changes:
//! Real and Crespo, "Mode change protocols for real-time systems", Real-Time Systems 26(2), 2004).

use alloc::vec::Vec;

use lock_api::{MutexGuard, RawMutex};

use super::TaskManager;
use crate::admission::{Admission, Assignment, RejectReason, Rejection, Request, SporadicTask};
use crate::api::{CpuMask, Duration, SchedError, TaskId, Timestamp};
use crate::executor::Wake;
use crate::intent::{Intent, IntentClass};
use crate::optimizer::{Limits, Wakes};
use crate::sync::Ordering;

/// What an intent asks to be sure of: the budget of each period of a Realtime task, or `cpu_min` of each window. `None`:
/// nothing.
pub fn request(intent: &Intent, limits: &Limits) -> Option<Request> {
    let request = match intent.class {
        IntentClass::Realtime { period_us, deadline_us, wcet_us } => {
            let [period, deadline, wcet] = [period_us, deadline_us, wcet_us].map(Duration::from_micros);
            Request::realtime(SporadicTask::new(limits.budget(wcet, deadline), deadline, period))
        }
        _ if intent.qos.cpu_min > 0 => Request::reservation(intent.qos.cpu_min, limits.window),
        _ => return None,
    };
    Some(request.on(intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL)))
}

/// What is written in the book.
pub(crate) struct Book {
    pub(super) admission: Admission,
    /// How many reserving tasks had ended when the book was last put in order.
    ended: u64,
    /// Some of them hold what they held still.
    leaving: bool,
    /// The CPUs of which something has changed that they have not been told.
    pub(super) touched: CpuMask,
}

impl Book {
    pub fn new(cpus: usize, limits: Limits) -> Self {
        Book { admission: Admission::new(cpus, limits), ended: 0, leaving: false, touched: CpuMask::EMPTY }
    }
}

/// What has been entered in the book for a task and is to be carried out.
#[derive(Debug)]
#[must_use = "what is entered and not carried out must be struck out"]
pub struct Plan {
    pub(super) id: TaskId,
    /// The task is not there yet, only its id.
    unborn: bool,
    /// Where the task is to run; `None`: it holds nothing any more.
    pub(super) assignment: Option<Assignment>,
    /// How a task comes there in mid-job.
    pub(super) entry: Entry,
    /// What is new for the CPUs on which something has changed.
    news: Vec<News>,
}

/// How a task comes in mid-job to another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// As if it woke up there.
    Awake(Wakes),
    /// As if it were spawned: it holds nothing on any CPU that goes on, on which it might have had more than its due.
    Anew,
}

/// What a CPU must know of the book.
#[derive(Debug, Clone, Copy)]
struct News {
    cpu: usize,
    /// What System may use of each window, per mille.
    system: u16,
    /// Densities do not fit, only the demand of jobs does.
    exact: bool,
}

impl Plan {
    /// Where the task is to run.
    pub fn assignment(&self) -> Option<&Assignment> {
        self.assignment.as_ref()
    }
}

/// The open book: nobody else makes reservations meanwhile. CPUs go on.
pub struct OpenBook<'a, C, R: RawMutex> {
    pub(super) tasks: &'a TaskManager<C, R>,
    pub(super) book: MutexGuard<'a, R, Book>,
}

impl<C: Copy, R: RawMutex> OpenBook<'_, C, R> {
    /// Plans a new task of this (valid) intent; `None` if it reserves nothing.
    ///
    /// # Errors
    /// A [`Rejection`] if it is not admitted; [`SchedError::ResourceExhausted`] beyond `max_tasks`.
    pub fn plan_spawn(&mut self, intent: &Intent) -> Result<Option<Plan>, PlanError> {
        let Some(request) = request(intent, &self.tasks.config.limits) else { return Ok(None) };
        let id = self.tasks.homes.fresh_id().ok_or(PlanError::Refused(SchedError::ResourceExhausted))?;
        match self.enter(id, request) {
            Ok(plan) => Ok(Some(Plan { unborn: true, ..plan })),
            Err(rejection) => {
                self.tasks.homes.clear(id);
                Err(rejection.into())
            }
        }
    }

    /// Plans another (valid) intent for a task; `None` if it holds nothing and is to hold nothing.
    ///
    /// # Errors
    /// A [`Rejection`]; the task holds what it held then.
    pub fn plan_intent(&mut self, id: TaskId, intent: &Intent) -> Result<Option<Plan>, PlanError> {
        match request(intent, &self.tasks.config.limits) {
            Some(request) => Ok(Some(self.enter(id, request)?)),
            None if self.strike(id) => Ok(Some(self.plan(id, None))),
            None => Ok(None),
        }
    }

    /// Plans another affinity for a task; `None` if it holds nothing. What it holds stays where it is if it may.
    ///
    /// # Errors
    /// As [`plan_intent`](Self::plan_intent).
    pub fn plan_affinity(&mut self, id: TaskId, mask: CpuMask) -> Result<Option<Plan>, PlanError> {
        let admission = &self.book.admission;
        let (Some(&request), Some(held)) = (admission.request(id), admission.assignment(id)) else { return Ok(None) };
        if held.cpus().is_subset(&mask) {
            return Ok(None);
        }
        Ok(Some(self.enter(id, request.on(mask))?))
    }

    /// The plan could not be carried out, as the task has ended, or there was no room for a new one.
    pub fn abandon(&mut self, plan: Plan) {
        self.strike(plan.id);
        if plan.unborn {
            self.tasks.homes.clear(plan.id);
        }
    }

    pub(super) fn enter(&mut self, id: TaskId, request: Request) -> Result<Plan, Rejection> {
        let admission = &mut self.book.admission;
        let before = admission.assignment(id).map(Assignment::cpus);
        let entered = if before.is_some() { admission.change(id, request) } else { admission.admit(id, request) };
        let assignment = match entered {
            Ok(assignment) => assignment.clone(),
            Err(Rejection { reason: RejectReason::NoRoom(shortfall), .. }) if !self.tasks.config.admission => {
                admission.release(id);
                Assignment::Whole(shortfall.cpu)
            }
            Err(rejection) => return Err(rejection),
        };
        self.book.touched = self.book.touched.union(&assignment.cpus()).union(&before.unwrap_or(CpuMask::EMPTY));
        Ok(self.plan(id, Some(assignment)))
    }

    pub(super) fn plan(&mut self, id: TaskId, assignment: Option<Assignment>) -> Plan {
        let touched = core::mem::replace(&mut self.book.touched, CpuMask::EMPTY);
        let admission = &mut self.book.admission;
        let news = |cpu| News { cpu, system: admission.system_share(cpu), exact: !admission.fits_by_density(cpu) };
        let news = touched.iter().map(news).collect();
        let entry = Entry::Awake(self.wakes(assignment.as_ref()));
        Plan { id, unborn: false, assignment, entry, news }
    }

    /// What counts for a task that wakes up in mid-job where it is to run.
    fn wakes(&self, assignment: Option<&Assignment>) -> Wakes {
        let exact = assignment.is_some_and(|there| !self.book.admission.fits_by_density(there.first_cpu()));
        if exact { Wakes::Postponed } else { Wakes::ByDensity }
    }

    pub(super) fn strike(&mut self, id: TaskId) -> bool {
        let Some(held) = self.book.admission.assignment(id).map(Assignment::cpus) else { return false };
        self.book.touched = self.book.touched.union(&held);
        self.book.admission.release(id)
    }

    /// Strikes out those who have ended, once there has been no Realtime work on their CPUs for an instant: up to then, jobs are
    /// late that have waited for them if somebody else takes their share. O(tasks with reservations) if anybody has ended.
    fn put_in_order(&mut self) {
        let ended = self.tasks.ended_reservations.load(Ordering::Acquire);
        if core::mem::replace(&mut self.book.ended, ended) == ended && !self.book.leaving {
            return;
        }
        let gone = |id: &TaskId| self.tasks.homes.has_ended(*id);
        let gone: Vec<TaskId> = self.book.admission.ids().filter(gone).collect();
        self.book.leaving = false;
        for id in gone {
            let held = self.book.admission.assignment(id).map_or(CpuMask::EMPTY, Assignment::cpus);
            if held.iter().any(|cpu| self.tasks.owes(cpu)) {
                self.book.leaving = true;
            } else {
                self.strike(id);
            }
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanError {
    /// The reservation does not fit.
    Rejected(Rejection),
    /// Something else.
    Refused(SchedError),
}

impl From<Rejection> for PlanError {
    fn from(rejection: Rejection) -> Self {
        PlanError::Rejected(rejection)
    }
}

impl From<PlanError> for SchedError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Rejected(_) => SchedError::NoCpu,
            PlanError::Refused(error) => error,
        }
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Opens the book. Those who have ended are struck out first.
    pub fn open_book(&self) -> OpenBook<'_, C, R> {
        let mut book = OpenBook { tasks: self, book: self.book.lock() };
        book.put_in_order();
        book
    }

    /// What System may use of each window on `cpu` while others wait, per mille; 0 if there is no such CPU.
    pub fn system_share(&self, cpu: usize) -> u16 {
        if cpu < self.cpu_count() { self.lock(cpu).arbiter.system_share() } else { 0 }
    }

    /// Whether what is reserved on `cpu` fits by the sum of its densities (budget / deadline); else the demand of jobs fits, and those
    /// that wait in mid-job have what is left of their budgets [postponed](crate::optimizer::Wakes).
    pub fn fits_by_density(&self, cpu: usize) -> bool {
        cpu >= self.cpu_count() || !self.lock(cpu).exact
    }

    /// Tells the CPUs what is new. Answers those that must decide anew sooner than they know, as less is left to a System task
    /// that runs there. No allocation.
    pub(super) fn tell_news(&self, plan: Option<&Plan>, now: Timestamp) -> CpuMask {
        let mut sooner = CpuMask::EMPTY;
        for news in plan.iter().flat_map(|plan| &plan.news) {
            let mut state = self.lock(news.cpu);
            state.arbiter.limit_system(news.system);
            state.exact = news.exact;
            state.charge(now);
            if state.current.is_some() && self.horizon(&mut state, now) < state.until {
                sooner.add(news.cpu);
            }
        }
        sooner
    }

    /// Adds to what the host is to do that these CPUs be interrupted: the one of `wake` names the others when it is asked.
    pub(super) fn interrupt_all(&self, wake: Wake, mut others: CpuMask) -> Wake {
        if others.is_empty() {
            return wake;
        }
        others.remove(wake.cpu);
        if !others.is_empty() {
            let owed = &mut self.lock(wake.cpu).owed;
            *owed = Some(owed.unwrap_or(CpuMask::EMPTY).union(&others));
        }
        Wake { interrupt: true, ..wake }
    }

    pub(super) fn reserves(&self, intent: &Intent) -> bool {
        request(intent, &self.config.limits).is_some()
    }
}
