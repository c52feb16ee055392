//! Reservations: planned as a task, carried out inside the runtime.
//!
//! The core's book of reservations allocates and takes its time, so it is open while the task can be preempted, as it holds a mutex
//! that the runtime itself never takes. It is closed inside the runtime: a task must not reach a cooperative point
//! with it, as a neighbour on its thread might want it then.

use dis_core::api::{CpuMask, SchedError, TaskId};
use dis_core::intent::Intent;
use dis_core::scheduler::{OpenBook, Plan, PlanError, request};

use crate::lock::FutexLock;
use crate::runtime::Inner;
use crate::task::TaskRef;

type Book<'a> = OpenBook<'a, TaskRef, FutexLock>;

/// A plan, if one is needed, and the book that it is written in.
pub(crate) struct Planned<'a> {
    book: Option<Book<'a>>,
    plan: Option<Plan>,
}

impl<'a> Planned<'a> {
    /// For a change of something else.
    pub fn nothing() -> Self {
        Planned { book: None, plan: None }
    }

    /// For a task that is to be spawned.
    pub fn spawn(rt: &'a Inner, intent: &Intent) -> Result<Self, SchedError> {
        intent.validate()?;
        if request(intent, rt.exec.limits()).is_none() {
            return Ok(Self::nothing());
        }
        Self::with(rt, |book| book.plan_spawn(intent))
    }

    /// For a task that is to have another intent.
    pub fn intent(rt: &'a Inner, id: TaskId, intent: &Intent) -> Result<Self, SchedError> {
        intent.validate()?;
        Self::with(rt, |book| book.plan_intent(id, intent))
    }

    /// For a task that is to have another affinity.
    pub fn affinity(rt: &'a Inner, id: TaskId, mask: CpuMask) -> Result<Self, SchedError> {
        Self::with(rt, |book| book.plan_affinity(id, mask))
    }

    fn with(
        rt: &'a Inner,
        make: impl FnOnce(&mut Book<'a>) -> Result<Option<Plan>, PlanError>,
    ) -> Result<Self, SchedError> {
        let mut book = rt.exec.open_book();
        let plan = make(&mut book)?;
        Ok(Planned { book: Some(book), plan })
    }

    /// The plan.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Closes the book. Frees nothing.
    pub fn close(&mut self) {
        self.book = None;
    }

    /// The plan could not be carried out. Outside the runtime again.
    pub fn abandon(self, rt: &Inner) {
        if let Some(plan) = self.plan {
            rt.exec.open_book().abandon(plan);
        }
    }
}
