//! Calls: a task has another work for it, on its own time.
//!
//! A task's control block is two things: the *scheduling context* (class, priority, deadline, budget, fair share, domain, place in
//! a queue), and the host's part, which is a stack to run. A call parts the two. The caller's scheduling context stays where it
//! is and goes on with the server's stack; what the server does is done with the caller's urgency and charged to the
//! caller, by construction, since to all of the scheduler nothing has happened but that the running task has another stack. Nothing is
//! queued, charged or decided, so a call and its reply are the direct switches that they ought to be. (That a scheduling context is
//! donated is seL4's MCS extension: Lyons, McLeod, Almatary and Heiser, EuroSys 2018; that a decision between the two is needless
//! is Steinberg, Böttcher and Kauer, "Timeslice donation in component-based systems", OSPERT 2010.)
//!
//! # The stack of calls
//!
//! A task that calls is a *carrier*; the servers on its time form a stack. Each of them is *away*: its own scheduling context
//! waits, blocked with [`BlockReason::Ipc`](crate::api::BlockReason::Ipc), and keeps meanwhile the host's part of the one beneath it. So
//! a reply, too, is an exchange of two fields:
//!
//! ```text
//!              own    C calls S   S calls T   T replies   S replies
//! context of C  c         s           t           s           c       C's budget, urgency, queue
//! context of S  s         c           c           c           s       blocked
//! context of T  t         t           s           t           t       blocked
//! ```
//!
//! All of a stack live on their carrier's CPU, and move with it, so one lock protects them. Wake-ups, and what is lent, reach a server by
//! its own id.
//!
//! # Calls that do not end by a reply
//!
//! A time-out, a caller that gives up or is killed, and a server that is killed, part a stack in two: those above go on on the lowest
//! one's own time, those below on the carrier's. The CPU that owns the stack does so when it asks next
//! (`revoke`), with the lock it holds anyway; others only make a note, and the host interrupts that CPU.
//! A server that ends in mid-call takes its call with it: the caller goes on.
//!
//! # Who waits for a server
//!
//! The core knows no queue of callers: a server takes calls while it waits with [`BlockReason::Receive`](crate::api::BlockReason::Receive),
//! one at a time. Whoever comes in between waits as for a mutex that the present caller holds, with all that
//! [`inherit`](crate::scheduler::TaskManager::inherit) brings.

mod call;
mod revoke;
mod stack;

use crate::api::Task;
use crate::policy::TaskKey;

impl<C> Task<C> {
    /// Whether it is in a call, on either side: then `context` is another task's, see
    /// [`with_context`](crate::scheduler::TaskManager::with_context).
    pub fn is_in_call(&self) -> bool {
        self.sched.is_in_calls()
    }
}

/// The key of nobody, see [`WINDOW`](crate::scheduler::state::WINDOW).
pub(crate) const NOBODY: TaskKey = TaskKey(0);

/// A task's place in a stack of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    /// The server whose stack runs on this task's time, while this one is a carrier.
    pub top: TaskKey,
    /// The carrier, while this one is away.
    pub on: TaskKey,
    /// While this one is away: the server beneath it, which called it. [`NOBODY`]: the carrier did.
    pub below: TaskKey,
}

impl Calls {
    pub const NONE: Calls = Calls { top: NOBODY, on: NOBODY, below: NOBODY };

    /// Whether the task has a part in a call.
    pub fn are_any(&self) -> bool {
        *self != Calls::NONE
    }
}
