//! Changing a live task: priority, affinity, inheritance.

use lock_api::RawMutex;

use super::TaskManager;
use super::book::Plan;
use super::state::CpuState;
use super::tcb::Urgency;
use crate::api::{CpuMask, SchedError, SchedResult, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::policy::{Arrival, TaskKey};

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Changes a task's priority within its class (lower goes first), queued or not.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::PermissionDenied`] above the ceiling of the task's domain.
    pub fn set_priority(&self, now: Timestamp, id: TaskId, priority: u8) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(id)?;
        let task = state.task(key);
        if task.domain().is_some_and(|domain| !domain.ceiling().allows(task.sched.own_class, priority)) {
            return Err(SchedError::PermissionDenied);
        }
        task.priority = priority;
        Ok(self.reapply(&mut state, key, now))
    }

    /// Lends a task the urgency of one that waits for it; `None` takes the loan back.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn inherit(&self, now: Timestamp, id: TaskId, lent: Option<Urgency>) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(id)?;
        state.task(key).sched.lent = lent;
        // What a server is lent, its caller's time is the faster used for.
        let key = state.carrier(key);
        state.relend(key);
        let task = state.task(key);
        if lent.is_some() && task.is_throttled() && task.domain().is_some() {
            // Who works for another does not wait for the budget of its domain.
            task.sched.throttled = false;
            state.clear_timer(key);
            state.recount_stealable(key);
            self.admit_to_queue(&mut state, key, Arrival::Migrate, now);
            let wake = self.assess(&mut state, key, Placement::Bound, now);
            return Ok(self.settle(&mut state, key, wake));
        }
        state.recount_stealable(key);
        Ok(self.reapply(&mut state, key, now))
    }

    /// Whether idle CPUs may steal the task. A wake-up may still place it elsewhere only if this is set; a change of
    /// affinity always may.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn set_movable(&self, id: TaskId, movable: bool) -> SchedResult<()> {
        let (mut state, key) = self.lock_home(id)?;
        let (key, _) = state.place_of_stack(key);
        state.task(key).sched.movable = movable;
        state.recount_stealable(key);
        Ok(())
    }

    /// Adds what the host has measured of a task: time in user and in system mode, page faults.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn account(&self, id: TaskId, user_ns: u64, system_ns: u64, page_faults: u64) -> SchedResult<()> {
        let (mut state, key) = self.lock_home(id)?;
        let stats = &mut state.task(key).stats;
        stats.user_time += user_ns;
        stats.system_time += system_ns;
        stats.page_faults += page_faults;
        Ok(())
    }

    /// Brings a task's place in line with its present urgency.
    pub(crate) fn reapply(&self, state: &mut CpuState<C>, key: TaskKey, now: Timestamp) -> Wake {
        // What has been used up to now was under the old urgency.
        state.charge(now);
        let task = state.task(key);
        let urgency = task.urgency();
        let same_class = urgency.class == task.sched.class;
        let wake = match task.state {
            TaskState::Ready if task.is_queued() => {
                if same_class {
                    state.update(key, urgency.priority, urgency.deadline, now);
                } else {
                    state.dequeue(key, now);
                    self.admit_to_queue(state, key, Arrival::Migrate, now);
                }
                self.assess(state, key, Placement::Bound, now)
            }
            TaskState::Running if same_class => {
                state.update(key, urgency.priority, urgency.deadline, now);
                // It may no longer be the first.
                Wake { interrupt: state.ready.contains(urgency.class), ..interrupt(state.cpu) }
            }
            TaskState::Running => {
                task.sched.dirty = true;
                interrupt(state.cpu)
            }
            _ => Wake::remembered(state.cpu),
        };
        self.settle(state, key, wake)
    }

    /// Changes the CPUs on which a task may run. If its CPU is no longer among them, it moves at once: a waiting task
    /// before this returns, a running one when its CPU, which must be interrupted, has saved its registers. A reservation stays
    /// where it is if it may; else it is made anew.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::NoCpu`] if the mask names no CPU of this machine, that is online, or
    /// none with room for the task's reservation.
    pub fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake> {
        self.allowed(mask)?;
        match self.set_mask(now, id, mask, None) {
            // It holds a reservation.
            Err(SchedError::InvalidState) => {}
            answer => return answer,
        }
        let mut book = self.open_book();
        let plan = book.plan_affinity(id, mask)?;
        let answer = self.set_mask(now, id, mask, Some(plan.as_ref()));
        if let (Some(plan), Err(_)) = (plan, &answer) {
            book.abandon(plan);
        }
        answer
    }

    /// As [`set_affinity`](Self::set_affinity) with a mask that names a CPU of this machine. `plan`: what has been planned, if
    /// anything was to be, the book being still open; `None`: nobody has asked the book.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if the book is to be asked first. A plan is to be
    /// [abandoned](super::OpenBook::abandon) then.
    pub fn set_mask(
        &self,
        now: Timestamp,
        id: TaskId,
        mask: CpuMask,
        plan: Option<Option<&Plan>>,
    ) -> SchedResult<Wake> {
        let sooner = self.tell_news(plan.flatten(), now);
        let (mut state, key) = self.lock_home(id)?;
        let mut wake = Wake::remembered(state.cpu);
        let task = state.task(key);
        if task.sched.hold.is_some() && plan.is_none() {
            return Err(SchedError::InvalidState);
        }
        task.affinity = mask;
        task.intent.constraints.cpu_affinity = Some(mask);
        state.recount_stealable(key);
        let task = state.task(key);
        if let Some(hold) = &mut task.sched.hold {
            if let Some((assignment, entry)) = plan.flatten().and_then(|plan| Some((plan.assignment()?, plan.entry))) {
                state.charge(now);
                self.reassign(&mut state, key, assignment, entry, now);
                // It may be due later than before.
                wake = self.reapply(&mut state, key, now);
            } else if !mask.contains(hold.cpu.into()) {
                // Without admission, nobody plans.
                let first = mask.iter().find(|&cpu| self.is_online(cpu));
                hold.cpu = first.map_or(hold.cpu, |cpu| cpu as u16);
            }
        }
        drop(state);
        let moved = self.relocate(now, id)?;
        let wake = if moved.interrupt || moved.cpu != wake.cpu { moved } else { wake };
        Ok(self.interrupt_all(wake, sooner))
    }
}

pub(crate) fn interrupt(cpu: usize) -> Wake {
    Wake { cpu, interrupt: true, until: None, placement: Placement::Bound }
}
