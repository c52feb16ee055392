//! Calls between tasks: a server works with its caller's urgency, and on its time.

use std::cell::UnsafeCell;
use std::fmt;
use std::hint;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use dis_core::api::{BlockReason, SchedError, Timestamp};
use dis_core::executor::Leave;

use super::event::Event;
use super::raw_mutex::Core as MutexCore;
use crate::abort::Counted;
use crate::api::here;
use crate::gate::{self, check_abort, inside};
use crate::identity;
use crate::inherit;
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::task::Header;

/// A server that tasks of its runtime call, and the right to call it.
///
/// While the server works for a caller it runs with the caller's class, priority and deadline, and what it uses is charged to the
/// caller: budget, `cpu_max`, credit, fair share, the quota of the domain (`docs/ipc.md`). A call and its reply are two switches without a decision in between:
/// some 130 ns each if the two tasks share a thread ([`TaskBuilder::shared`](crate::TaskBuilder::shared)), else two hand-overs by futex.
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

/// How often a caller looks whether a server's registers are saved before it sleeps, and how long, ns.
const LOOKS: u32 = 20;
const NAP: u64 = 20_000;

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

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not in time.
    TimedOut,
    /// The server has ended, or serves no more.
    Closed,
    /// The server went on to the next call without a reply.
    Unanswered,
    /// The server waits for the caller, perhaps through other calls and [mutexes](super::Mutex): the two would wait for ever.
    Circle,
    /// The caller is no task of the server's runtime, or it unwinds.
    NoTask,
}

/// There is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallError<Q> {
    /// Why.
    pub failure: Failure,
    /// The request, if the server has not begun with it.
    pub request: Option<Q>,
}

/// All that could call have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<Q> fmt::Display for CallError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            Failure::TimedOut => "no reply in time",
            Failure::Closed => "the server serves no more",
            Failure::Unanswered => "the server went on without a reply",
            Failure::Circle => "the server waits for its caller: both would wait for ever",
            Failure::NoTask => "the caller is no task of the server's runtime, or it unwinds",
        })
    }
}

impl<Q: fmt::Debug> std::error::Error for CallError<Q> {}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody is left who could call")
    }
}

impl std::error::Error for Closed {}

/// The right to call.
pub struct Client<Q, A>(Arc<Shared<Q, A>>);

/// The caller's turn, which ends with this.
struct Turn<'a> {
    turn: &'a MutexCore,
    me: &'a Header,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.me.server.store(ptr::null_mut(), Ordering::Release);
        self.turn.unlock();
    }
}

impl<Q: Send, A: Send> Client<Q, A> {
    /// Has the server work for the caller, and waits for the reply.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn call(&self, request: Q) -> Result<A, CallError<Q>> {
        self.call_until(request, None)
    }

    /// As [`call`](Self::call), at most `timeout` long, with the wait for a turn. The server goes on with what it has begun, on its own time.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn call_timeout(&self, request: Q, timeout: Duration) -> Result<A, CallError<Q>> {
        self.call_until(request, Some(crate::api::now() + timeout.into()))
    }

    fn call_until(&self, request: Q, until: Option<Timestamp>) -> Result<A, CallError<Q>> {
        let shared = &*self.0;
        let back = |failure, request| Err(CallError { failure, request: Some(request) });
        let Some((klt, me)) = here().filter(|_| !thread::panicking()) else { return back(Failure::NoTask, request) };
        check_abort();
        let server = match shared.server.get() {
            Some((rt, server)) if ptr::eq(&**rt, me.rt) => server.get(),
            Some(_) => return back(Failure::NoTask, request),
            None => {
                let known = match until {
                    None => {
                        shared.known.wait();
                        true
                    }
                    Some(until) => shared.known.wait_timeout(until.since(crate::api::now()).into()),
                };
                return match (known, shared.server.get()) {
                    (true, Some(_)) => self.call_until(request, until),
                    (true, None) => back(Failure::Closed, request),
                    (false, _) => back(Failure::TimedOut, request),
                };
            }
        };
        if !shared.turn.try_lock() {
            match shared.turn.lock_or_refuse(until, true) {
                Some(true) => {}
                Some(false) => return back(Failure::TimedOut, request),
                None => return back(Failure::Circle, request),
            }
        }
        let _turn = Turn { turn: &shared.turn, me };
        me.circle.store(false, Ordering::Relaxed);
        me.server.store(ptr::from_ref(server).cast_mut(), Ordering::Release);
        let (mut request, mut looks) = (Some(request), 0);
        loop {
            if shared.closed.load(Ordering::Acquire) {
                return withdraw(Failure::Closed, request);
            }
            let question = |rt: &Inner, cpu, now| {
                let decision = rt.exec.call(cpu, now, server.id(), until)?;
                // Only the core lets the server go on, and that is yet to come: whoever finds this has been called.
                shared.phase.store(CALLED, Ordering::Release);
                Ok(decision)
            };
            // A server that has been abandoned has the cells, until it is about to receive.
            if shared.phase.load(Ordering::Acquire) == IDLE {
                // SAFETY: the turn is ours, and nothing has been called.
                unsafe { *shared.request.get() = request.take() };
                let asked = gate::call(klt, Leave::Block(BlockReason::Ipc, None), question);
                if asked.is_ok() {
                    return shared.outcome(me, until);
                }
                // SAFETY: as above.
                request = unsafe { (*shared.request.get()).take() };
                if asked == Err(SchedError::TaskNotFound) {
                    return withdraw(Failure::Closed, request);
                }
            }
            if let Err(failure) = shared.await_server(klt, me, server, until, &mut looks) {
                return withdraw(failure, request);
            }
        }
    }
}

impl<Q, A> Shared<Q, A> {
    /// The caller goes on: is there a reply?
    fn outcome(&self, me: &Header, until: Option<Timestamp>) -> Result<A, CallError<Q>> {
        let change = |from, to| self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let answered = |shared: &Self| {
            // SAFETY: the answer is the caller's in this phase.
            let answer = unsafe { (*shared.answer.get()).take() };
            shared.phase.store(IDLE, Ordering::Release);
            answer.ok_or(CallError { failure: Failure::Unanswered, request: None })
        };
        if self.phase.load(Ordering::Acquire) == ANSWERED {
            return answered(self);
        }
        let failure = if me.circle.load(Ordering::Acquire) {
            Failure::Circle
        } else if !self.closed.load(Ordering::Acquire) && until.is_some_and(|until| until <= crate::api::now()) {
            Failure::TimedOut
        } else {
            Failure::Closed
        };
        if change(CALLED, IDLE) {
            // SAFETY: the turn is the caller's, and the server has not begun with it and does not any more.
            return withdraw(failure, unsafe { (*self.request.get()).take() });
        }
        if change(SERVING, ABANDONED) {
            check_abort();
            return Err(CallError { failure, request: None });
        }
        // It came in this moment.
        answered(self)
    }

    /// The server does not wait to be called: waits until it is about to, making it as urgent as the caller.
    #[cold]
    fn await_server(
        &self,
        klt: &'static Klt,
        me: &Header,
        server: &Header,
        until: Option<Timestamp>,
        looks: &mut u32,
    ) -> Result<(), Failure> {
        let address = ptr::from_ref(me).cast_mut();
        let late = || until.is_some_and(|until| until <= crate::api::now());
        let waits = inside(|| {
            let guard = inherit::lock();
            if inherit::circle(&guard, server, me).is_some() {
                return Err(Failure::Circle);
            }
            // Sequentially consistent: either the server finds this, or we find that it receives.
            server.awaited_by.store(address, Ordering::SeqCst);
            let waits = !self.receives.load(Ordering::SeqCst) && !self.closed.load(Ordering::SeqCst);
            if waits {
                inherit::update(&guard, server);
            } else {
                server.awaited_by.store(ptr::null_mut(), Ordering::SeqCst);
            }
            Ok(waits)
        });
        if !waits? {
            // On its way: in the core, or off another CPU.
            *looks += 1;
            if late() {
                return Err(Failure::TimedOut);
            }
            check_abort_of(me)?;
            if !looks.is_multiple_of(LOOKS) {
                hint::spin_loop();
            } else {
                inside(|| identity::vacate(klt.rt(), server));
                gate::wait(klt, Leave::Sleep(klt.rt().now() + dis_core::api::Duration::from_nanos(NAP)));
            }
            return Ok(());
        }
        *looks = 0;
        let failure = loop {
            if server.awaited_by.load(Ordering::SeqCst) != address {
                return Ok(());
            }
            if me.circle.load(Ordering::Acquire) {
                break Failure::Circle;
            }
            if late() {
                break Failure::TimedOut;
            }
            if let Err(failure) = check_abort_of(me) {
                break failure;
            }
            gate::wait(klt, Leave::Block(BlockReason::Ipc, until));
        };
        inside(|| {
            let guard = inherit::lock();
            if server.awaited_by.load(Ordering::SeqCst) == address {
                server.awaited_by.store(ptr::null_mut(), Ordering::SeqCst);
                inherit::update(&guard, server);
            }
        });
        Err(failure)
    }

    fn server(&self) -> Option<(&Inner, &Header)> {
        self.server.get().map(|(rt, server)| (&**rt, server.get()))
    }
}

/// The caller has its request back, which the server has not seen.
fn withdraw<Q, A>(failure: Failure, request: Option<Q>) -> Result<A, CallError<Q>> {
    check_abort();
    Err(CallError { failure, request })
}

/// An error, of no matter what kind, if the task is to unwind.
fn check_abort_of(me: &Header) -> Result<(), Failure> {
    if me.aborted.load(Ordering::Relaxed) { Err(Failure::Closed) } else { Ok(()) }
}

impl<Q, A> Clone for Client<Q, A> {
    fn clone(&self) -> Self {
        self.0.clients.fetch_add(1, Ordering::Relaxed);
        Client(self.0.clone())
    }
}

impl<Q, A> Drop for Client<Q, A> {
    fn drop(&mut self) {
        if self.0.clients.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some((rt, server)) = self.0.server()
        {
            inside(|| rt.unpark(server.id()));
        }
    }
}

/// The serving side. The first task that receives is the server from then on, and serves this endpoint only.
pub struct Server<Q, A> {
    shared: Arc<Shared<Q, A>>,
    /// It has taken a request, and not replied.
    serving: bool,
}

impl<Q: Send, A: Send> Server<Q, A> {
    /// Answers calls until all clients are gone.
    ///
    /// # Panics
    /// As [`receive`](Self::receive).
    pub fn serve(&mut self, mut answer: impl FnMut(Q) -> A) {
        let mut next = self.receive();
        while let Ok(request) = next {
            next = self.reply(answer(request));
        }
    }

    /// Waits to be called. From here on the task runs on its caller's time, until it replies. A caller who has no reply yet gets none.
    ///
    /// # Errors
    /// [`Closed`].
    ///
    /// # Panics
    /// If the caller is no task, or not the one that has received before, or if it has received from another endpoint.
    pub fn receive(&mut self) -> Result<Q, Closed> {
        self.next(None)
    }

    /// Replies, and waits for the next call as [`receive`](Self::receive) does. Who has given up waiting does not get it.
    ///
    /// # Errors
    /// [`Closed`].
    ///
    /// # Panics
    /// As [`receive`](Self::receive).
    pub fn reply(&mut self, answer: A) -> Result<Q, Closed> {
        self.next(Some(answer))
    }

    fn next(&mut self, answer: Option<A>) -> Result<Q, Closed> {
        let Some((klt, me)) = here() else { panic!("a server receives calls in a task") };
        self.introduce(klt, me);
        let shared = &*self.shared;
        if std::mem::take(&mut self.serving) && shared.answer(answer) {
            shared.receives.store(true, Ordering::Release);
            // Refused if its caller's time is not what it is on any more.
            if !thread::panicking() {
                let _ =
                    gate::call(klt, Leave::Block(BlockReason::Receive, None), |rt, cpu, now| rt.exec.reply(cpu, now));
            }
        }
        loop {
            if shared.phase.compare_exchange(CALLED, SERVING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                shared.receives.store(false, Ordering::Relaxed);
                // SAFETY: the request is the server's in this phase.
                if let Some(request) = unsafe { (*shared.request.get()).take() } {
                    self.serving = true;
                    return Ok(request);
                }
            }
            check_abort();
            if shared.clients.load(Ordering::SeqCst) == 0 {
                return Err(Closed);
            }
            gate::wait_after(klt, Leave::Block(BlockReason::Receive, None), || {
                shared.receives.store(true, Ordering::SeqCst);
                if !me.awaited_by.load(Ordering::SeqCst).is_null() {
                    inherit::receives(me);
                }
            });
        }
    }

    /// Sees to it that clients know the task.
    fn introduce(&self, klt: &Klt, me: &Header) {
        if let Some((_, known)) = self.shared.server.get() {
            assert!(ptr::eq(known.get(), me), "another task has received from this endpoint before");
            return;
        }
        // The core calls tasks: it could not tell for which endpoint.
        let other = me.serves.replace(Arc::as_ptr(&self.shared).cast());
        assert!(
            other.is_null() || ptr::eq(other, me.serves.get()),
            "the task has received from another endpoint before"
        );
        let _ = self.shared.server.set((klt.rt().handle(), Counted::new(me)));
        self.shared.known.set();
    }
}

impl<Q, A> Shared<Q, A> {
    /// The server is done with the request. False: nobody waits for the answer, which is dropped.
    fn answer(&self, answer: Option<A>) -> bool {
        // SAFETY: the cell is the server's until the phase changes.
        unsafe { *self.answer.get() = answer };
        let waited = self.phase.compare_exchange(SERVING, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !waited {
            // SAFETY: as above.
            let answer = unsafe { (*self.answer.get()).take() };
            self.phase.store(IDLE, Ordering::Release);
            drop(answer);
        }
        waited
    }
}

impl<Q, A> Drop for Server<Q, A> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.known.set();
        let served = self.serving && self.shared.answer(None);
        if let Some((rt, server)) = self.shared.server() {
            inside(|| {
                if served && let Ok(wake) = rt.exec.drop_call(server.id()) {
                    rt.after(wake, rt.now());
                }
                if !server.awaited_by.load(Ordering::SeqCst).is_null() {
                    inherit::receives(server);
                }
            });
        }
    }
}

impl<Q, A> fmt::Debug for Client<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl<Q, A> fmt::Debug for Server<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
