//! Call and reply.

use lock_api::RawMutex;

use super::stack::Exchanged;
use crate::api::{BlockReason, Duration, SchedError, SchedResult, Task, TaskId, TaskState, Timestamp};
use crate::executor::{Decision, Executor, Held, Next, Reason, Wake};
use crate::policy::{Arrival, TaskKey};
use crate::scheduler::change::interrupt;
use crate::scheduler::slab::peek;
use crate::scheduler::state::CpuState;
use crate::scheduler::{Cpu, TaskManager};
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The running task calls `server`, which waits with [`BlockReason::Receive`]: its time goes to the server's stack until that
    /// [replies](Self::reply), or until `until`. The decision always switches; `until` and all else of it are those of the decision
    /// before. One lock, two if the server is another CPU's; no queue is touched, and no allocation made. O(1), a timer O(log n).
    ///
    /// Nothing is charged or decided, so the time does not matter and `now` is not called, unless somebody has lent the server his urgency.
    ///
    /// When the caller goes on, its host looks whether there is a reply: there is none after a time-out, or if the server has ended.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]: no such server. [`SchedError::InvalidState`]: it does not wait to be called, or its registers are
    /// not saved yet, or no task runs here (or one whose predecessor has not been saved). [`SchedError::ResourceExhausted`]: no room on this
    /// CPU. Nothing has changed then.
    #[inline]
    pub fn call(
        &self,
        cpu: usize,
        server: TaskId,
        until: Option<Timestamp>,
        now: impl FnOnce() -> Timestamp,
    ) -> SchedResult<Decision<C>> {
        let shared = self.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        let (home, mut key) = self.home_of(server)?;
        let mut state = shared.state.lock();
        if home != cpu || state.get(key).is_none_or(|task| task.id != server) {
            drop(state);
            (state, key) = self.fetch(cpu, server)?;
        }
        let (carrier, _, gone) = self.caller(shared, &state)?;
        let exchanged = state.donate(carrier, key).ok_or(SchedError::InvalidState)?;
        if let Some(until) = until {
            state.set_timer(key, until);
            state.until = state.until.min(until);
        }
        Ok(self.exchanged(shared, &mut state, carrier, gone, exchanged, now))
    }

    /// The CPU, locked, with the server at home there.
    #[cold]
    #[inline(never)]
    fn fetch(&self, cpu: usize, server: TaskId) -> SchedResult<(Held<'_, C, R>, TaskKey)> {
        loop {
            let (home, key) = self.home_of(server)?;
            if home == cpu {
                let state = self.lock(cpu);
                if state.get(key).is_some_and(|task| task.id == server) {
                    return Ok((state, key));
                }
                continue;
            }
            let (mut state, mut other) = self.lock_two(cpu, home);
            if other.get(key).is_none_or(|task| task.id != server) {
                continue;
            }
            self.caller(&self.cpus[cpu], &state)?;
            if !other.get(key).is_some_and(takes_calls) || self.is_unsaved(&other, key) {
                return Err(SchedError::InvalidState);
            }
            let key = self.rehome(&mut other, &mut state, key).ok_or(SchedError::ResourceExhausted)?;
            return Ok((state, key));
        }
    }

    /// The server that runs on the running task's time replies, and waits to be called again, with [`BlockReason::Receive`]: its caller
    /// goes on. The decision always switches; `until` and all else of it are those of the decision before, and `now` is as for
    /// [`call`](Self::call). A server that was unparked in mid-call does not wait, as with any block: it is ready, on its own time.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`]: no server runs here (its caller may have given up: then it runs on its own time, and blocks), or
    /// the predecessor has not been saved. Nothing has changed then.
    #[inline]
    pub fn reply(&self, cpu: usize, now: impl FnOnce() -> Timestamp) -> SchedResult<Decision<C>> {
        let shared = self.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        let mut state = shared.state.lock();
        let (carrier, server, gone) = self.caller(shared, &state)?;
        if server == carrier {
            return Err(SchedError::InvalidState);
        }
        let mut exchanged = state.give_back(carrier, server, 1);
        state.left_voluntarily = true;
        if exchanged.leaves {
            self.evict(&mut state, server);
        }
        if peek(&state.slab, server).sched.token {
            (exchanged.urgent, exchanged.woken) = (true, Some(server));
        }
        Ok(self.exchanged(shared, &mut state, carrier, gone, exchanged, now))
    }

    /// The running task, and the one whose stack runs on its time, with that one's id; all registers but those are saved.
    #[inline(always)]
    fn caller(&self, shared: &Cpu<C, R>, state: &CpuState<C>) -> SchedResult<(TaskKey, TaskKey, TaskId)> {
        let carrier = state.current.ok_or(SchedError::InvalidState)?;
        let task = peek(&state.slab, carrier);
        let (runner, id) = if task.sched.carries() { state.runner_with_id(carrier) } else { (carrier, task.id) };
        let unsaved = TaskId(shared.unsaved.load(Ordering::Relaxed));
        if unsaved != TaskId::INVALID && unsaved != id {
            return Err(SchedError::InvalidState);
        }
        Ok((carrier, runner, id))
    }

    /// The stack of `gone` has left the time of `carrier` to another's.
    #[inline(always)]
    fn exchanged(
        &self,
        shared: &Cpu<C, R>,
        state: &mut CpuState<C>,
        carrier: TaskKey,
        gone: TaskId,
        exchanged: Exchanged<C>,
        now: impl FnOnce() -> Timestamp,
    ) -> Decision<C> {
        let Exchanged { id, context, class, urgent, renewed, woken, .. } = exchanged;
        if urgent || !state.revoked.is_empty() || !state.leaving.is_empty() {
            self.ask_soon(state, carrier, renewed, woken, now());
        }
        state.counts.record_switch(true);
        shared.unsaved.store(gone.0, Ordering::Release);
        let next = Next { id, context, class, switch: true, waited: Duration::ZERO };
        let until = (state.until != Timestamp::MAX).then_some(state.until);
        let lost = state.ready.first();
        Decision { next: Some(next), until, reason: Reason::Continue, lost, interrupt: None, vacate: false }
    }

    /// There is something to decide. `renewed`: the carrier's urgency has changed; `woken`: a server that is to be made ready.
    #[cold]
    #[inline(never)]
    fn ask_soon(
        &self,
        state: &mut CpuState<C>,
        carrier: TaskKey,
        renewed: bool,
        woken: Option<TaskKey>,
        now: Timestamp,
    ) {
        if renewed {
            let _ = self.reapply(state, carrier, now);
        }
        if let Some(server) = woken {
            let sched = &mut state.task(server).sched;
            sched.token = false;
            // One that has been killed ends when the CPU asks.
            if !sched.killed {
                self.make_ready(state, server, Arrival::Wake, now);
                state.surplus = true;
                self.publish(state);
            }
        }
        state.until = state.until.min(now + Duration::from_nanos(1));
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

/// Whether a task waits to be called.
#[inline(always)]
pub(super) fn takes_calls<C>(task: &Task<C>) -> bool {
    let sched = &task.sched;
    task.state == TaskState::Blocked
        && sched.block_reason == Some(BlockReason::Receive)
        && !sched.killed
        && !sched.is_in_calls()
}
