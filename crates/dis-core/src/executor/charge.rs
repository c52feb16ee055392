//! Accounting of CPU time, and what falls due with time.

use lock_api::RawMutex;

use super::{Executor, Turn};
use crate::api::{TaskState, Timestamp};
use crate::policy::Arrival;
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Charges the running task for the time since it was last charged.
    pub(super) fn charge(&self, state: &mut CpuState<C>, now: Timestamp) {
        let Some(key) = state.current else { return };
        let ran = now.since(state.charged);
        if ran.is_zero() {
            return;
        }
        state.charged = now;
        state.busy += ran;
        state.stats.total_cpu_time += ran.as_nanos();
        let (share, burst) = (state.limits.interactive_share, state.limits.interactive_burst);
        let (task, policy) = state.task_and_policy(key);
        task.stats.cpu_time += ran.as_nanos();
        task.stats.time_slice = task.stats.time_slice.saturating_sub(ran.as_nanos());
        task.sched.burst += ran;
        policy.on_tick(&mut task.sched.entity, ran, now);
        if let Some(server) = &mut task.sched.server {
            server.charge(ran);
        }
        if let Some(credit) = &mut task.sched.credit {
            credit.charge(ran, share, burst, now);
        }
        let class = task.sched.class;
        state.arbiter.charge(class, ran);
    }

    /// Wakes the sleepers that are due, ends the time-outs, refills the budgets.
    pub(super) fn fire_timers(&self, state: &mut CpuState<C>, turn: &mut Turn, now: Timestamp) {
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
