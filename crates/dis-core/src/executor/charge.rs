//! What falls due with time.

use lock_api::RawMutex;

use super::{Executor, Turn};
use crate::api::{TaskState, Timestamp};
use crate::policy::Arrival;
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Wakes the sleepers that are due, ends the time-outs, refills the budgets.
    #[inline(always)]
    pub(super) fn fire_timers(&self, state: &mut CpuState<C>, turn: &mut Turn, now: Timestamp) {
        if state.timers.due() > now {
            return;
        }
        while let Some(key) = state.timers.pop_expired(now) {
            let task = state.task(key);
            task.sched.timed = false;
            turn.surplus = true;
            let arrival = match task.state {
                TaskState::Ready => {
                    task.sched.throttled = false;
                    self.admit_to_queue(state, key, Arrival::Wake, now);
                    continue;
                }
                // The start of a task that was spawned for later.
                _ if task.stats.context_switches == 0 => Arrival::Spawn,
                _ => Arrival::Wake,
            };
            self.make_ready(state, key, arrival, now);
        }
    }
}
