//! The running task wakes another, and gives up the CPU to it if that is the decision anyway.
//!
//! A wake-up and a question are two locks, and what the first finds out (does the woken task go first?) the second reckons again. Asked
//! together they are one lock, and the switch is direct: nothing is announced that is over at once. The answer, and every
//! trace it leaves, is that of the two, one after the other; a test compares them.

use lock_api::RawMutex;

use super::{Decision, Executor, Held, Leave, Next, Turn};
use crate::api::{Duration, SchedError, SchedResult, TaskId, Timestamp};
use crate::executor::Wake;
use crate::policy::Arrival;
use crate::scheduler::Cpu;
use crate::scheduler::slab::slot;
use crate::sync::Ordering;

/// What came of a wake-up by the running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roused<C> {
    /// The task has been woken, and that is all: it does not go first ([`Leave::Ask`]), it is at home elsewhere or was not blocked, or something
    /// else is due here. As after [`unpark`](crate::scheduler::TaskManager::unpark).
    Wake(Wake),
    /// The task has been woken, and this is the answer to the question. As after [`schedule`](Executor::schedule).
    Decision(Decision<C>),
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The running task [wakes](crate::scheduler::TaskManager::unpark) `id`, and leaves as [`schedule`](Self::schedule) says; but with
    /// [`Leave::Ask`] only if the CPU must ask at once, as the task that has been woken goes first. One lock if the two are at home on this CPU.
    /// O(log n), no allocation.
    ///
    /// # Errors
    /// Those of `unpark`, [`SchedError::NoCpu`], and those of `schedule` if the task has been woken on this CPU.
    pub fn unpark_and(&self, cpu: usize, now: Timestamp, id: TaskId, leave: Leave) -> SchedResult<Roused<C>> {
        let shared = self.tasks.cpus.get(cpu).ok_or(SchedError::NoCpu)?;
        let mut state = shared.state.lock();
        let undisturbed = !shared.look_around.load(Ordering::Relaxed)
            && state.current.is_some()
            && state.leaving.is_empty()
            && state.revoked.is_empty()
            && shared.unsaved.load(Ordering::Relaxed) == TaskId::INVALID.0;
        let woken = if undisturbed { self.unpark_here(&mut state, id, now) } else { None };
        let Some((key, placement)) = woken else {
            drop(state);
            return self.unpark(now, id).map(Roused::Wake);
        };
        if leave == Leave::Ask {
            let wake = self.assess(&mut state, key, placement, now);
            if !wake.interrupt {
                return Ok(Roused::Wake(self.settle(&mut state, key, wake)));
            }
        }
        if self.cpu_count() > 1 {
            // Others may have a use for it.
            let wake = Wake { cpu, interrupt: false, until: None, placement };
            let _ = self.settle(&mut state, key, wake);
        }
        let decision = match leave {
            // It begins anew on another CPU, which the short ways do not see to.
            _ if !state.leaving.is_empty() => self.decide(shared, state, now, leave, None, None),
            Leave::Ask => self.oblige(shared, state, now),
            Leave::Block(reason, None) => self.depart(shared, state, now, reason),
            _ => self.decide(shared, state, now, leave, None, None),
        };
        match decision {
            // The host measures, and asks then.
            Err(SchedError::Unmeasured) => Ok(Roused::Wake(Wake { cpu, interrupt: true, until: None, placement })),
            decision => decision.map(Roused::Decision),
        }
    }

    /// Somebody goes before the running task: the short way for [`Leave::Ask`] after a wake-up. No task's registers are unsaved.
    ///
    /// The long way is taken if something else is due. The running task may have been charged then, which changes nothing if done again.
    #[inline(always)]
    fn oblige<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut guard: Held<'a, C, R>,
        now: Timestamp,
    ) -> SchedResult<Decision<C>> {
        let long_way = |guard| self.decide(shared, guard, now, Leave::Ask, None, None);
        let state = &mut *guard;
        let timer = state.timers.due();
        let balances = state.balance.due <= now && !state.stealable.is_empty();
        let quiet = timer > now && !state.surplus && state.owed.is_none() && state.offer == Timestamp::MAX && !balances;
        let Some(key) = state.current.filter(|_| quiet) else { return long_way(guard) };
        state.charge(now);
        let ready = state.ready;
        let task = slot(&mut state.slab, key);
        let exhausted = task.sched.server.is_some_and(|server| server.is_exhausted());
        if task.sched.carries()
            || task.sched.killed
            || task.sched.dirty
            || task.sched.is_realtime()
            || task.stats.time_slice == 0
            || (task.sched.limited && (exhausted || task.out_of_quota(now).is_some() || task.changes_class(ready)))
        {
            return long_way(guard);
        }
        let (gone, class) = (task.id, task.sched.class);
        let chosen = state.arbiter.choose(ready.with(class), now).map(|(class, _)| class);
        if chosen == Some(class) && !(ready.contains(class) && self.peer_preempts(state, key, now)) {
            return long_way(guard);
        }
        self.preempted(state, key);
        self.requeue(state, key, Arrival::Preempt, now);
        self.succeed(shared, guard, gone, true, now)
    }

    /// The task with the id `gone` has left the CPU: another comes. `surplus`: others may take what is ready here.
    #[inline(always)]
    pub(super) fn succeed<'a>(
        &'a self,
        shared: &'a Cpu<C, R>,
        mut guard: Held<'a, C, R>,
        gone: TaskId,
        surplus: bool,
        now: Timestamp,
    ) -> SchedResult<Decision<C>> {
        let state = &mut *guard;
        let why = self.pick(state, now);
        let Some(key) = state.current else {
            // No policy's answer was right; those who are ready have gone to another CPU, or wait for nobody.
            let mut turn = Turn { live: gone, surplus, pulled: false, receiver: None, interrupt: None };
            shared.unsaved.store(gone.0, Ordering::Release);
            let (guard, why) = self.look_elsewhere(guard, &mut turn, now);
            return Ok(self.conclude(guard, turn, why, now));
        };
        state.offer = Timestamp::MAX;
        let timer = state.timers.due();
        let task = slot(&mut state.slab, key);
        let carries = task.sched.carries();
        let switch = carries || task.id != gone;
        task.stats.context_switches += u64::from(!carries && switch);
        let waited = now.since(task.sched.ready_since);
        let mut next = Next { id: task.id, context: task.context, class: task.sched.class, switch, waited };
        state.until = task.horizon(timer, &mut state.arbiter, state.ready, &state.limits, now);
        if carries {
            next.id = state.count_for_server(key, gone);
        }
        if switch {
            let voluntary = state.left_voluntarily;
            state.counts.record_switch(voluntary);
            shared.unsaved.store(gone.0, Ordering::Release);
        }
        self.publish(state);
        let interrupt = if surplus && state.ready_count > 0 { self.find_taker(state, true, now) } else { None };
        if state.surplus && interrupt.is_some() {
            state.until = state.until.min(now + Duration::from_nanos(1));
        }
        let until = (state.until != Timestamp::MAX).then_some(state.until);
        let lost = state.ready.first();
        Ok(Decision { next: Some(next), until, reason: why, lost, interrupt, vacate: false })
    }
}
