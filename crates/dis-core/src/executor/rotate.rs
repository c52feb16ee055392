//! The short way through the most frequent decisions: the running task yields, or its slice is over, and the next of its class takes
//! its place; or it yields, is alone and goes on.
//!
//! The answer, and every trace it leaves, is that of the long way (`leave`, `pick`, `conclude`); a test compares the two.
//! It is shorter because nothing is counted up that the next step counts down again, and because each of the two tasks
//! is looked up once instead of five times.

use lock_api::RawMutex;

use super::{Decision, Executor, Held, Leave, Next, Reason};
use crate::api::{Duration, SchedResult, TaskState, Timestamp};
use crate::policy::Arrival;
use crate::scheduler::Cpu;
use crate::scheduler::slab::{peek, slot};
use crate::scheduler::state::CpuState;
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Whether the slice of the running task is over, and nobody is ready but others of its class.
    #[inline(always)]
    pub(super) fn ends_its_slice(state: &CpuState<C>, now: Timestamp) -> bool {
        state.current.is_some_and(|key| {
            let task = peek(&state.slab, key);
            let over = task.stats.time_slice <= now.since(state.charged).as_nanos();
            over && state.arbiter.is_left_to(task.sched.class, state.ready)
        })
    }

    /// The same as for a yield, for a task that [ends its slice](Self::ends_its_slice).
    #[inline(never)]
    pub(super) fn expire<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        guard: Held<'a, C, R>,
        now: Timestamp,
    ) -> SchedResult<Decision<C>> {
        self.rotate::<true>(shared, guard, now)
    }

    /// Lets the next of its class take the place of the running task, which yields, or has come to the end of its slice (`EXPIRED`). No
    /// task's registers are unsaved.
    ///
    /// The long way is taken if something else is due, or another class goes first. The running task may have been charged
    /// then, and the arbiter may know that it was served; neither changes anything if done again.
    #[inline(always)]
    pub(super) fn rotate<'a, const EXPIRED: bool>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut guard: Held<'a, C, R>,
        now: Timestamp,
    ) -> SchedResult<Decision<C>> {
        let leave = if EXPIRED { Leave::Ask } else { Leave::Yield };
        let long_way = |guard| self.decide(shared, guard, now, leave, None, None);
        let state = &mut *guard;
        let timer = state.timers.due();
        let quiet = timer > now
            && !state.has_domains
            && !state.surplus
            && state.owed.is_none()
            && state.offer == Timestamp::MAX
            && (state.balance.due > now || state.stealable.is_empty() || state.ready.is_empty());
        let Some(key) = state.current.filter(|_| quiet) else { return long_way(guard) };
        let task = slot(&mut state.slab, key);
        let (class, limited) = (task.sched.class, task.sched.limited);
        let alone = !EXPIRED && state.ready.is_empty();
        // What else changes its urgency, with the time that it has used, than its credit.
        let urgent = limited && (task.sched.inherited.is_some() || task.sched.duty.reservation().is_some());
        if task.sched.killed
            || task.sched.dirty
            || urgent
            || task.sched.carries()
            || !(alone || state.ready.contains(class))
        {
            return long_way(guard);
        }
        let ran = now.since(state.charged);
        if !ran.is_zero() {
            state.charged = now;
            state.counts.total_cpu_time += ran.as_nanos();
            task.charge_itself(ran, state.cpu, &state.limits, now);
            state.arbiter.charge(class, ran, now);
        }
        let queue = &mut state.classes[class.rank()];
        if limited {
            // Whatever else changes its class makes it dirty.
            let exhausted = task.sched.server.as_ref().is_some_and(|server| server.is_exhausted());
            if exhausted || task.urgency().class != class {
                queue.tick(&mut task.sched.entity, ran, now);
                return long_way(guard);
            }
        }
        if alone {
            queue.tick(&mut task.sched.entity, ran, now);
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
        state.arbiter.begin_wait(class, now);
        let unrivalled = state.arbiter.is_left_to(class, state.ready);
        let mut reason = Reason::ClassOrder;
        if !unrivalled || !queue.is_sound() {
            let chosen = state.arbiter.choose(state.ready, now);
            let Some((_, why)) = chosen.filter(|&(chosen, _)| chosen == class && queue.is_sound()) else {
                queue.tick(&mut task.sched.entity, ran, now);
                return long_way(guard);
            };
            reason = why;
        }

        // The one goes.
        let gone = task.id;
        if EXPIRED {
            task.stats.preemptions += 1;
        } else {
            task.stats.voluntary_yields += 1;
        }
        state.left_voluntarily = !EXPIRED;
        task.state = TaskState::Ready;
        task.stats.time_slice = 0;
        if task.sched.is_interactive() {
            task.deadline = Some(now + task.sched.target);
            // The short way to the same as by an update: it is not queued.
            task.sched.entity.deadline = task.urgency().deadline;
        }
        (task.sched.ready_since, task.sched.queued) = (now, true);
        let stealable = task.sched.stealable;
        let selected = if EXPIRED {
            queue.tick(&mut task.sched.entity, ran, now);
            queue.policy.exchange(&mut task.sched.entity, Arrival::SliceEnd, now)
        } else {
            queue.policy.rotate(&mut task.sched.entity, ran, now)
        };
        let selected = selected.and_then(|key| {
            let task = state.slab.get_mut(key.index())?.as_mut()?;
            (task.is_queued() && task.sched.class == class).then_some((key, task))
        });
        let Some((next, task)) = selected else {
            queue.admit(&mut slot(&mut state.slab, key).sched, now);
            state.current = None;
            state.ready_count += 1;
            state.recount(class);
            state.distrust(class, now);
            shared.unsaved.store(gone.0, Ordering::Release);
            return self.decide(shared, guard, now, leave, Some(gone), None);
        };

        // The other comes.
        task.state = TaskState::Running;
        let waited = queue.replace(stealable, &mut task.sched, now);
        state.stealable.set(class, queue.stealable > 0);
        state.current = Some(next);
        state.charged = now;
        task.stats.last_scheduled = now;
        task.sched.dirty = false;
        if task.stats.time_slice == 0 {
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, state.ready);
        }
        let switch = task.id != gone;
        let mut decided = Next { id: task.id, context: task.context, class, switch, waited };
        let carries = task.sched.carries();
        if switch {
            task.stats.context_switches += u64::from(!carries);
            state.counts.record_switch(!EXPIRED);
            shared.unsaved.store(gone.0, Ordering::Release);
        }
        let mut until = if unrivalled && !task.sched.limited {
            let slice = now + Duration::from_nanos(task.stats.time_slice);
            timer.min(slice).max(now + Duration::from_nanos(1))
        } else {
            task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now)
        };
        let lost = if unrivalled { Some(class) } else { state.ready.first() };
        if carries {
            decided.id = state.count_for_server(next, gone);
        }
        debug_assert_eq!(state.load, state.summary(), "one for another: nothing new for other CPUs");
        let interrupt = self.find_taker(state, true, now);
        if state.surplus && interrupt.is_some() {
            until = until.min(now + Duration::from_nanos(1));
        }
        state.until = until;
        let until = (until != Timestamp::MAX).then_some(until);
        Ok(Decision { next: Some(decided), until, reason, lost, interrupt, vacate: false })
    }
}
