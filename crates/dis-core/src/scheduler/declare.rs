//! Declaring a live task to be for something else.

use lock_api::RawMutex;

use super::TaskManager;
use super::book::Plan;
use super::change::interrupt;
use super::domains::under_ceiling;
use super::duty::Duty;
use super::spawn::server_for;
use crate::api::{CpuMask, Duration, SchedError, SchedResult, TaskId, TaskState, Timestamp};
use crate::executor::{Placement, Wake};
use crate::intent::{Intent, IntentClass};
use crate::optimizer::{Credit, Wakes};
use crate::policy::Arrival;

impl<C: Copy, R: RawMutex> TaskManager<C, R> {
    /// Declares a task to be for something else from now on. What the intent reserves stays on the task's CPU if it fits
    /// there; else the task moves.
    ///
    /// # Errors
    /// As for a spawn (but no quota is asked), and [`SchedError::InvalidState`] if it has ended; the task keeps its old intent then.
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
        let priority = under_ceiling(state.task(key).domain(), intent)?;
        // What has been used up to now was for the old intent.
        state.charge(now);
        let seat = state.seat;
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
        task.priority = priority;
        task.sched.entity.slice = intent.class.time_quantum();
        // What is left of a slice of the old length means nothing now.
        task.stats.time_slice = 0;
        let server = server_for(intent, &self.config.limits);
        // A sleeper's first job is released when it wakes up; for a blocked one that instant is not known yet.
        let duty = Duty::of(intent, wakes.max(now));
        task.affinity = intent.constraints.cpu_affinity.unwrap_or(CpuMask::ALL);
        task.sched.declare(intent, server, Credit::full(burst, now), duty);
        // Its target counts from now on, running or not: the one it had, if any, was for the old intent.
        task.renew_target(now);
        self.assign(task, plan.and_then(Plan::assignment));
        let stays = task.may_run(seat);
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
}
