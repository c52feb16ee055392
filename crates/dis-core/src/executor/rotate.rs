//! The short way through the most frequent decision: the running task yields, and the next of its class takes its place,
//! or it is alone and goes on.
//!
//! The answer, and every trace it leaves, is that of the long way (`leave`, `pick`, `conclude`); a test compares the two.
//! It is shorter because nothing is counted up that the next step counts down again, and because each of the two tasks
//! is looked up once instead of five times.

use lock_api::RawMutex;

use super::{Decision, Executor, Next, Reason};
use crate::api::{Duration, TaskId, TaskState, Timestamp};
use crate::intent::IntentClass;
use crate::policy::Arrival;
use crate::scheduler::state::{CpuState, slot};
use crate::sync::Ordering;

/// What has become of a yield.
pub(super) enum Rotation<C> {
    /// All is done.
    Decided(Decision<C>),
    /// The task yields no further than to its queue, as the policy's answer was odd: the long way goes on with the choice.
    /// Its registers are marked as unsaved.
    Requeued(TaskId),
    /// The long way has to be taken: something else is due, or another class goes first. The task runs still; it has
    /// been charged, and the arbiter knows that it was served, neither of which changes anything if done again.
    Refused,
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Lets the next of its class take the place of the running task, which yields. No task's registers are unsaved.
    #[inline(always)]
    pub(super) fn rotate(&self, state: &mut CpuState<C>, now: Timestamp) -> Rotation<C> {
        let timer = state.timers.due();
        let Some(key) = state.current else { return Rotation::Refused };
        if timer <= now || state.surplus || state.owed.is_some() {
            return Rotation::Refused;
        }
        let task = slot(&mut state.slab, key);
        let class = task.sched.class;
        let alone = state.ready.is_empty();
        if task.sched.killed || task.sched.dirty || !(alone || state.ready.contains(class)) {
            return Rotation::Refused;
        }
        let ran = now.since(state.charged);
        if !ran.is_zero() {
            state.charged = now;
            state.counts.total_cpu_time += ran.as_nanos();
            task.charge(ran, &mut state.classes, &state.limits, now);
            state.arbiter.charge(class, ran, now);
        }
        // What changed otherwise made it dirty.
        let displaced = task.sched.credit.is_some() && task.urgency().class != class;
        if displaced || task.sched.server.as_ref().is_some_and(|server| server.is_exhausted()) {
            return Rotation::Refused;
        }
        let queue = &mut state.classes[class.rank()];
        if alone {
            task.stats.voluntary_yields += 1;
            state.left_voluntarily = true;
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, state.ready);
            state.until = task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now);
            let (id, context) = (task.id, task.context);
            let next = Some(Next { id, context, class, switch: false, waited: Duration::ZERO });
            return Rotation::Decided(Decision {
                next,
                until: (state.until != Timestamp::MAX).then_some(state.until),
                reason: Reason::Continue,
                lost: None,
                interrupt: None,
                vacate: false,
            });
        }
        state.arbiter.begin_wait(class, now);
        let Some((chosen, reason)) = state.arbiter.choose(state.ready, now) else { return Rotation::Refused };
        if chosen != class || !queue.is_sound() {
            return Rotation::Refused;
        }

        // The one goes.
        let gone = task.id;
        task.stats.voluntary_yields += 1;
        state.left_voluntarily = true;
        task.state = TaskState::Ready;
        task.stats.time_slice = 0;
        if task.sched.credit.is_some()
            && let IntentClass::Interactive { target_latency_us } = task.intent.class
        {
            task.deadline = Some(now + Duration::from_micros(target_latency_us));
            task.sched.entity.deadline = task.urgency().deadline;
        }
        task.sched.ready_since = now;
        task.sched.queued = true;
        let joined = i32::from(task.sched.stealable);
        queue.stat.record_enqueue();
        let selected = queue.policy.exchange(&mut task.sched.entity, Arrival::Yield, now);
        let selected = selected.and_then(|key| {
            let task = state.slab.get_mut(key.index())?.as_mut()?;
            (task.is_queued() && task.sched.class == class).then_some((key, task))
        });
        let Some((next, task)) = selected else {
            state.current = None;
            state.ready_count += 1;
            state.count_stealable(class, joined);
            self.distrust(state, class, now);
            self.tasks.cpus[state.cpu].unsaved.store(gone.0, Ordering::Release);
            return Rotation::Requeued(gone);
        };

        // The other comes.
        task.state = TaskState::Running;
        task.sched.queued = false;
        let waited = now.since(task.sched.ready_since);
        queue.stat.count_dequeue(waited);
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
            self.tasks.cpus[state.cpu].unsaved.store(gone.0, Ordering::Release);
        }
        let mut until = task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now);
        let difference = joined - i32::from(task.sched.stealable);
        if difference != 0 {
            state.count_stealable(class, difference);
        }
        debug_assert_eq!(state.load, state.summary(), "one for another: nothing new for other CPUs");
        let interrupt = self.find_taker(state, true);
        if state.surplus && interrupt.is_some() {
            until = until.min(now + Duration::from_nanos(1));
        }
        state.until = until;
        let until = (until != Timestamp::MAX).then_some(until);
        let lost = state.ready.first();
        Rotation::Decided(Decision { next: Some(decided), until, reason, lost, interrupt, vacate: false })
    }
}
