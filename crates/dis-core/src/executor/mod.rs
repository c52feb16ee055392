//! What a CPU does for itself: choose, account, steal, idle.
//!
//! A host asks one question, [`Executor::schedule`]: "the running task leaves like this (or time has passed): what
//! now?". The [`Decision`] says which task runs, why, and until when the CPU need not ask again; a CPU with one task
//! and nothing due has no timer at all.
//!
//! Leaving a CPU takes two steps. After a decision that switches, the task that ran before is *unsaved*: nobody may
//! run or move it until the host has stored its registers and says so with [`Executor::switched`]. A CPU whose task
//! has not been saved gets [`SchedError::InvalidState`] instead of another switch.

mod balance;
mod charge;
mod conclude;
mod decision;
mod depart;
mod elsewhere;
mod leave;
mod measure;
mod pick;
mod rotate;
mod rouse;
mod steal;
mod view;

use alloc::sync::Arc;
use core::ops::Deref;

use lock_api::{MutexGuard, RawMutex};

use crate::api::{CpuMask, SchedError, SchedResult, TaskId, Timestamp};
use crate::modules::SchedulerRegistry;
use crate::scheduler::slab::peek;
use crate::scheduler::state::CpuState;
use crate::scheduler::{Config, ConfigError, Cpu, TaskManager};
use crate::sync::Ordering;
pub(crate) use balance::Balance;
pub use decision::{Decision, Job, Kill, Leave, Next, Placement, Reason, Wake};
pub use rouse::Roused;
pub use view::CpuView;

/// Runs tasks on CPUs. Derefs to the [`TaskManager`] it shares.
pub struct Executor<C, R> {
    tasks: Arc<TaskManager<C, R>>,
}

impl<C, R> Clone for Executor<C, R> {
    fn clone(&self) -> Self {
        Executor { tasks: self.tasks.clone() }
    }
}

impl<C, R> Deref for Executor<C, R> {
    type Target = TaskManager<C, R>;
    fn deref(&self) -> &Self::Target {
        &self.tasks
    }
}

/// A CPU whose lock is held.
pub(crate) type Held<'a, C, R> = MutexGuard<'a, R, CpuState<C>>;

/// What a decision takes with it from one step to the next.
struct Turn {
    /// The task whose registers are still in the CPU: it ran, or the CPU idles on its stack.
    live: TaskId,
    /// Whether the queues here may hold something that another CPU should take.
    surplus: bool,
    /// Whether a task has been taken over that need not be the one to run.
    pulled: bool,
    /// The CPU to which a task has been given to balance the two.
    receiver: Option<usize>,
    interrupt: Option<usize>,
}

impl Turn {
    /// The host is to interrupt `other`: now, or with the next decision if this one names another CPU already.
    fn tell<C>(&mut self, state: &mut CpuState<C>, other: Option<usize>) {
        match (other, self.interrupt) {
            (Some(other), None) => self.interrupt = Some(other),
            (Some(other), Some(first)) if other != first => {
                state.owed.get_or_insert(CpuMask::EMPTY).add(other);
            }
            _ => {}
        }
    }
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// An executor with a machine of its own and the built-in policies.
    ///
    /// # Errors
    /// As [`TaskManager::new`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::with_tasks(Arc::new(TaskManager::new(config)?)))
    }

    /// An executor with a machine of its own and the policies of the active modules.
    ///
    /// # Errors
    /// As [`TaskManager::with_modules`].
    pub fn with_modules(config: Config, modules: &SchedulerRegistry) -> Result<Self, ConfigError> {
        Ok(Self::with_tasks(Arc::new(TaskManager::with_modules(config, modules)?)))
    }

    /// An executor for a machine that is there already.
    pub fn with_tasks(tasks: Arc<TaskManager<C, R>>) -> Self {
        Executor { tasks }
    }

    /// CPU `cpu` at `now`, for calls in the manner of the reference's task API.
    pub fn on(&self, cpu: usize, now: Timestamp) -> CpuView<'_, C, R> {
        CpuView::new(self, cpu, now)
    }

    /// The question: the running task leaves so, what now? One lock if a task is ready here; stealing takes two more.
    /// O(log n) in the ready tasks of the classes involved; no allocation.
    ///
    /// # Errors
    /// [`SchedError::NoCpu`] for a CPU that is not there; [`SchedError::InvalidState`] if the task that ran before has
    /// not been saved yet, or if `leave` needs a running task and there is none; [`SchedError::Unmeasured`] if the host is
    /// to [measure](Self::measured) first. Nothing has changed then.
    pub fn schedule(&self, cpu: usize, now: Timestamp, leave: Leave) -> SchedResult<Decision<C>> {
        let shared = self.tasks.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        let state = shared.state.lock();
        let undisturbed = !shared.look_around.load(Ordering::Relaxed)
            && state.leaving.is_empty()
            && state.revoked.is_empty()
            && shared.unsaved.load(Ordering::Relaxed) == TaskId::INVALID.0;
        match leave {
            Leave::Yield if undisturbed => return self.rotate::<false>(shared, state, now),
            Leave::Block(reason, None) if undisturbed => return self.depart(shared, state, now, reason),
            Leave::Ask if undisturbed && Self::ends_its_slice(&state, now) => return self.expire(shared, state, now),
            _ => {}
        }
        self.decide(shared, state, now, leave, None, None)
    }

    /// As [`schedule`](Self::schedule), but never by a short way: what those are compared with.
    #[doc(hidden)]
    pub fn schedule_at_length(&self, cpu: usize, now: Timestamp, leave: Leave) -> SchedResult<Decision<C>> {
        let shared = self.tasks.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        self.decide(shared, shared.state.lock(), now, leave, None, None)
    }

    /// As [`schedule`](Self::schedule) with [`Leave::Exit`]; moreover `waiter`, who waits for that end, is
    /// [unparked](TaskManager::unpark). Under the same lock, and without a question of its own, if that task is at home here.
    ///
    /// # Errors
    /// As [`schedule`](Self::schedule).
    pub fn exit_and_unpark(&self, cpu: usize, now: Timestamp, code: i32, waiter: TaskId) -> SchedResult<Decision<C>> {
        let shared = self.tasks.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        self.decide(shared, shared.state.lock(), now, Leave::Exit(code), None, Some(waiter))
    }

    /// The long way to the answer. `requeued` has left already and stands in its queue; its registers are marked as
    /// unsaved.
    #[inline(never)]
    fn decide<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut state: Held<'a, C, R>,
        now: Timestamp,
        leave: Leave,
        requeued: Option<TaskId>,
        waiter: Option<TaskId>,
    ) -> SchedResult<Decision<C>> {
        let live = match requeued {
            Some(live) => live,
            None => self.check(&state, leave)?,
        };
        let ends_job = matches!(leave, Leave::NextPeriod | Leave::NextJob(_));
        if ends_job && state.current.is_some_and(|key| peek(&state.slab, key).sched.carries()) {
            // The job is the caller's.
            return Err(SchedError::InvalidState);
        }
        if self.is_in_doubt(&mut state, leave, now) {
            return Err(SchedError::Unmeasured);
        }
        let mut turn = Turn { live, surplus: false, pulled: false, receiver: None, interrupt: None };
        let asked = shared.look_around.load(Ordering::Relaxed) && shared.look_around.swap(false, Ordering::AcqRel);
        if now >= state.balance.due && !state.stealable.is_empty() {
            let ready =
                matches!(leave, Leave::Ask | Leave::Yield) || matches!(leave, Leave::Sleep(until) if until <= now);
            let stays = state.current.is_some() && ready;
            let last = state.ready_count == 1 && !stays;
            state = self.compare(state, &mut turn, last, now);
        }
        if asked || !state.leaving.is_empty() {
            state = self.attend(state, &mut turn, asked, now);
        }
        // A CPU that idled may find more than one task.
        turn.surplus = core::mem::take(&mut state.surplus) || state.current.is_none() || state.offer <= now;
        state.charge(now);
        self.fire_timers(&mut state, &mut turn, now);
        let joiner = if requeued.is_some() { None } else { self.leave(&mut state, leave, &mut turn, now) };
        for joiner in joiner.into_iter().chain(waiter) {
            state = self.tell_of_end(state, &mut turn, joiner, now);
        }
        while !state.revoked.is_empty() {
            turn.surplus = true;
            if let Some(Some(joiner)) = self.settle_call(&mut state, live, now) {
                state = self.tell_of_end(state, &mut turn, joiner, now);
            }
        }
        let mut reason = self.pick(&mut state, now);
        if state.current.is_none() {
            // The lock is let go below. The task that has left must not look as if its registers were saved.
            shared.unsaved.store(live.0, Ordering::Release);
            (state, reason) = self.look_elsewhere(state, &mut turn, now);
        }
        Ok(self.conclude(state, turn, reason, now))
    }

    /// The host has saved the registers of the task that ran before the last decision. True: something waited for
    /// that, so ask again at once. Takes no lock.
    pub fn switched(&self, cpu: usize) -> bool {
        let Some(shared) = self.tasks.cpus.get(cpu) else { return false };
        shared.unsaved.store(TaskId::INVALID.0, Ordering::Release);
        shared.waits_for_save.load(Ordering::Relaxed) && shared.waits_for_save.swap(false, Ordering::AcqRel)
    }

    /// For hosts with a periodic tick instead of a timer: asks whether the running task may go on. Equals
    /// [`schedule`](Self::schedule) with [`Leave::Ask`]; any period will do, as time is measured, not counted.
    ///
    /// # Errors
    /// As [`schedule`](Self::schedule).
    pub fn tick(&self, cpu: usize, now: Timestamp) -> SchedResult<Decision<C>> {
        self.schedule(cpu, now, Leave::Ask)
    }

    /// The task whose stack runs on `cpu`, or its idle task.
    pub fn current(&self, cpu: usize) -> TaskId {
        let state = self.lock(cpu);
        state.current.and_then(|key| state.get(state.runner(key))).map_or(TaskId::idle(cpu), |task| task.id)
    }

    /// Which task's registers are live; refuses a question that would lose a task's registers.
    #[inline(always)]
    fn check(&self, state: &CpuState<C>, leave: Leave) -> SchedResult<TaskId> {
        let unsaved = TaskId(self.tasks.cpus[state.cpu].unsaved.load(Ordering::Relaxed));
        let Some(current) = state.current.and_then(|key| state.get(state.runner(key))).map(|task| task.id) else {
            return if leave == Leave::Ask { Ok(unsaved) } else { Err(SchedError::InvalidState) };
        };
        if leave == Leave::Declined {
            return Ok(unsaved);
        }
        if unsaved != TaskId::INVALID && unsaved != current {
            return Err(SchedError::InvalidState);
        }
        Ok(current)
    }
}
