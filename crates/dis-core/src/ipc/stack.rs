//! The stacks of calls on one CPU: who is on whose time.

use core::mem::{replace, swap};

use super::call::takes_calls;
use super::{Calls, NOBODY};
use crate::api::{BlockReason, Task, TaskId};
use crate::intent::QueueType;
use crate::policy::TaskKey;
use crate::scheduler::Urgency;
use crate::scheduler::slab::{missing, peek};
use crate::scheduler::state::CpuState;

/// What an exchange has brought about.
pub(crate) struct Exchanged<C> {
    /// Whose stack runs now on the carrier's time, what the host keeps of it, and the class in which it does.
    pub id: TaskId,
    pub context: C,
    pub class: QueueType,
    /// The CPU must ask soon: the carrier has been killed, or has another urgency.
    pub urgent: bool,
    /// The carrier's urgency has changed.
    pub renewed: bool,
    /// The server whose stack has left may not be on this CPU by itself.
    pub leaves: bool,
    /// A server that was unparked in mid-call, and so does not wait to be called again.
    pub woken: Option<TaskKey>,
}

impl<C: Copy> Exchanged<C> {
    #[inline(always)]
    fn new(id: TaskId, carrier: &Task<C>) -> Self {
        let (context, class, urgent) = (carrier.context, carrier.sched.class, carrier.sched.killed);
        Exchanged { id, context, class, urgent, renewed: false, leaves: false, woken: None }
    }

    fn renew(&mut self, renewed: bool) {
        self.renewed = renewed;
        self.urgent |= renewed;
    }
}

impl<C> CpuState<C> {
    /// Whose stack runs on the time of `key`.
    #[inline(always)]
    pub fn runner(&self, key: TaskKey) -> TaskKey {
        let sched = &peek(&self.slab, key).sched;
        if sched.carries() { sched.calls.top } else { key }
    }

    /// The same with its id.
    #[inline(always)]
    pub fn runner_with_id(&self, key: TaskKey) -> (TaskKey, TaskId) {
        let runner = self.runner(key);
        (runner, peek(&self.slab, runner).id)
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
    #[inline(always)]
    fn exchange(&mut self, carrier: TaskKey, server: TaskKey) -> (&mut Task<C>, &mut Task<C>) {
        let Ok([Some(carrier), Some(server)]) = self.slab.get_disjoint_mut([carrier.index(), server.index()]) else {
            missing()
        };
        swap(&mut carrier.context, &mut server.context);
        swap(&mut carrier.sched.token, &mut server.sched.token);
        swap(&mut carrier.sched.movable, &mut server.sched.movable);
        (carrier, server)
    }

    /// The same if the carrier runs: it is in no queue, where it would have to be counted anew.
    #[inline(always)]
    fn exchange_running(&mut self, carrier: TaskKey, server: TaskKey) -> (&mut Task<C>, &mut Task<C>) {
        let (caller, called) = self.exchange(carrier, server);
        if caller.sched.movable != called.sched.movable {
            caller.judge_stealable();
        }
        (caller, called)
    }

    /// The time of `carrier`, which runs, goes to the stack of `server`. `None`, and nothing has changed: that does not wait to be called.
    #[inline(always)]
    pub fn donate(&mut self, carrier: TaskKey, server: TaskKey) -> Option<Exchanged<C>> {
        if !self.get(server).is_some_and(takes_calls) {
            return None;
        }
        let (caller, called) = self.exchange_running(carrier, server);
        caller.sched.limited = true;
        called.sched.limited = true;
        let below = replace(&mut caller.sched.calls.top, server);
        called.sched.calls = Calls { top: NOBODY, on: carrier, below };
        called.sched.block_reason = Some(BlockReason::Ipc);
        called.stats.context_switches += 1;
        let (timed, lent) = (called.sched.timed, called.sched.lent.is_some());
        let mut exchanged = Exchanged::new(called.id, caller);
        if timed || lent || !self.leaving.is_empty() {
            self.clear_timer(server);
            self.leaving.retain(|&other| other != server);
            exchanged.renew(lent && self.relend(carrier));
        }
        Some(exchanged)
    }

    /// The stack of `server`, the last to be called, leaves the time of `carrier`, which runs. `switches`: how many switches are to be counted
    /// for who goes on.
    #[inline(always)]
    pub fn give_back(&mut self, carrier: TaskKey, server: TaskKey, switches: u64) -> Exchanged<C> {
        let seat = self.seat;
        let (caller, called) = self.exchange_running(carrier, server);
        let below = replace(&mut called.sched.calls, Calls::NONE).below;
        caller.sched.calls.top = below;
        called.sched.block_reason = Some(BlockReason::Receive);
        called.sched.inherited = called.sched.lent;
        let (timed, lent, killed) = (called.sched.timed, called.sched.lent.is_some(), called.sched.killed);
        let leaves = !called.may_run(seat);
        if below == NOBODY {
            caller.stats.context_switches += switches;
        }
        let mut exchanged = Exchanged { leaves, ..Exchanged::new(caller.id, caller) };
        if below != NOBODY {
            let task = self.task(below);
            task.stats.context_switches += switches;
            exchanged.id = task.id;
        }
        if timed || lent || !self.revoked.is_empty() {
            self.clear_timer(server);
            if !killed {
                self.revoked.retain(|&other| other != server);
            }
            exchanged.renew(lent && self.relend(carrier));
        }
        exchanged
    }

    /// The stacks of `server` and of those above it leave the time of `carrier` for that of `server`.
    pub fn part(&mut self, carrier: TaskKey, server: TaskKey) {
        self.exchange(carrier, server);
        self.clear_timer(server);
        if !peek(&self.slab, server).sched.killed {
            self.revoked.retain(|&other| other != server);
        }
        let below = peek(&self.slab, server).sched.calls.below;
        let top = replace(&mut self.task(carrier).sched.calls.top, below);
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
