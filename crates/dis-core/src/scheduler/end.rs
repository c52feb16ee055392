//! Death of tasks: exit, kill, join.

use lock_api::RawMutex;

use super::TaskManager;
use super::duty::Duty;
use super::split::Hold;
use super::state::CpuState;
use super::tcb::Ended;
use crate::api::{ExitStatus, SchedError, SchedResult, TaskId, TaskState, Timestamp};
use crate::executor::Kill;
use crate::policy::TaskKey;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Ends a task in any state. One that runs, or whose registers are not saved yet, ends when its CPU asks next.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it has ended or is ending.
    pub fn kill(&self, now: Timestamp, id: TaskId) -> SchedResult<Kill> {
        let (mut state, key) = self.lock_home(id)?;
        let cpu = state.cpu;
        let task = state.task(key);
        if task.state.has_ended() || task.sched.killed {
            return Err(SchedError::InvalidState);
        }
        if task.sched.is_in_calls() {
            task.sched.killed = true;
            let _ = state.revoke(key);
            return Ok(Kill::Pending(cpu));
        }
        if task.state == TaskState::Running {
            task.sched.killed = true;
            return Ok(Kill::Pending(cpu));
        }
        if task.is_queued() {
            state.dequeue(key, now);
        }
        state.clear_timer(key);
        let task = state.task(key);
        task.sched.killed = true;
        task.sched.throttled = false;
        if self.is_unsaved(&state, key) {
            let task = state.task(key);
            // Out of every queue, so nothing can run it; its memory must stay until the registers are off its stack.
            task.state = TaskState::Blocked;
            self.evict(&mut state, key);
            self.publish(&mut state);
            return Ok(Kill::Pending(cpu));
        }
        let joiner = self.end_task(&mut state, key, ExitStatus::Killed);
        self.publish(&mut state);
        drop(state);
        Ok(Kill::Done(self.notify(now, joiner)))
    }

    /// Marks a task to leave the CPU (or end) once its registers are saved.
    pub(crate) fn evict(&self, state: &mut CpuState<C>, key: TaskKey) {
        if !state.leaving.contains(&key) {
            state.leaving.push(key);
        }
        self.cpus[state.cpu].waits_for_save.store(true, Ordering::Release);
    }

    /// The task, which is in no queue, has ended: it becomes a zombie if somebody will collect its status, else it is
    /// gone. Answers who waits for it.
    pub(crate) fn end_task(&self, state: &mut CpuState<C>, key: TaskKey, status: ExitStatus) -> Option<TaskId> {
        match status {
            ExitStatus::Exited(_) => state.counts.tasks_exited += 1,
            ExitStatus::Killed => state.counts.tasks_killed += 1,
        }
        state.leaving.retain(|&other| other != key);
        state.revoked.retain(|&other| other != key);
        let task = state.task(key);
        let (id, hold) = (task.id, task.sched.hold.take());
        match status {
            ExitStatus::Exited(code) => (task.sched.ended, task.exit_code) = (Ended::ByItself, code),
            ExitStatus::Killed => task.sched.ended = Ended::Killed,
        }
        if task.sched.duty.reservation().is_some() {
            task.sched.duty = Duty::Free;
        }
        let joiner = (task.sched.joiner != TaskId::INVALID).then_some(task.sched.joiner);
        let joinable = task.sched.joinable;
        if let Some(hold) = hold {
            // Before the mark: whoever sees that sees this.
            self.owe(state, hold);
            // The book must not be opened under a CPU's lock.
            self.homes.mark_ended(id);
        }
        state.follow_reservation(key);
        if joinable {
            state.task(key).state = TaskState::Zombie;
        } else {
            self.forget(state, key);
        }
        if hold.is_some() {
            self.ended_reservations.fetch_add(1, Ordering::AcqRel);
        }
        joiner
    }

    /// Those who hold this end: what they have used of their shares counts until the CPUs have been without Realtime work for an
    /// instant, as jobs that are pending now have waited for them.
    fn owe(&self, state: &CpuState<C>, hold: Hold) {
        let own = state.cpu;
        let owe = |cpu: usize| {
            let load = if cpu == own { state.summary() } else { self.load(cpu) };
            if !load.is_without_realtime() {
                self.cpus[cpu].owes.store(true, Ordering::Release);
            }
        };
        owe(hold.cpu.into());
        self.each_piece(hold, owe);
    }

    /// Whether what tasks that have ended held of `cpu` still counts.
    pub(super) fn owes(&self, cpu: usize) -> bool {
        self.cpus[cpu].owes.load(Ordering::Acquire) && !self.load(cpu).is_without_realtime()
    }

    /// Frees the slot; ids of this generation are stale from now on.
    fn forget(&self, state: &mut CpuState<C>, key: TaskKey) {
        state.leave_domain(key);
        if let Some(id) = state.discard(key) {
            self.homes.clear(id);
        }
    }

    /// Tells the joiner, if any; answers the CPU to interrupt for it.
    pub(crate) fn notify(&self, now: Timestamp, joiner: Option<TaskId>) -> Option<usize> {
        let wake = self.unpark(now, joiner?).ok()?;
        (wake.interrupt || wake.until.is_some()).then_some(wake.cpu)
    }

    /// Collects the exit status of a joinable task that has ended, or registers `joiner` to be unparked when it does.
    /// The host then blocks the joiner with [`BlockReason::ChildExit`](crate::api::BlockReason::ChildExit) and asks
    /// again.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`] for a task that is gone or detached; [`SchedError::InvalidState`] if another task
    /// waits for it already, or the joiner is the task itself.
    pub fn join(&self, id: TaskId, joiner: TaskId) -> SchedResult<Option<ExitStatus>> {
        loop {
            let (mut state, key) = self.lock_home(id)?;
            let task = state.task(key);
            if !task.sched.joinable {
                return Err(SchedError::TaskNotFound);
            }
            if task.state == TaskState::Zombie {
                let status = task.exit_status();
                self.forget(&mut state, key);
                return Ok(status);
            }
            let waits = task.sched.joiner;
            if id == joiner {
                return Err(SchedError::InvalidState);
            }
            if waits == TaskId::INVALID || waits == joiner {
                task.sched.joiner = joiner;
                return Ok(None);
            }
            // Another waits already; but one that has ended does not wait any more.
            drop(state);
            if self.with_task(waits, |task| !task.state.has_ended()).unwrap_or(false) {
                return Err(SchedError::InvalidState);
            }
            let (mut state, key) = self.lock_home(id)?;
            let registered = &mut state.task(key).sched.joiner;
            if *registered == waits {
                *registered = TaskId::INVALID;
            }
        }
    }

    /// Nobody will collect the task's exit status: it goes the moment it ends, or now if it has.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn detach(&self, id: TaskId) -> SchedResult<()> {
        let (mut state, key) = self.lock_home(id)?;
        let task = state.task(key);
        task.sched.joinable = false;
        if task.state == TaskState::Zombie {
            self.forget(&mut state, key);
        }
        Ok(())
    }
}
