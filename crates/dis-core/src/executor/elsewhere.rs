//! The steps of a decision that concern other CPUs: what they have asked for, who is to be told, and where work may be had.

use lock_api::RawMutex;

use super::{Executor, Held, Reason, Turn};
use crate::api::{TaskId, Timestamp};
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Others have asked this CPU to look around, or a task here is to leave it.
    #[cold]
    pub(super) fn attend<'a>(
        &'a self,
        state: Held<'a, C, R>,
        turn: &mut Turn,
        asked: bool,
        now: Timestamp,
    ) -> Held<'a, C, R> {
        let cpu = state.cpu;
        drop(state);
        let pulled = if asked { self.pull(cpu, turn.receiver, now) } else { None };
        let taker = pulled.and_then(|pulled| pulled.taker);
        // What it was asked to take may be there still.
        let taker = taker.or_else(|| if asked { self.pass_on(cpu, now) } else { None });
        // It may not be eligible here (caps are per CPU); then an idle CPU should have it.
        turn.pulled = pulled.is_some();
        let mut state = self.lock(cpu);
        turn.tell(&mut state, taker);
        while !state.leaving.is_empty() {
            drop(state);
            let flushed = self.flush_evicted(cpu, now);
            state = self.lock(cpu);
            let Some(receiver) = flushed else { break };
            turn.tell(&mut state, receiver);
        }
        state
    }

    /// Somebody waits for the end of a task that has ended here.
    pub(super) fn tell_of_end<'a>(
        &'a self,
        mut state: Held<'a, C, R>,
        turn: &mut Turn,
        joiner: TaskId,
        now: Timestamp,
    ) -> Held<'a, C, R> {
        if self.unpark_here(&mut state, joiner, now).is_some() {
            return state;
        }
        // The lock is let go. The task that has left must not look as if its registers were saved.
        self.tasks.cpus[state.cpu].unsaved.store(turn.live.0, Ordering::Release);
        self.tell_joiner(state, turn, joiner, now)
    }

    /// The joiner may live on any CPU, so its lock is taken on its own.
    #[inline(never)]
    fn tell_joiner<'a>(
        &'a self,
        state: Held<'a, C, R>,
        turn: &mut Turn,
        joiner: TaskId,
        now: Timestamp,
    ) -> Held<'a, C, R> {
        let cpu = state.cpu;
        drop(state);
        let woken = self.notify(now, Some(joiner)).filter(|&other| other != cpu);
        let mut state = self.lock(cpu);
        turn.tell(&mut state, woken);
        state
    }

    /// Nothing is ready here: takes a task over from another CPU, if there is one.
    #[inline(never)]
    pub(super) fn look_elsewhere<'a>(
        &'a self,
        mut state: Held<'a, C, R>,
        turn: &mut Turn,
        now: Timestamp,
    ) -> (Held<'a, C, R>, Reason) {
        let cpu = state.cpu;
        self.publish(&mut state);
        drop(state);
        if let Some(receiver) = turn.receiver {
            // What was just given away is not to come back: it runs there, and something else is found for this CPU.
            self.lock(receiver).surplus = true;
        }
        let stolen = self.pull(cpu, turn.receiver, now);
        let mut state = self.lock(cpu);
        turn.tell(&mut state, turn.receiver);
        turn.tell(&mut state, stolen.and_then(|pulled| pulled.taker));
        let reason = self.pick(&mut state, now);
        let stolen = stolen.is_some() && state.current.is_some();
        (state, if stolen { Reason::Stolen } else { reason })
    }
}
