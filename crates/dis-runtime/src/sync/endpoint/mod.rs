//! Calls between tasks: a server works with its caller's urgency, and on its time.

mod client;
mod failure;
mod server;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};

use super::event::Event;
use super::raw_mutex::Core as MutexCore;
use crate::abort::Counted;
use crate::runtime::Inner;
use crate::task::Header;
pub use client::Client;
pub use failure::{CallError, Closed, Failure};
pub use server::Server;

/// A server that tasks of its runtime call, and the right to call it.
///
/// While the server works for a caller it runs with the caller's class, priority and deadline, and what it uses is charged to the
/// caller: budget, `cpu_max`, credit, fair share, the quota of the domain (`docs/ipc.md`). A call and its reply are two switches without a decision in between:
/// fast if the two tasks share a thread ([`TaskBuilder::shared`](crate::TaskBuilder::shared)), else two hand-overs by futex.
///
/// Callers wait for their turn as for a [`Mutex`](super::Mutex) that the present one holds, with all that it inherits.
///
/// ```
/// use dis_runtime::{Intent, Runtime, sync::endpoint};
///
/// let rt = Runtime::builder().build()?;
/// let (client, mut server) = endpoint::<u32, u32>();
/// let serves = rt.spawn_fn(Intent::background(), move || server.serve(|n| n + 1))?;
/// let asks = rt.spawn_fn(Intent::interactive(1_000), move || client.call(41).expect("a reply"))?;
/// assert_eq!(asks.join()?, 42);
/// serves.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn endpoint<Q: Send, A: Send>() -> (Client<Q, A>, Server<Q, A>) {
    let shared = Arc::new(Shared {
        turn: MutexCore::new(),
        phase: AtomicU32::new(IDLE),
        request: UnsafeCell::new(None),
        answer: UnsafeCell::new(None),
        receives: AtomicBool::new(false),
        server: OnceLock::new(),
        known: Event::manual(),
        closed: AtomicBool::new(false),
        clients: AtomicUsize::new(1),
    });
    (Client(shared.clone()), Server { shared, serving: false })
}

/// Values of `Shared::phase`; whose the two cells are.
const IDLE: u32 = 0;
/// The core has taken the call; the request is the server's, as soon as that has changed this to `SERVING`.
const CALLED: u32 = 1;
/// Both are the server's.
const SERVING: u32 = 2;
/// The answer, if there is one, is the caller's.
const ANSWERED: u32 = 3;
/// The server works still, but its caller has gone: both are the server's.
const ABANDONED: u32 = 4;

struct Shared<Q, A> {
    /// Whose turn it is to call.
    turn: MutexCore,
    phase: AtomicU32,
    request: UnsafeCell<Option<Q>>,
    answer: UnsafeCell<Option<A>>,
    /// The server has nothing else before it than to wait to be called.
    receives: AtomicBool,
    /// The task that serves, and its runtime: they must be there as long as somebody may call.
    server: OnceLock<(Arc<Inner>, Counted)>,
    /// It is known, or never will be.
    known: Event,
    closed: AtomicBool,
    clients: AtomicUsize,
}

// SAFETY: the cells belong to one side at a time, as `phase` and `turn` say.
unsafe impl<Q: Send, A: Send> Sync for Shared<Q, A> {}
// SAFETY: as above.
unsafe impl<Q: Send, A: Send> Send for Shared<Q, A> {}

impl<Q, A> Shared<Q, A> {
    fn server(&self) -> Option<(&Inner, &Header)> {
        self.server.get().map(|(rt, server)| (&**rt, server.get()))
    }
}
