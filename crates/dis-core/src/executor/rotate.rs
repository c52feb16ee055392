//! The short way through the most frequent decision: the running task yields, and the next of its class takes its place.
//!
//! The answer, and every trace it leaves, is that of the long way (`leave`, `pick`, `conclude`); a test compares the two.
//! It is shorter because nothing is counted up that the next step counts down again, and because each of the two tasks
//! is looked up once or twice instead of ten times.

use lock_api::RawMutex;

use super::{Decision, Executor, Next};
use crate::api::{Duration, TaskId, TaskState, Timestamp};
use crate::intent::IntentClass;
use crate::optimizer::CpuLoad;
use crate::policy::Arrival;
use crate::scheduler::state::{CpuState, slot};
use crate::sync::Ordering;

/// What has become of a yield.
pub(super) enum Rotation<C> {
    /// All is done.
    Decided(Decision<C>),
    /// The task yields no further than to its queue, as the policy's answer was odd: the long way goes on with the choice.
    Requeued,
    /// The long way has to be taken: something else is due, or another class goes first. The task runs still; it has
    /// been charged, and the arbiter knows that it was served, neither of which changes anything if done again.
    Refused,
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Lets the next of its class take the place of the running task, which yields.
    #[inline(always)]
    pub(super) fn rotate(&self, state: &mut CpuState<C>, live: TaskId, now: Timestamp) -> Rotation<C> {
        let timer = state.timers.next().unwrap_or(Timestamp::MAX);
        let Some(key) = state.current else { return Rotation::Refused };
        if timer <= now || state.surplus || state.owed.is_some() {
            return Rotation::Refused;
        }
        let task = slot(&mut state.slab, key);
        let class = task.sched.class;
        if task.sched.killed || task.sched.dirty || !state.ready.contains(class) {
            return Rotation::Refused;
        }
        state.charge(now);
        let task = slot(&mut state.slab, key);
        let urgency = task.urgency();
        if urgency.class != class || task.sched.server.as_ref().is_some_and(|server| server.is_exhausted()) {
            return Rotation::Refused;
        }
        state.arbiter.begin_wait(class, now);
        let Some((chosen, reason)) = state.arbiter.choose(state.ready, now) else { return Rotation::Refused };
        let queue = &mut state.classes[class.rank()];
        if chosen != class || queue.policy.len() != queue.queued {
            return Rotation::Refused;
        }

        // The one goes.
        task.stats.voluntary_yields += 1;
        state.left_voluntarily = true;
        task.state = TaskState::Ready;
        task.stats.time_slice = 0;
        if let IntentClass::Interactive { target_latency_us } = task.intent.class {
            task.deadline = Some(now + Duration::from_micros(target_latency_us));
            task.sched.entity.deadline = task.urgency().deadline;
        }
        task.sched.ready_since = now;
        task.sched.queued = true;
        queue.policy.on_ready(&mut task.sched.entity, Arrival::Yield, now);
        task.sched.counted_stealable = task.may_be_stolen();
        let joined = u32::from(task.sched.counted_stealable);
        let stat = &mut state.stats.queue_stats[class];
        stat.record_enqueue();
        let selected = queue.policy.select(now).filter(|key| {
            let task = state.slab.get(key.index()).and_then(Option::as_ref);
            task.is_some_and(|task| task.is_queued() && task.sched.class == class)
        });
        let Some(next) = selected else {
            state.current = None;
            state.ready_count += 1;
            queue.queued += 1;
            queue.stealable += joined;
            if joined > 0 {
                state.stealable.insert(class);
            }
            self.distrust(state, class, now);
            return Rotation::Requeued;
        };

        // The other comes.
        let task = slot(&mut state.slab, next);
        task.state = TaskState::Running;
        task.sched.queued = false;
        let left = u32::from(core::mem::take(&mut task.sched.counted_stealable));
        queue.stealable = queue.stealable + joined - left;
        if queue.stealable > 0 {
            state.stealable.insert(class);
        } else {
            state.stealable.remove(class);
        }
        let waited = now.since(task.sched.ready_since);
        stat.record_dequeue(waited);
        state.current = Some(next);
        state.charged = now;
        task.stats.last_scheduled = now;
        task.sched.dirty = false;
        if task.stats.time_slice == 0 {
            task.stats.time_slice = queue.new_slice(&task.sched.entity, class, state.ready);
        }
        let switch = task.id != live;
        let decided = Next { id: task.id, context: task.context, class, switch, waited };
        let mut unsaved = TaskId::INVALID;
        if switch {
            task.stats.context_switches += 1;
            state.stats.record_switch(true);
            unsaved = live;
        }
        let mut until = task.horizon(timer, &state.arbiter, state.ready, &state.limits, now);

        let waiting = state.ready.first();
        let load = CpuLoad {
            running: class as u8,
            waiting: waiting.map_or(class as u8, |class| class as u8),
            ready: state.ready_count,
        };
        self.tasks.cpus[state.cpu].unsaved.store(unsaved.0, Ordering::Release);
        self.publish_load(state, load);
        let interrupt = self.find_taker(state, true);
        if state.surplus && interrupt.is_some() {
            until = until.min(now + Duration::from_nanos(1));
        }
        state.until = until;
        let until = (until != Timestamp::MAX).then_some(until);
        Rotation::Decided(Decision { next: Some(decided), until, reason, lost: waiting, interrupt, vacate: false })
    }
}
