//! Calls between tasks: a server works on its caller's time and with its urgency (`docs/ipc.md`).
//!
//! The core exchanges stacks; what it leaves to a host is here: the message, the reply, and the queue of those who want a server that
//! is busy, which is a [`Turn`] that the present caller has. While a server works on its own time (at first, and when its caller has gone)
//! the turn is its own.

use alloc::boxed::Box;
use alloc::sync::Arc;

use dis_core::api::{BlockReason, Duration, SchedError, SchedResult, TaskId, TaskSpec, Timestamp};
use dis_core::executor::Leave;
use dis_core::intent::Intent;

use crate::arch::irq;
use crate::lock::Lock;
use crate::percpu::PerCpu;
use crate::sched::{self, scheduler};
use crate::turns::Turn;
use crate::{clock, task};

/// A server that can be called, from any number of tasks.
pub struct Server<Q, A> {
    id: TaskId,
    turn: Turn,
    mail: Lock<Mail<Q, A>>,
}

struct Mail<Q, A> {
    question: Option<(TaskId, Q)>,
    /// For whom it is: who has given up may find that of the next.
    answer: Option<(TaskId, A)>,
}

impl<Q: Send + 'static, A: Send + 'static> Server<Q, A> {
    /// Spawns a server that answers each call by `work`. On its own time it has `intent`. It lives until it is killed.
    ///
    /// # Errors
    /// As [`task::spawn_with`].
    pub fn spawn(name: &str, intent: Intent, work: impl FnMut(Q) -> A + Send + 'static) -> SchedResult<Arc<Self>> {
        let door: Arc<Lock<Option<Arc<Self>>>> = Arc::default();
        let own = Arc::clone(&door);
        let body = Box::new(move || -> i32 {
            let server = loop {
                // Whoever spawns it may be preempted before the door is there.
                if let Some(server) = own.lock().take() {
                    break server;
                }
                task::sleep(Duration::from_micros(100));
            };
            server.serve(work)
        });
        let id = task::spawn_with(TaskSpec::new(name, intent, ()), body)?;
        let mail = Lock::new(Mail { question: None, answer: None });
        let server = Arc::new(Server { id, turn: Turn::of_server(id), mail });
        *door.lock() = Some(Arc::clone(&server));
        Ok(server)
    }

    /// The server's task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    fn serve(&self, mut work: impl FnMut(Q) -> A) -> ! {
        let mut called = false;
        loop {
            if !called {
                // It was nobody's, or whose it was has gone without an answer: whoever waits has it from now on.
                let wait = |pc: &PerCpu, now| {
                    // This CPU asks at once anyway.
                    let _ = self.turn.free(now);
                    scheduler().schedule(pc.cpu, now, Leave::Block(BlockReason::Receive, None))
                };
                let _ = sched::exchange(wait, || {});
            }
            let question = self.mail.lock().question.take();
            let answer = question.map(|(caller, question)| (caller, work(question)));
            // Refused if the caller has gone. Else we come back from here when we are called again.
            let reply = |pc: &PerCpu, now| scheduler().reply(pc.cpu, now);
            called = sched::exchange(reply, || self.mail.lock().answer = answer).is_ok();
        }
    }

    /// Has `question` answered, on the calling task's time and with its urgency, until `until`. One lock more than the core's where nobody
    /// else calls; O(waiters) else.
    ///
    /// # Errors
    /// [`SchedError::DeadlineMissed`] after `until`: the server goes on with it on its own time, and the answer is dropped.
    /// [`SchedError::TaskNotFound`] if the server has ended. [`SchedError::InvalidState`] if the caller is itself, by a chain of calls and
    /// mutexes, what the server waits for.
    pub fn call(&self, question: Q, until: Option<Timestamp>) -> SchedResult<A> {
        // Where nobody else has the turn, all is done with interrupts off once.
        let mut question = Some(question);
        let asked = |pc: &PerCpu, now| {
            // SAFETY: the current task's block lives.
            let me = unsafe { (*pc.current.get()).id() };
            if !self.turn.try_take(me) {
                return Err(SchedError::QueueFull);
            }
            self.mail.lock().question = question.take().map(|question| (me, question));
            scheduler().call(pc.cpu, now, self.id, until)
        };
        if let Err(error) = sched::exchange(asked, || {}) {
            self.call_at_length(question, until, error)?;
        }
        let off = irq::Off::new();
        let me = task::current();
        let answer = {
            let mut mail = self.mail.lock();
            if mail.answer.as_ref().is_some_and(|(caller, _)| *caller == me) { mail.answer.take() } else { None }
        };
        let Some((_, answer)) = answer else {
            drop(off);
            return self.unanswered(me);
        };
        let ask = self.turn.release(me, clock::now);
        drop(off);
        if ask {
            sched::leave(Leave::Ask);
        }
        Ok(answer)
    }

    /// The call was refused: it is somebody else's turn (`question` is still here then), or the server is not ready.
    #[cold]
    fn call_at_length(&self, question: Option<Q>, until: Option<Timestamp>, why: SchedError) -> SchedResult<()> {
        let me = task::current();
        let mut why = why;
        if let Some(question) = question {
            self.turn.take(me, until)?;
            self.mail.lock().question = Some((me, question));
            why = SchedError::InvalidState;
        }
        // It is about to wait, with interrupts off, on another CPU; or it has been killed, and is about to end.
        while why == SchedError::InvalidState && self.lives() {
            match sched::exchange(|pc, now| scheduler().call(pc.cpu, now, self.id, until), || {}) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
            core::hint::spin_loop();
        }
        self.mail.lock().question = None;
        self.leave(me);
        Err(if self.lives() { why } else { SchedError::TaskNotFound })
    }

    #[cold]
    fn unanswered(&self, me: TaskId) -> SchedResult<A> {
        if !self.lives() {
            self.leave(me);
            return Err(SchedError::TaskNotFound);
        }
        // The server goes on on its own time; until it waits again, the turn is its own.
        if self.turn.give(me, self.id, clock::now()) {
            sched::leave(Leave::Ask);
        }
        Err(SchedError::DeadlineMissed)
    }

    fn leave(&self, me: TaskId) {
        if self.turn.release(me, clock::now) {
            sched::leave(Leave::Ask);
        }
    }

    fn lives(&self) -> bool {
        scheduler().with_task(self.id, |task| !task.state().has_ended()).unwrap_or(false)
    }
}
