//! Call and reply.

use lock_api::RawMutex;

use crate::api::{BlockReason, Duration, SchedError, SchedResult, Task, TaskId, TaskState, Timestamp};
use crate::executor::{Decision, Executor, Next, Reason, Wake};
use crate::policy::TaskKey;
use crate::scheduler::TaskManager;
use crate::scheduler::change::interrupt;
use crate::scheduler::slab::peek;
use crate::scheduler::state::CpuState;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The running task calls `server`, which waits with [`BlockReason::Receive`]: its time goes to the server's stack until that
    /// [replies](Self::reply), or until `until`. The decision always switches; `until` and all else of it are those of the decision
    /// before. One lock, two if the server is another CPU's; no queue is touched, and no allocation made.
    ///
    /// When the caller goes on, its host looks whether there is a reply: there is none after a time-out, or if the server has ended.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]: no such server. [`SchedError::InvalidState`]: it does not wait to be called, or its registers are
    /// not saved yet, or no task runs here (or one whose predecessor has not been saved). [`SchedError::ResourceExhausted`]: no room on this
    /// CPU. Nothing has changed then.
    pub fn call(
        &self,
        cpu: usize,
        now: Timestamp,
        server: TaskId,
        until: Option<Timestamp>,
    ) -> SchedResult<Decision<C>> {
        if cpu >= self.cpu_count() {
            return Err(SchedError::NoCpu);
        }
        loop {
            let (home, key) = self.home_of(server)?;
            let (mut state, key) = if home == cpu {
                (self.lock(cpu), key)
            } else {
                let (mut state, mut other) = self.lock_two(cpu, home);
                if other.get(key).is_none_or(|task| task.id != server) {
                    continue;
                }
                self.caller(&state)?;
                if !takes_calls(&other, key) || self.is_unsaved(&other, key) {
                    return Err(SchedError::InvalidState);
                }
                let key = self.rehome(&mut other, &mut state, key).ok_or(SchedError::ResourceExhausted)?;
                (state, key)
            };
            if state.get(key).is_none_or(|task| task.id != server) {
                continue;
            }
            let (carrier, caller) = self.caller(&state)?;
            if !takes_calls(&state, key) {
                return Err(SchedError::InvalidState);
            }
            state.clear_timer(key);
            let caller = peek(&state.slab, caller).id;
            let new = state.donate(carrier, key);
            if let Some(until) = until {
                state.set_timer(key, until);
                state.until = state.until.min(until);
            }
            return Ok(self.exchanged(&mut state, carrier, caller, new, now));
        }
    }

    /// The server that runs on the running task's time replies, and waits to be called again, with [`BlockReason::Receive`]: its caller
    /// goes on. The decision always switches; `until` and all else of it are those of the decision before.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`]: no server runs here (its caller may have given up: then it runs on its own time, and blocks), or
    /// the predecessor has not been saved. Nothing has changed then.
    pub fn reply(&self, cpu: usize, now: Timestamp) -> SchedResult<Decision<C>> {
        let mut state = self.cpus.get(cpu).ok_or(SchedError::NoCpu)?.state.lock();
        let (carrier, _) = self.caller(&state)?;
        let (server, new) = state.give_back(carrier).ok_or(SchedError::InvalidState)?;
        state.left_voluntarily = true;
        let (id, stays) = (peek(&state.slab, server).id, peek(&state.slab, server).may_run(state.seat));
        if !stays {
            self.evict(&mut state, server);
        }
        Ok(self.exchanged(&mut state, carrier, id, new, now))
    }

    /// The running task, and the one whose stack runs on its time; all registers but those are saved.
    #[inline(always)]
    fn caller(&self, state: &CpuState<C>) -> SchedResult<(TaskKey, TaskKey)> {
        let carrier = state.current.ok_or(SchedError::InvalidState)?;
        let runner = state.runner(carrier);
        let unsaved = TaskId(self.cpus[state.cpu].unsaved.load(Ordering::Relaxed));
        if unsaved != TaskId::INVALID && unsaved != peek(&state.slab, runner).id {
            return Err(SchedError::InvalidState);
        }
        Ok((carrier, runner))
    }

    /// The stack of `gone` has left the time of `carrier` for another. `new`: that has changed its urgency.
    #[inline(always)]
    fn exchanged(
        &self,
        state: &mut CpuState<C>,
        carrier: TaskKey,
        gone: TaskId,
        new: bool,
        now: Timestamp,
    ) -> Decision<C> {
        if new || !state.revoked.is_empty() || !state.leaving.is_empty() || state.task(carrier).sched.killed {
            if new {
                let _ = self.reapply(state, carrier, now);
            }
            // There is something to decide.
            state.until = state.until.min(now + Duration::from_nanos(1));
        }
        let runner = state.runner(carrier);
        let task = state.task(runner);
        task.stats.context_switches += 1;
        let id = task.id;
        state.counts.record_switch(true);
        self.cpus[state.cpu].unsaved.store(gone.0, Ordering::Release);
        let task = peek(&state.slab, carrier);
        let next = Next { id, context: task.context, class: task.sched.class, switch: true, waited: Duration::ZERO };
        let until = (state.until != Timestamp::MAX).then_some(state.until);
        let lost = state.ready.first();
        Decision { next: Some(next), until, reason: Reason::Continue, lost, interrupt: None, vacate: false }
    }
}

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// A task gives up the call in which it waits: it goes on without a reply, and the server with what it does on its own time. That
    /// happens when the CPU named, which must be interrupted, asks next.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it is in no call.
    pub fn cancel_call(&self, id: TaskId) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(id)?;
        let server = state.called_by(key).ok_or(SchedError::InvalidState)?;
        Ok(state.revoke(server))
    }

    /// A server gives up the call that it serves: it goes on on its own time, and its caller without a reply. When and where: as for
    /// [`cancel_call`](Self::cancel_call).
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if it serves none.
    pub fn drop_call(&self, server: TaskId) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(server)?;
        if !state.task(key).sched.is_away() {
            return Err(SchedError::InvalidState);
        }
        Ok(state.revoke(key))
    }

    /// Looks at a task and at the host's part that belongs to it, its stack. In a call that is in another's control block, so
    /// `Task::context` is not it. O(servers on the same time); the CPU is locked meanwhile.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn with_context<T>(&self, id: TaskId, look: impl FnOnce(&Task<C>, C) -> T) -> SchedResult<T> {
        let (state, key) = self.lock_home(id)?;
        let place = state.place_of_stack(key).0;
        Ok(look(peek(&state.slab, key), peek(&state.slab, place).context))
    }

    /// On whose time the stack of a task runs, or waits, while it is a server in mid-call; else its own id.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn carrier_of(&self, id: TaskId) -> SchedResult<TaskId> {
        let (state, key) = self.lock_home(id)?;
        Ok(peek(&state.slab, state.carrier(key)).id)
    }
}

impl<C> CpuState<C> {
    /// Notes that the stack of which `key` is a part is to be parted at the next question.
    pub fn revoke(&mut self, key: TaskKey) -> Wake {
        if !self.revoked.contains(&key) {
            self.revoked.push(key);
        }
        interrupt(self.cpu)
    }
}

fn takes_calls<C>(state: &CpuState<C>, key: TaskKey) -> bool {
    let waits = |task: &Task<C>| {
        let sched = &task.sched;
        task.state == TaskState::Blocked
            && sched.block_reason == Some(BlockReason::Receive)
            && !sched.killed
            && !sched.is_in_calls()
    };
    state.get(key).is_some_and(waits)
}
