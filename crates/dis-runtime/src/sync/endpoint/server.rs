//! The serving side.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use dis_core::api::BlockReason;
use dis_core::executor::Leave;

use super::{ANSWERED, CALLED, Closed, IDLE, SERVING, Shared};
use crate::abort::Counted;
use crate::api::here;
use crate::gate::{self, check_abort_of, inside};
use crate::inherit;
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::task::Header;

/// The serving side. The first task that receives is the server from then on, and serves this endpoint only.
pub struct Server<Q, A> {
    pub(super) shared: Arc<Shared<Q, A>>,
    /// It has taken a request, and not replied.
    pub(super) serving: bool,
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
        if std::mem::take(&mut self.serving) {
            // SAFETY: the cell is the server's until the phase changes.
            unsafe { *shared.answer.get() = answer };
            shared.receives.store(true, Ordering::Release);
            let question = |rt: &Inner, cpu| {
                let decision = rt.exec.reply(cpu, || rt.now())?;
                // The caller is there, and goes on when this CPU switches to it: nobody else looks at the phase until then.
                shared.phase.store(ANSWERED, Ordering::Release);
                Ok(decision)
            };
            let replied =
                !thread::panicking() && gate::call(klt, me, Leave::Block(BlockReason::Receive, None), question).is_ok();
            if !replied {
                shared.receives.store(false, Ordering::Relaxed);
                shared.answer_late();
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
            check_abort_of(me);
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
    /// The server has put down its answer, but works on its own time. False: nobody waits for it, and it is dropped.
    #[cold]
    fn answer_late(&self) -> bool {
        let waited = self.phase.compare_exchange(SERVING, ANSWERED, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !waited {
            // SAFETY: the cell is the server's in the phase `ABANDONED`.
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
        // The answer's cell is empty: there is none.
        let served = self.serving && self.shared.answer_late();
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

impl<Q, A> fmt::Debug for Server<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
