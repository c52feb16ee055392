//! Moving a task that does not run to another CPU.

use lock_api::RawMutex;

use super::TaskManager;
use super::change::interrupt;
use super::state::CpuState;
use crate::api::{CpuMask, SchedError, SchedResult, Task, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::optimizer::{Wanted, choose_cpu};
use crate::policy::{Arrival, TaskKey};

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Moves a task to where it may run, if it is elsewhere.
    pub(super) fn relocate(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        loop {
            let (mut state, key) = self.lock_home(id)?;
            let (home, seat) = (state.cpu, state.seat);
            if state.task(key).sched.is_away() {
                // It is where its carrier is; when it is back, it is judged anew.
                return Ok(Wake::remembered(home));
            }
            let unsaved = self.is_unsaved(&state, key);
            let task = state.task(key);
            let ends = task.state.has_ended() || (task.sched.killed && task.state != TaskState::Running);
            if !ends {
                self.lift_mask(&mut state, key);
            }
            let task = state.task(key);
            if task.may_run(seat) || ends {
                return Ok(self.settle(&mut state, key, Wake::remembered(home)));
            }
            if task.state == TaskState::Running {
                task.sched.dirty = true;
                return Ok(interrupt(home));
            }
            if unsaved {
                if task.is_queued() {
                    state.dequeue(key, now);
                }
                self.evict(&mut state, key);
                self.publish(&mut state);
                return Ok(interrupt(home));
            }
            let wanted = Wanted { class: task.sched.class, allowed: task.affinity, previous: home };
            let reserved = task.reserved_on();
            drop(state);
            if reserved.is_some_and(|cpu| self.load(cpu).is_offline()) {
                // Whoever has just taken that CPU away moves it.
                return Ok(Wake::remembered(home));
            }
            let choice = || choose_cpu(wanted, self.cpu_count(), |cpu| self.load(cpu)).map(|(cpu, _)| cpu);
            let Some(target) = reserved.or_else(choice) else { continue };
            let (mut from, mut to) = self.lock_two(home, target);
            let same = |task: &Task<C>| {
                let runs = task.state == TaskState::Running;
                let away = task.sched.is_away();
                task.id == id && !runs && !away && task.may_run(to.seat) && !task.may_run(from.seat)
            };
            if !from.get(key).is_some_and(same) || self.is_unsaved(&from, key) {
                continue;
            }
            let wake = self.move_task(&mut from, &mut to, key, now)?;
            self.publish(&mut from);
            self.publish(&mut to);
            return Ok(wake);
        }
    }

    /// A task of whose CPUs none is online may run anywhere from now on: see [`hotplug`](super::hotplug).
    pub(crate) fn lift_mask(&self, state: &mut CpuState<C>, key: TaskKey) {
        let task = state.task(key);
        if !self.is_any_online(&task.affinity) {
            task.affinity = CpuMask::ALL;
            state.recount_stealable(key);
        }
    }

    /// Moves a task that does not run, and whose registers are saved, with its place in queue or timer.
    pub(crate) fn move_task(
        &self,
        from: &mut CpuState<C>,
        to: &mut CpuState<C>,
        key: TaskKey,
        now: Timestamp,
    ) -> SchedResult<Wake> {
        let task = from.task(key);
        let (queued, ready) = (task.is_queued(), task.state == TaskState::Ready);
        let window = from.limits.window;
        let task = from.task(key);
        let timer = task.sched.timed.then(|| from.timers.wake_time(key)).flatten();
        let position = if queued { from.position(key) } else { None };
        if queued {
            from.dequeue(key, now);
        }
        let Some(moved) = self.rehome(from, to, key) else {
            // The target is full: everything stays as it was.
            if queued {
                from.enqueue(key, Arrival::Migrate, now);
            }
            return Err(SchedError::ResourceExhausted);
        };
        if let Some(reservation) = to.task(moved).sched.duty.reservation_mut() {
            // Those there have not reckoned with what it did not use here.
            reservation.wake(window, now);
        }
        if let Some(position) = position {
            to.arrive_at(moved, position);
        }
        let mut wake = if let Some(at) = timer {
            to.set_timer(moved, at);
            self.sleeper_added(to, at, Placement::LeastLoaded, now)
        } else if ready {
            self.admit_to_queue(to, moved, Arrival::Migrate, now);
            self.assess(to, moved, Placement::LeastLoaded, now)
        } else {
            self.sleeper_added(to, Timestamp::MAX, Placement::Remembered, now)
        };
        // A stack of calls that is to be parted has come along.
        wake.interrupt |= !to.revoked.is_empty();
        Ok(self.settle(to, moved, wake))
    }
}
