//! The calling side.

use std::fmt;
use std::hint;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use dis_core::api::{BlockReason, SchedError, Timestamp};
use dis_core::executor::Leave;

use super::{ABANDONED, ANSWERED, CALLED, CallError, Failure, IDLE, SERVING, Shared};
use crate::api::here;
use crate::gate::{self, check_abort_of, inside};
use crate::identity;
use crate::inherit;
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::sync::raw_mutex::Core as MutexCore;
use crate::task::Header;

/// How often a caller looks whether a server's registers are saved before it sleeps, and how long, ns.
const LOOKS: u32 = 20;
const NAP: u64 = 20_000;

/// The right to call.
pub struct Client<Q, A>(pub(super) Arc<Shared<Q, A>>);

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
        check_abort_of(me);
        let Some((rt, server)) = shared.server() else { return self.call_when_known(request, until) };
        if !ptr::eq(rt, me.rt) {
            return back(Failure::NoTask, request);
        }
        if !shared.turn.try_lock_as(Some(me)) {
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
                return withdraw(me, Failure::Closed, request);
            }
            let question = |rt: &Inner, cpu| {
                let decision = rt.exec.call(cpu, server.id(), until, || rt.now())?;
                // Only the core lets the server go on, and that is yet to come: whoever finds this has been called.
                shared.phase.store(CALLED, Ordering::Release);
                Ok(decision)
            };
            // A server that has been abandoned has the cells, until it is about to receive.
            if shared.phase.load(Ordering::Acquire) == IDLE {
                // SAFETY: the turn is ours, and nothing has been called.
                unsafe { *shared.request.get() = request.take() };
                let asked = gate::call(klt, me, Leave::Block(BlockReason::Ipc, None), question);
                if asked.is_ok() {
                    return shared.outcome(me, until);
                }
                // SAFETY: as above.
                request = unsafe { (*shared.request.get()).take() };
                if asked == Err(SchedError::TaskNotFound) {
                    return withdraw(me, Failure::Closed, request);
                }
            }
            if let Err(failure) = shared.await_server(klt, me, server, until, &mut looks) {
                return withdraw(me, failure, request);
            }
        }
    }
}

impl<Q: Send, A: Send> Client<Q, A> {
    /// No task has received yet.
    #[cold]
    fn call_when_known(&self, request: Q, until: Option<Timestamp>) -> Result<A, CallError<Q>> {
        let shared = &*self.0;
        let in_time = match until {
            None => {
                shared.known.wait();
                true
            }
            Some(until) => shared.known.wait_timeout(until.since(crate::api::now()).into()),
        };
        match (in_time, shared.server.get()) {
            (true, Some(_)) => self.call_until(request, until),
            (true, None) => Err(CallError { failure: Failure::Closed, request: Some(request) }),
            (false, _) => Err(CallError { failure: Failure::TimedOut, request: Some(request) }),
        }
    }
}

impl<Q, A> Shared<Q, A> {
    /// The caller goes on: is there a reply?
    #[inline]
    fn outcome(&self, me: &Header, until: Option<Timestamp>) -> Result<A, CallError<Q>> {
        if self.phase.load(Ordering::Acquire) == ANSWERED { self.answered() } else { self.unanswered(me, until) }
    }

    #[inline]
    fn answered(&self) -> Result<A, CallError<Q>> {
        // SAFETY: the answer is the caller's in this phase.
        let answer = unsafe { (*self.answer.get()).take() };
        self.phase.store(IDLE, Ordering::Release);
        answer.ok_or(CallError { failure: Failure::Unanswered, request: None })
    }

    #[cold]
    fn unanswered(&self, me: &Header, until: Option<Timestamp>) -> Result<A, CallError<Q>> {
        let change = |from, to| self.phase.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let failure = if me.circle.load(Ordering::Acquire) {
            Failure::Circle
        } else if !self.closed.load(Ordering::Acquire) && until.is_some_and(|until| until <= crate::api::now()) {
            Failure::TimedOut
        } else {
            Failure::Closed
        };
        if change(CALLED, IDLE) {
            // SAFETY: the turn is the caller's, and the server has not begun with it and does not any more.
            return withdraw(me, failure, unsafe { (*self.request.get()).take() });
        }
        if change(SERVING, ABANDONED) {
            check_abort_of(me);
            return Err(CallError { failure, request: None });
        }
        // It came in this moment.
        self.answered()
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
            aborted(me)?;
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
            if let Err(failure) = aborted(me) {
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
}

/// The caller has its request back, which the server has not seen.
fn withdraw<Q, A>(me: &Header, failure: Failure, request: Option<Q>) -> Result<A, CallError<Q>> {
    check_abort_of(me);
    Err(CallError { failure, request })
}

/// An error, of no matter what kind, if the task is to unwind.
fn aborted(me: &Header) -> Result<(), Failure> {
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

impl<Q, A> fmt::Debug for Client<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
