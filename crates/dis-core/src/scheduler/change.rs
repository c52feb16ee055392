//! Changing a live task: priority, affinity, intent, inheritance.

use lock_api::RawMutex;

use super::TaskManager;
use super::duty::Duty;
use super::spawn::{reservation_ppm, server_for};
use super::state::{CpuState, Urgency};
use crate::api::{CpuMask, SchedError, SchedResult, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::Intent;
use crate::optimizer::{Credit, Wanted, choose_cpu};
use crate::policy::{Arrival, TaskKey};

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Changes a task's priority within its class (lower goes first), queued or not.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn set_priority(&self, now: Timestamp, id: TaskId, priority: u8) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(id)?;
        state.task(key).priority = priority;
        Ok(self.reapply(&mut state, key, now))
    }

    /// Lends a task the urgency of one that waits for it; `None` takes the loan back.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`].
    pub fn inherit(&self, now: Timestamp, id: TaskId, lent: Option<Urgency>) -> SchedResult<Wake> {
        let (mut state, key) = self.lock_home(id)?;
        state.task(key).sched.inherited = lent;
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

    /// Declares a task to be for something else from now on.
    ///
    /// # Errors
    /// As for a spawn, and [`SchedError::InvalidState`] if it has ended; the task keeps its old intent then.
    /// What the intent reserves must fit on the task's present CPU.
    pub fn set_intent(&self, now: Timestamp, id: TaskId, intent: &Intent) -> SchedResult<Wake> {
        intent.validate()?;
        let mask = intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL);
        self.allowed(mask)?;
        let (mut state, key) = self.lock_home(id)?;
        if state.task(key).state.has_ended() {
            return Err(SchedError::InvalidState);
        }
        // What has been used up to now was for the old intent.
        state.charge(now);
        let ppm = reservation_ppm(intent, &self.config.limits);
        let held = state.task(key).sched.reserved_ppm;
        if ppm > 0 && state.realtime_ppm - held + ppm > u64::from(self.config.limits.realtime) * 1000 {
            return Err(SchedError::NoCpu);
        }
        state.realtime_ppm = state.realtime_ppm - held + ppm;
        let reserved = state.realtime_ppm;
        state.arbiter.reserve(reserved);
        let (burst, window) = (state.limits.interactive_burst, state.limits.window);
        let stays = mask.contains(state.cpu);
        let queued = state.get(key).is_some_and(|task| task.is_queued());
        if queued {
            state.dequeue(key, now);
        }
        let asleep = state.get(key).is_some_and(|task| task.state == TaskState::Sleeping);
        let wakes = state.timers.wake_time(key).filter(|_| asleep).unwrap_or(now);
        let task = state.task(key);
        let throttled = core::mem::take(&mut task.sched.throttled);
        task.intent = intent.clone();
        task.priority = intent.class.to_priority();
        task.sched.entity.slice = intent.class.time_quantum();
        let server = server_for(intent, &self.config.limits);
        // A sleeper's first job is released when it wakes up; for a blocked one that instant is not known yet.
        let duty = Duty::of(intent, wakes.max(now));
        task.sched.declare(intent, server, Credit::full(burst, now), duty, ppm);
        state.follow_reservation(key);
        let task = state.task(key);
        let realtime = task.sched.is_realtime();
        task.sched.pending_release = realtime && task.state != TaskState::Running;
        let wake = match task.state {
            TaskState::Ready if queued || throttled => {
                self.make_ready(&mut state, key, Arrival::Migrate, now);
                // If it moves at once, this CPU has nothing to do about it.
                if stays { self.assess(&mut state, key, Placement::Bound, now) } else { interrupt(state.cpu) }
            }
            TaskState::Running => {
                if let Some(server) = &mut task.sched.server {
                    server.release(now);
                    if let Some(job) = task.sched.duty.job() {
                        job.number = 1;
                        job.deadline = server.deadline();
                        task.deadline = Some(server.deadline());
                    }
                }
                if let Some(reservation) = task.sched.duty.reservation_mut() {
                    reservation.wake(window, now);
                }
                task.sched.dirty = true;
                interrupt(state.cpu)
            }
            _ => self.sleeper_added(&mut state, Timestamp::MAX, Placement::Remembered, now),
        };
        let wake = self.settle(&mut state, key, wake);
        drop(state);
        match self.set_affinity(now, id, mask) {
            Ok(moved) if moved.interrupt || moved.cpu != wake.cpu => Ok(moved),
            _ => Ok(wake),
        }
    }

    /// Brings a task's place in line with its present urgency.
    fn reapply(&self, state: &mut CpuState<C>, key: TaskKey, now: Timestamp) -> Wake {
        // What has been used up to now was under the old urgency.
        state.charge(now);
        let task = state.task(key);
        let urgency = task.urgency();
        let same_class = urgency.class == task.sched.class;
        let wake = match task.state {
            TaskState::Ready if task.is_queued() => {
                if same_class {
                    let (task, policy) = state.task_and_policy(key);
                    policy.update(&mut task.sched.entity, urgency.priority, urgency.deadline, now);
                } else {
                    state.dequeue(key, now);
                    self.admit_to_queue(state, key, Arrival::Migrate, now);
                }
                self.assess(state, key, Placement::Bound, now)
            }
            TaskState::Running if same_class => {
                let (task, policy) = state.task_and_policy(key);
                policy.update(&mut task.sched.entity, urgency.priority, urgency.deadline, now);
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
    /// before this returns, a running one when its CPU, which must be interrupted, has saved its registers.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::NoCpu`] if the mask names no CPU of this machine, or none with room
    /// for the task's reservation.
    pub fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake> {
        let allowed = self.allowed(mask)?;
        loop {
            let (mut state, key) = self.lock_home(id)?;
            let home = state.cpu;
            let unsaved = self.is_unsaved(home, id);
            let task = state.task(key);
            let ppm = task.sched.reserved_ppm;
            let ends = task.state.has_ended() || (task.sched.killed && task.state != TaskState::Running);
            if allowed.contains(home) || ends {
                task.affinity = mask;
                return Ok(self.settle(&mut state, key, Wake::remembered(home)));
            }
            if task.state == TaskState::Running || unsaved {
                if ppm > 0 {
                    // Whether it fits is asked again when it moves; a reservation made in between may overcommit.
                    drop(state);
                    if !allowed.iter().any(|cpu| self.has_room(&self.lock(cpu), ppm)) {
                        return Err(SchedError::NoCpu);
                    }
                    state = self.lock(home);
                    if state.get(key).is_none_or(|task| task.id != id) {
                        continue;
                    }
                }
                let unsaved = self.is_unsaved(home, id);
                let task = state.task(key);
                if task.state != TaskState::Running && !unsaved {
                    continue;
                }
                task.affinity = mask;
                if task.state == TaskState::Running {
                    task.sched.dirty = true;
                } else {
                    if task.is_queued() {
                        state.dequeue(key, now);
                    }
                    self.evict(&mut state, key);
                    self.publish(&mut state);
                }
                return Ok(interrupt(home));
            }
            let wanted = Wanted { class: task.sched.class, allowed, previous: home };
            drop(state);
            let target = if ppm > 0 {
                allowed.iter().find(|&cpu| self.has_room(&self.lock(cpu), ppm))
            } else {
                choose_cpu(wanted, self.cpu_count(), |cpu| self.load(cpu)).map(|(cpu, _)| cpu)
            };
            let target = target.ok_or(SchedError::NoCpu)?;
            let (mut from, mut to) = self.lock_two(home, target);
            let same = from.get(key).is_some_and(|task| task.id == id && task.state != TaskState::Running);
            if !same || self.is_unsaved(home, id) || (ppm > 0 && !self.has_room(&to, ppm)) {
                continue;
            }
            from.task(key).affinity = mask;
            let wake = self.move_task(&mut from, &mut to, key, now)?;
            self.publish(&mut from);
            self.publish(&mut to);
            return Ok(wake);
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
        from.clear_timer(key);
        let Some(moved) = self.rehome(from, to, key) else {
            // The target is full: everything stays as it was.
            if queued {
                from.enqueue(key, Arrival::Migrate, now);
            }
            if let Some(at) = timer {
                from.set_timer(key, at);
            }
            return Err(SchedError::ResourceExhausted);
        };
        if let Some(reservation) = to.task(moved).sched.duty.reservation_mut() {
            // Those there have not reckoned with what it did not use here.
            reservation.wake(window, now);
        }
        if let Some(at) = timer {
            to.set_timer(moved, at);
            return Ok(self.sleeper_added(to, at, Placement::LeastLoaded, now));
        }
        if let Some(position) = position {
            to.arrive_at(moved, position);
        }
        if ready {
            self.admit_to_queue(to, moved, Arrival::Migrate, now);
            let wake = self.assess(to, moved, Placement::LeastLoaded, now);
            return Ok(self.settle(to, moved, wake));
        }
        Ok(self.sleeper_added(to, Timestamp::MAX, Placement::Remembered, now))
    }
}

fn interrupt(cpu: usize) -> Wake {
    Wake { cpu, interrupt: true, until: None, placement: Placement::Bound }
}
