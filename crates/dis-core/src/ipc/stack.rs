//! The stacks of calls on one CPU: who is on whose time.

use super::{Calls, NOBODY};
use crate::api::{BlockReason, TaskId};
use crate::policy::TaskKey;
use crate::scheduler::Urgency;
use crate::scheduler::slab::peek;
use crate::scheduler::state::CpuState;

impl<C> CpuState<C> {
    /// Whose stack runs on the time of `key`.
    #[inline(always)]
    pub fn runner(&self, key: TaskKey) -> TaskKey {
        let sched = &peek(&self.slab, key).sched;
        if sched.carries() { sched.calls.top } else { key }
    }

    /// The server whose stack runs on the time of `carrier`; it counts a switch unless its registers are live.
    #[cold]
    pub fn count_for_server(&mut self, carrier: TaskKey, live: TaskId) -> TaskId {
        let runner = self.runner(carrier);
        let task = self.task(runner);
        task.stats.context_switches += u64::from(task.id != live);
        task.id
    }

    /// On whose time the stack of `key` runs, or waits.
    pub fn carrier(&self, key: TaskKey) -> TaskKey {
        let on = peek(&self.slab, key).sched.calls.on;
        if on == NOBODY { key } else { on }
    }

    /// The servers on the time of `key`, the last to be called first.
    pub fn servers(&self, key: TaskKey) -> impl Iterator<Item = TaskKey> + '_ {
        let mut next = peek(&self.slab, key).sched.calls.top;
        core::iter::from_fn(move || {
            let server = next;
            (server != NOBODY).then(|| {
                next = peek(&self.slab, server).sched.calls.below;
                server
            })
        })
    }

    /// The server that the stack of `key` waits for, if it is in a call.
    pub fn called_by(&self, key: TaskKey) -> Option<TaskKey> {
        let calls = peek(&self.slab, key).sched.calls;
        if calls.on != NOBODY {
            return self.servers(calls.on).find(|&server| peek(&self.slab, server).sched.calls.below == key);
        }
        self.servers(key).last()
    }

    /// Whether `id` is that of `key` or of a server on its time.
    pub fn holds(&self, key: TaskKey, id: TaskId) -> bool {
        let task = peek(&self.slab, key);
        task.id == id || (task.sched.carries() && self.servers(key).any(|s| peek(&self.slab, s).id == id))
    }

    /// In which control block that is noted now which belongs to the stack of `key`; whether that is one which competes.
    pub fn place_of_stack(&self, key: TaskKey) -> (TaskKey, bool) {
        match self.called_by(key) {
            Some(above) => (above, false),
            None => (self.carrier(key), true),
        }
    }

    /// How urgent those who wait for `key`, or for a server on its time, make it. True: that is new.
    pub fn relend(&mut self, key: TaskKey) -> bool {
        let lent = peek(&self.slab, key).sched.lent;
        let most = self.servers(key).fold(lent, |most, server| higher(most, peek(&self.slab, server).sched.lent));
        let task = self.task(key);
        let new = task.sched.inherited != most;
        task.sched.inherited = most;
        new
    }
}

impl<C: Copy> CpuState<C> {
    /// What belongs to a stack changes places.
    fn exchange(&mut self, a: TaskKey, b: TaskKey) {
        let of = |task: &crate::api::Task<C>| (task.context, task.sched.token, task.sched.movable);
        let (first, second) = (of(peek(&self.slab, a)), of(peek(&self.slab, b)));
        for (key, (context, token, movable)) in [(a, second), (b, first)] {
            let task = self.task(key);
            task.context = context;
            task.sched.token = token;
            task.sched.movable = movable;
        }
        if first.2 != second.2 {
            self.recount_stealable(a);
        }
    }

    /// The time of `carrier` goes to the stack of `server`, which waits to be called. True: what is lent to it makes the carrier more
    /// urgent.
    pub fn donate(&mut self, carrier: TaskKey, server: TaskKey) -> bool {
        self.leaving.retain(|&other| other != server);
        self.task(carrier).sched.limited = true;
        self.task(server).sched.limited = true;
        self.exchange(carrier, server);
        let below = core::mem::replace(&mut self.task(carrier).sched.calls.top, server);
        let task = self.task(server);
        task.sched.calls = Calls { top: NOBODY, on: carrier, below };
        task.sched.block_reason = Some(BlockReason::Ipc);
        task.sched.lent.is_some() && self.relend(carrier)
    }

    /// The stack of the last server to be called leaves the time of `carrier`. Answers the server, and whether the carrier is less
    /// urgent now.
    pub fn give_back(&mut self, carrier: TaskKey) -> Option<(TaskKey, bool)> {
        let server = peek(&self.slab, carrier).sched.calls.top;
        if server == NOBODY {
            return None;
        }
        self.exchange(carrier, server);
        self.clear_timer(server);
        let task = self.task(server);
        let below = core::mem::replace(&mut task.sched.calls, Calls::NONE).below;
        task.sched.block_reason = Some(BlockReason::Receive);
        task.sched.inherited = task.sched.lent;
        let (lent, killed) = (task.sched.lent.is_some(), task.sched.killed);
        self.task(carrier).sched.calls.top = below;
        if !killed {
            self.revoked.retain(|&other| other != server);
        }
        Some((server, lent && self.relend(carrier)))
    }

    /// The stacks of `server` and of those above it leave the time of `carrier` for that of `server`.
    pub fn part(&mut self, carrier: TaskKey, server: TaskKey) {
        self.exchange(carrier, server);
        self.clear_timer(server);
        if !peek(&self.slab, server).sched.killed {
            self.revoked.retain(|&other| other != server);
        }
        let below = peek(&self.slab, server).sched.calls.below;
        let top = core::mem::replace(&mut self.task(carrier).sched.calls.top, below);
        self.task(server).sched.calls = Calls::NONE;
        if top != server {
            self.task(server).sched.calls.top = top;
            let mut next = top;
            while next != NOBODY {
                let calls = &mut self.task(next).sched.calls;
                calls.on = server;
                if calls.below == server {
                    calls.below = NOBODY;
                }
                next = calls.below;
            }
        }
        self.relend(carrier);
        self.relend(server);
        self.recount_stealable(carrier);
        self.recount_stealable(server);
    }
}

/// The more urgent of two.
fn higher(a: Option<Urgency>, b: Option<Urgency>) -> Option<Urgency> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.exceeds(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}
