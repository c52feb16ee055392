//! What falls due with time.

use lock_api::RawMutex;

use super::{Executor, Turn};
use crate::api::{TaskState, Timestamp};
use crate::policy::Arrival;
use crate::scheduler::state::{CpuState, WINDOW};

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Wakes the sleepers that are due, ends the time-outs, refills the budgets.
    #[inline(always)]
    pub(super) fn fire_timers(&self, state: &mut CpuState<C>, turn: &mut Turn, now: Timestamp) {
        if state.timers.due() > now {
            return;
        }
        let window = state.limits.window;
        while let Some(key) = state.timers.pop_expired(now) {
            if key == WINDOW {
                self.begin_window(state, now);
                turn.surplus = true;
                continue;
            }
            let task = state.task(key);
            task.sched.timed = false;
            turn.surplus = true;
            if task.sched.is_away() {
                // The time-out of the call that it serves.
                let _ = state.revoke(key);
                continue;
            }
            let arrival = match task.state {
                TaskState::Ready => {
                    task.sched.throttled = false;
                    if let Some(reservation) = task.sched.duty.reservation_mut() {
                        reservation.wake(window, now);
                    }
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

    /// The tasks with reservations by share that wait get their budgets of the next window. One that runs sees to that itself,
    /// and one that sleeps when it wakes. O(tasks with reservations · log n).
    #[cold]
    fn begin_window(&self, state: &mut CpuState<C>, now: Timestamp) {
        let window = state.limits.window;
        for place in 0..state.reservations.len() {
            let key = state.reservations[place];
            let task = state.task(key);
            let queued = task.sched.queued;
            let Some(reservation) = task.sched.duty.reservation_mut().filter(|_| queued) else { continue };
            reservation.roll(window, now);
            let end = reservation.deadline();
            let urgency = task.urgency();
            if urgency.class == task.sched.class {
                state.update(key, urgency.priority, urgency.deadline, now);
                state.watch_window(end);
            } else {
                state.dequeue(key, now);
                self.admit_to_queue(state, key, Arrival::Migrate, now);
            }
        }
    }
}
