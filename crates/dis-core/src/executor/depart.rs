//! The short way through the second most frequent decision: the running task waits, and one that is ready here takes its place.
//!
//! As for a yield ([`rotate`](super::rotate)), the answer, and every trace it leaves, is that of the long way (`leave`, `pick`,
//! `conclude`); a test compares the two.

use lock_api::RawMutex;

use super::{Decision, Executor, Held, Leave};
use crate::api::{BlockReason, SchedResult, TaskState, Timestamp};
use crate::scheduler::Cpu;
use crate::scheduler::slab::slot;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The running task waits until it is woken. No task's registers are unsaved.
    ///
    /// The long way is taken if something else is due, or nothing is ready here. The running task may have been charged then,
    /// which changes nothing if done again.
    #[inline(always)]
    pub(super) fn depart<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut guard: Held<'a, C, R>,
        now: Timestamp,
        reason: BlockReason,
    ) -> SchedResult<Decision<C>> {
        let long_way = |guard| self.decide(shared, guard, now, Leave::Block(reason, None), None, None);
        let state = &mut *guard;
        let timer = state.timers.due();
        // A child that waits beside the task is no hindrance if it is the only one: it is this one's turn now.
        let offers = state.offer != Timestamp::MAX && !(state.offer > now && state.ready_count == 1);
        let balances = state.balance.due <= now && !state.stealable.is_empty();
        let quiet = timer > now && !state.surplus && state.owed.is_none() && !offers && !balances;
        let Some(key) = state.current.filter(|_| quiet && !state.ready.is_empty()) else { return long_way(guard) };
        let task = slot(&mut state.slab, key);
        if task.sched.carries()
            || task.sched.killed
            || task.sched.token
            || task.sched.is_realtime()
            || !task.affinity.contains(state.seat)
        {
            return long_way(guard);
        }
        let class = task.sched.class;
        let ran = now.since(state.charged);
        if !ran.is_zero() {
            state.charged = now;
            state.counts.total_cpu_time += ran.as_nanos();
            task.charge(ran, state.cpu, &mut state.classes, &state.limits, now);
            state.arbiter.charge(class, ran, now);
        }

        // The one goes.
        let gone = task.id;
        task.state = TaskState::Blocked;
        task.sched.block_reason = Some(reason);
        task.stats.blocks += 1;
        task.stats.time_slice = 0;
        task.end_burst(false);
        state.classes[class.rank()].policy.on_block(&mut task.sched.entity, now);
        state.arbiter.begin_wait(class, now);
        state.current = None;
        state.left_voluntarily = true;

        self.succeed(shared, guard, gone, false, now)
    }
}
