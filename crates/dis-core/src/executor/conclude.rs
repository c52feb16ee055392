//! The answer to a question, from the state that the steps before have brought about.

use lock_api::RawMutex;

use super::{Decision, Executor, Held, Next, Reason, Turn};
use crate::api::{Duration, TaskId, Timestamp};
use crate::sync::Ordering;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The answer.
    #[inline(always)]
    pub(super) fn conclude(
        &self,
        mut state: Held<'_, C, R>,
        mut turn: Turn,
        reason: Reason,
        now: Timestamp,
    ) -> Decision<C> {
        let cpu = state.cpu;
        // Children wait beside their parent only while it runs.
        turn.surplus |= state.offer != Timestamp::MAX && reason != Reason::Continue;
        let mut interrupt = turn.interrupt;
        if turn.surplus || turn.pulled || state.ready_count == 0 {
            // The child that waits beside its parent is offered below, or waits no more.
            state.offer = Timestamp::MAX;
        }
        let mut until = self.horizon(&mut state, now);
        let lost = state.ready.first();
        let mut next = None;
        if let Some(key) = state.current {
            let task = state.task(key);
            let waited = if reason == Reason::Continue { Duration::ZERO } else { now.since(task.sched.ready_since) };
            let mut chosen =
                Next { id: task.id, context: task.context, class: task.sched.class, switch: false, waited };
            if task.sched.carries() {
                chosen.id = state.count_for_server(key, turn.live);
            } else if task.id != turn.live {
                task.stats.context_switches += 1;
            }
            chosen.switch = chosen.id != turn.live;
            next = Some(chosen);
        }
        let unsaved = match &next {
            Some(next) if !next.switch => TaskId::INVALID,
            _ => turn.live,
        };
        if let Some(Next { switch: true, .. }) = next {
            let voluntary = state.left_voluntarily;
            state.counts.record_switch(voluntary);
        }
        let (mut vacate, mut leave_soon) = (false, false);
        for place in 0..state.leaving.len() {
            let key = state.leaving[place];
            let live = state.get(key).is_some() && state.holds(key, unsaved);
            (vacate, leave_soon) = (vacate || (live && next.is_none()), leave_soon || !live);
        }
        self.tasks.cpus[cpu].unsaved.store(unsaved.0, Ordering::Release);
        self.publish(&mut state);
        if (turn.surplus || turn.pulled) && state.ready_count > 0 {
            if interrupt.is_none() {
                interrupt = self.find_taker(&mut state, turn.surplus, now);
            } else {
                state.surplus = true;
            }
        }
        if let Some(owed) = &mut state.owed {
            interrupt = interrupt.or_else(|| {
                let first = owed.iter().next();
                first.inspect(|&first| owed.remove(first))
            });
            if owed.is_empty() {
                state.owed = None;
            }
        }
        leave_soon |= !state.revoked.is_empty();
        if leave_soon || state.owed.is_some() || (state.surplus && interrupt.is_some()) {
            until = until.min(now + Duration::from_nanos(1));
        }
        state.until = until;
        let until = (until != Timestamp::MAX).then_some(until);
        Decision { next, until, reason, lost, interrupt, vacate }
    }
}
