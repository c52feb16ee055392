//! The short way through the most frequent decision: the running task yields, and the next of its class takes its place,
//! or it is alone and goes on.
//!
//! The answer, and every trace it leaves, is that of the long way (`leave`, `pick`, `conclude`); a test compares the two.
//! It is shorter because nothing is counted up that the next step counts down again, and because each of the two tasks
//! is looked up once instead of five times.

use lock_api::RawMutex;

use super::{Decision, Executor, Held, Leave, Next, Reason};
use crate::api::{Duration, SchedResult, TaskState, Timestamp};
use crate::policy::Arrival;
use crate::scheduler::Cpu;
use crate::scheduler::slab::slot;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Lets the next of its class take the place of the running task, which yields. No task's registers are unsaved.
    ///
    /// The long way is taken if something else is due, or another class goes first. The running task may have been charged
    /// then, and the arbiter may know that it was served; neither changes anything if done again.
    #[inline(always)]
    pub(super) fn rotate<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut guard: Held<'a, C, R>,
        now: Timestamp,
    ) -> SchedResult<Decision<C>> {
        let long_way = |guard| self.decide(shared, guard, now, Leave::Yield, None, None);
        let state = &mut *guard;
        let timer = state.timers.due();
        let quiet = timer > now
            && !state.has_domains
            && !state.surplus
            && state.owed.is_none()
            && state.offer == Timestamp::MAX;
        let Some(key) = state.current.filter(|_| quiet) else { return long_way(guard) };
        let task = slot(&mut state.slab, key);
        let class = task.sched.class;
        let alone = state.ready.is_empty();
        if task.sched.killed || task.sched.dirty || !(alone || state.ready.contains(class)) {
            return long_way(guard);
        }
        let ran = now.since(state.charged);
        if !ran.is_zero() {
            state.charged = now;
            state.counts.total_cpu_time += ran.as_nanos();
            task.charge(ran, state.cpu, &mut state.classes, &state.limits, now);
            state.arbiter.charge(class, ran, now);
        }
        let limited = task.sched.limited;
        if limited {
            // Whatever else changes its class makes it dirty.
            let exhausted = task.sched.server.as_ref().is_some_and(|server| server.is_exhausted());
            if exhausted || task.sched.duty.reservation().is_some() || task.urgency().class != class {
                return long_way(guard);
            }
        }
        let queue = &mut state.classes[class.rank()];
        if alone {
            task.stats.voluntary_yields += 1;
            state.left_voluntarily = true;
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, state.ready);
            state.until = task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now);
            let (id, context) = (task.id, task.context);
            let next = Next { id, context, class, switch: false, waited: Duration::ZERO };
            let until = (state.until != Timestamp::MAX).then_some(state.until);
            let reason = Reason::Continue;
            return Ok(Decision { next: Some(next), until, reason, lost: None, interrupt: None, vacate: false });
        }
        if state.balance.due <= now && !state.stealable.is_empty() {
            return long_way(guard);
        }
        state.arbiter.begin_wait(class, now);
        let chosen = state.arbiter.choose(state.ready, now).filter(|&(chosen, _)| chosen == class && queue.is_sound());
        let Some((_, reason)) = chosen else { return long_way(guard) };

        // The one goes.
        let gone = task.id;
        task.stats.voluntary_yields += 1;
        state.left_voluntarily = true;
        task.state = TaskState::Ready;
        task.stats.time_slice = 0;
        if limited && task.sched.credit.is_some() {
            task.deadline = Some(now + task.sched.target);
            if task.sched.inherited.is_none() {
                // The short way to the same.
                task.sched.entity.deadline = task.urgency().deadline;
            } else {
                task.keep_up(&mut *queue.policy, now);
            }
        }
        queue.admit(&mut task.sched, now);
        let selected = queue.policy.exchange(&mut task.sched.entity, Arrival::Yield, now);
        let selected = selected.and_then(|key| {
            let task = state.slab.get_mut(key.index())?.as_mut()?;
            (task.is_queued() && task.sched.class == class).then_some((key, task))
        });
        let Some((next, task)) = selected else {
            state.current = None;
            state.ready_count += 1;
            state.recount(class);
            state.distrust(class, now);
            shared.unsaved.store(gone.0, Ordering::Release);
            return self.decide(shared, guard, now, Leave::Yield, Some(gone), None);
        };

        // The other comes.
        task.state = TaskState::Running;
        let waited = queue.release(&mut task.sched, now);
        state.stealable.set(class, queue.stealable > 0);
        state.current = Some(next);
        state.charged = now;
        task.stats.last_scheduled = now;
        task.sched.dirty = false;
        if task.stats.time_slice == 0 {
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, state.ready);
        }
        let switch = task.id != gone;
        let decided = Next { id: task.id, context: task.context, class, switch, waited };
        if switch {
            task.stats.context_switches += 1;
            state.counts.record_switch(true);
            shared.unsaved.store(gone.0, Ordering::Release);
        }
        let mut until = task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now);
        debug_assert_eq!(state.load, state.summary(), "one for another: nothing new for other CPUs");
        let interrupt = self.find_taker(state, true, now);
        if state.surplus && interrupt.is_some() {
            until = until.min(now + Duration::from_nanos(1));
        }
        state.until = until;
        let until = (until != Timestamp::MAX).then_some(until);
        let lost = state.ready.first();
        Ok(Decision { next: Some(decided), until, reason, lost, interrupt, vacate: false })
    }
}
