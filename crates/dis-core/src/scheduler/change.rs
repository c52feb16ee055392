//! Changing a live task: priority, affinity, intent, inheritance.

use lock_api::RawMutex;

use super::TaskManager;
use super::book::{Plan, request};
use super::duty::Duty;
use super::spawn::server_for;
use super::state::{CpuState, Urgency};
use crate::api::{CpuMask, Duration, SchedError, SchedResult, Task, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::{Intent, IntentClass};
use crate::optimizer::{Credit, Wakes, Wanted, choose_cpu};
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

    /// Declares a task to be for something else from now on. What the intent reserves stays on the task's CPU if it fits
    /// there; else the task moves.
    ///
    /// # Errors
    /// As for a spawn, and [`SchedError::InvalidState`] if it has ended; the task keeps its old intent then.
    pub fn set_intent(&self, now: Timestamp, id: TaskId, intent: &Intent) -> SchedResult<Wake> {
        intent.validate()?;
        self.allowed(intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL))?;
        if !self.reserves(intent) && self.with_task(id, |task| task.sched.hold.is_none())? {
            return self.redeclare(now, id, intent, None);
        }
        let mut book = self.open_book();
        if self.with_task(id, |task| task.state.has_ended())? {
            return Err(SchedError::InvalidState);
        }
        let Some(plan) = book.plan_intent(id, intent)? else { return self.redeclare(now, id, intent, None) };
        let answer = self.redeclare(now, id, intent, Some(&plan));
        if answer.is_err() {
            book.abandon(plan);
        }
        answer
    }

    /// As [`set_intent`](Self::set_intent) with a (valid) intent for which a [`Plan`] has been made, the book being still open; or
    /// none, for a task that holds nothing and is to hold nothing.
    ///
    /// # Errors
    /// As [`set_intent`](Self::set_intent), but for rejections; the plan is to be [abandoned](super::OpenBook::abandon) then.
    pub fn redeclare(&self, now: Timestamp, id: TaskId, intent: &Intent, plan: Option<&Plan>) -> SchedResult<Wake> {
        let sooner = self.tell_news(plan, now);
        let (mut state, key) = self.lock_home(id)?;
        if state.task(key).state.has_ended() {
            return Err(SchedError::InvalidState);
        }
        // What has been used up to now was for the old intent.
        state.charge(now);
        let cpu = state.cpu;
        let (burst, window) = (state.limits.interactive_burst, state.limits.window);
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
        // What is left of a slice of the old length means nothing now.
        task.stats.time_slice = 0;
        let server = server_for(intent, &self.config.limits);
        // A sleeper's first job is released when it wakes up; for a blocked one that instant is not known yet.
        let duty = Duty::of(intent, wakes.max(now));
        task.affinity = intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL);
        task.sched.declare(intent, server, Credit::full(burst, now), duty);
        self.assign(task, plan.and_then(Plan::assignment));
        let stays = task.may_run(cpu);
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
                    server.release(now, Wakes::ByDensity);
                    if let (Some(job), IntentClass::Realtime { deadline_us, .. }) =
                        (task.sched.duty.job(), intent.class)
                    {
                        job.number = 1;
                        job.deadline = now + Duration::from_micros(deadline_us);
                        task.deadline = Some(job.deadline);
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
        match self.relocate(now, id) {
            Ok(moved) if moved.interrupt || moved.cpu != wake.cpu => Ok(self.interrupt_all(moved, sooner)),
            _ => Ok(self.interrupt_all(wake, sooner)),
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
    /// before this returns, a running one when its CPU, which must be interrupted, has saved its registers. A reservation stays
    /// where it is if it may; else it is made anew.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::NoCpu`] if the mask names no CPU of this machine, or none with room
    /// for the task's reservation.
    pub fn set_affinity(&self, now: Timestamp, id: TaskId, mask: CpuMask) -> SchedResult<Wake> {
        self.allowed(mask)?;
        match self.set_mask(now, id, mask, None) {
            // It holds a reservation.
            Err(SchedError::InvalidState) => {}
            answer => return answer,
        }
        let mut book = self.open_book();
        let plan = book.plan_affinity(id, mask)?;
        let answer = self.set_mask(now, id, mask, Some(plan.as_ref()));
        if let (Some(plan), Err(_)) = (plan, &answer) {
            book.abandon(plan);
        }
        answer
    }

    /// As [`set_affinity`](Self::set_affinity) with a mask that names a CPU of this machine. `plan`: what has been planned, if
    /// anything was to be, the book being still open; `None`: nobody has asked the book.
    ///
    /// # Errors
    /// [`SchedError::TaskNotFound`]; [`SchedError::InvalidState`] if the book is to be asked first. A plan is to be
    /// [abandoned](super::OpenBook::abandon) then.
    pub fn set_mask(
        &self,
        now: Timestamp,
        id: TaskId,
        mask: CpuMask,
        plan: Option<Option<&Plan>>,
    ) -> SchedResult<Wake> {
        let sooner = self.tell_news(plan.flatten(), now);
        let limits = self.config.limits;
        let (mut state, key) = self.lock_home(id)?;
        let mut wake = Wake::remembered(state.cpu);
        let task = state.task(key);
        if task.sched.hold.is_some() && plan.is_none() {
            return Err(SchedError::InvalidState);
        }
        task.affinity = mask;
        if let Some(hold) = &mut task.sched.hold {
            let planned = plan.flatten();
            let whole = request(&task.intent, &limits).map(|request| (request.task.wcet, request.task.deadline));
            if let (Some(assignment), Some(whole)) = (planned.and_then(Plan::assignment), whole) {
                state.charge(now);
                self.reassign(&mut state, key, assignment, whole, now);
                // It may be due later than before.
                wake = self.reapply(&mut state, key, now);
            } else if !mask.contains(hold.cpu.into()) {
                // Without admission, nobody plans.
                hold.cpu = mask.iter().next().map_or(hold.cpu, |cpu| cpu as u16);
            }
        }
        drop(state);
        let moved = self.relocate(now, id)?;
        let wake = if moved.interrupt || moved.cpu != wake.cpu { moved } else { wake };
        Ok(self.interrupt_all(wake, sooner))
    }

    /// Moves a task to where it may run, if it is elsewhere.
    fn relocate(&self, now: Timestamp, id: TaskId) -> SchedResult<Wake> {
        loop {
            let (mut state, key) = self.lock_home(id)?;
            let home = state.cpu;
            let unsaved = self.is_unsaved(home, id);
            let task = state.task(key);
            let ends = task.state.has_ended() || (task.sched.killed && task.state != TaskState::Running);
            if task.may_run(home) || ends {
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
            let choice = || choose_cpu(wanted, self.cpu_count(), |cpu| self.load(cpu)).map(|(cpu, _)| cpu);
            let target = reserved.or_else(choice).ok_or(SchedError::NoCpu)?;
            let (mut from, mut to) = self.lock_two(home, target);
            let same = |task: &Task<C>| {
                task.id == id && task.state != TaskState::Running && task.may_run(target) && !task.may_run(home)
            };
            if !from.get(key).is_some_and(same) || self.is_unsaved(home, id) {
                continue;
            }
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
