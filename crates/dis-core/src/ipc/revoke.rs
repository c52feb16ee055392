//! Calls that end without a reply: time-outs, callers that give up, and deaths on either side.

use lock_api::RawMutex;

use super::NOBODY;
use crate::api::{ExitStatus, TaskId, TaskState, Timestamp};
use crate::executor::Executor;
use crate::policy::{Arrival, TaskKey};
use crate::scheduler::slab::peek;
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Sees to the first of those stacks here that are to be parted; `None`: there is none. Else who waits for the end of a task that has
    /// thereby ended, if anybody does. `live`: whose registers are in the CPU. O(stack · log n).
    #[cold]
    pub(crate) fn settle_call(&self, state: &mut CpuState<C>, live: TaskId, now: Timestamp) -> Option<Option<TaskId>> {
        let key = *state.revoked.first()?;
        state.revoked.remove(0);
        let task = peek(&state.slab, key);
        let (calls, killed) = (task.sched.calls, task.sched.killed);
        // A killed server loses those whom it has called, a killed carrier all.
        if let Some(above) = state.called_by(key).filter(|_| killed) {
            let carrier = state.carrier(key);
            self.part_ways(state, carrier, above, now);
        }
        if calls.on != NOBODY {
            self.part_ways(state, calls.on, key, now);
        }
        Some(if killed { self.end_killed(state, key, live, now) } else { None })
    }

    /// `server` and those above it go on on its own time, which is where the carrier's was: ready, or waiting for what the last of
    /// them waits for. The carrier goes on with the stack beneath.
    fn part_ways(&self, state: &mut CpuState<C>, carrier: TaskKey, server: TaskKey, now: Timestamp) {
        // What has been used up to now was on the carrier's time.
        state.charge(now);
        state.part(carrier, server);
        let task = state.task(carrier);
        let before = task.state;
        if matches!(before, TaskState::Ready | TaskState::Running) {
            self.make_ready(state, server, Arrival::Wake, now);
            let _ = self.reapply(state, carrier, now);
            return;
        }
        let reason = task.sched.block_reason.take();
        let timer = state.timers.wake_time(carrier).filter(|_| peek(&state.slab, carrier).sched.timed);
        state.clear_timer(carrier);
        let task = state.task(server);
        (task.state, task.sched.block_reason) = (before, reason);
        if let Some(at) = timer {
            state.set_timer(server, at);
        }
        self.make_ready(state, carrier, Arrival::Wake, now);
    }

    /// Ends a killed task that is in no call.
    fn end_killed(&self, state: &mut CpuState<C>, key: TaskKey, live: TaskId, now: Timestamp) -> Option<TaskId> {
        if state.current == Some(key) {
            state.left_voluntarily = false;
            self.stop_competing(state, key, TaskState::Zombie, now);
            return self.end_task(state, key, ExitStatus::Killed);
        }
        if state.task(key).is_queued() {
            state.dequeue(key, now);
        }
        state.clear_timer(key);
        let task = state.task(key);
        task.sched.throttled = false;
        if task.id == live {
            // As for `kill`: its memory must stay until the registers are off its stack.
            task.state = TaskState::Blocked;
            self.evict(state, key);
            return None;
        }
        self.end_task(state, key, ExitStatus::Killed)
    }
}
