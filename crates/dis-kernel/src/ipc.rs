//! Calls between tasks: a server works on its caller's time and with its urgency (`docs/ipc.md`).
//!
//! The core exchanges stacks; what it leaves to a host is here: the message, the reply, and the queue of those who want a server that
//! is busy, which is a [`Turn`] that the present caller has. While a server works on its own time (at first, and when its caller has gone)
//! the turn is its own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{BlockReason, Duration, SchedError, SchedResult, TaskId, TaskSpec, Timestamp};
use dis_core::executor::Leave;
use dis_core::intent::Intent;

use crate::arch::irq;
use crate::lock::Lock;
use crate::percpu::{self, PerCpu};
use crate::sched::{self, scheduler};
use crate::turns::Turn;
use crate::{clock, task};

/// A server that can be called, from any number of tasks.
pub struct Server<Q, A> {
    /// The server's task, [`TaskId::INVALID`] before there is one.
    id: AtomicU64,
    turn: Turn,
    mail: Lock<Mail<Q, A>>,
}

struct Mail<Q, A> {
    /// Put here once the core has accepted a call, so it is there for a server that was woken for another reason never.
    question: Option<(TaskId, Q)>,
    /// Whose question the server has taken and not yet answered.
    asker: Option<TaskId>,
    /// For whom it is: who has given up may find that of the next.
    answer: Option<(TaskId, A)>,
}

impl<Q: Send + 'static, A: Send + 'static> Server<Q, A> {
    /// A server without a task: who calls waits until there is one ([`attach`](Self::attach)).
    pub fn new() -> Arc<Self> {
        let mail = Lock::new(Mail { question: None, asker: None, answer: None });
        let id = AtomicU64::new(TaskId::INVALID.0);
        Arc::new(Server { id, turn: Turn::of_server(TaskId::INVALID), mail })
    }

    /// Spawns a server that answers each call by `work`. On its own time it has `intent`. It lives until it is killed.
    ///
    /// # Errors
    /// As [`task::spawn_with`].
    pub fn spawn(name: &str, intent: Intent, work: impl FnMut(Q) -> A + Send + 'static) -> SchedResult<Arc<Self>> {
        let server = Self::new();
        let own = Arc::clone(&server);
        let body = Box::new(move || -> i32 {
            let _ = own.attach(task::current());
            own.serve(work)
        });
        let id = task::spawn_with(TaskSpec::new(name, intent, ()), body)?;
        server.attach(id)?;
        Ok(server)
    }

    /// The task `id` is the server, from now on and for good.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if another is.
    pub fn attach(&self, id: TaskId) -> SchedResult<()> {
        let none = TaskId::INVALID.0;
        match self.id.compare_exchange(none, id.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                if self.turn.give(TaskId::INVALID, id, clock::now()) && sched::runs_task() {
                    sched::leave(Leave::Ask);
                }
                Ok(())
            }
            Err(other) if other == id.0 => Ok(()),
            Err(_) => Err(SchedError::InvalidState),
        }
    }

    /// The server's task; [`TaskId::INVALID`] if there is none yet.
    #[inline]
    pub fn id(&self) -> TaskId {
        TaskId(self.id.load(Ordering::Acquire))
    }

    fn serve(&self, mut work: impl FnMut(Q) -> A) -> ! {
        let mut question = self.wait();
        loop {
            question = self.answer(work(question));
        }
    }

    /// Waits to be called, for the first time; the question. For a server's own task that does not [`serve`](Self::spawn).
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if the calling task is not the server, or has a question that it has not [answered](Self::reply).
    pub fn receive(&self) -> SchedResult<Q> {
        if task::current() != self.id() || self.mail.lock().asker.is_some() {
            return Err(SchedError::InvalidState);
        }
        Ok(self.wait())
    }

    /// Answers the question that was received last, and waits to be called again, in one step; the next question. An answer that nobody
    /// waits for any more is dropped.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if the calling task is not the server, or there is no question.
    pub fn reply(&self, answer: A) -> SchedResult<Q> {
        if task::current() != self.id() || self.mail.lock().asker.is_none() {
            return Err(SchedError::InvalidState);
        }
        Ok(self.answer(answer))
    }

    #[inline]
    fn answer(&self, answer: A) -> Q {
        // Refused if the caller has gone. Else we come back from here when we are called again.
        let reply = |pc: &PerCpu| scheduler().reply(pc.cpu, clock::now);
        let post = || {
            let mut mail = self.mail.lock();
            mail.answer = mail.asker.take().map(|caller| (caller, answer));
        };
        if sched::exchange(reply, post).is_err() {
            return self.wait();
        }
        self.question()
    }

    /// The turn was nobody's, or whose it was has gone without an answer: whoever waits has it from now on. Then the next question.
    #[cold]
    fn wait(&self) -> Q {
        let wait = |pc: &PerCpu| {
            let now = clock::now();
            self.mail.lock().asker = None;
            // This CPU asks at once anyway.
            let _ = self.turn.free(now);
            scheduler().schedule(pc.cpu, now, Leave::Block(BlockReason::Receive, None))
        };
        let _ = sched::exchange(wait, || {});
        self.question()
    }

    /// The question of whoever has called; waits on after a wake-up for another reason.
    #[inline]
    fn question(&self) -> Q {
        loop {
            {
                let mut mail = self.mail.lock();
                if let Some((caller, question)) = mail.question.take() {
                    mail.asker = Some(caller);
                    return question;
                }
            }
            task::block(BlockReason::Receive, None);
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
        let asked = |pc: &PerCpu| {
            // SAFETY: the current task's block lives.
            let me = unsafe { (*pc.current.get()).id() };
            if !self.turn.try_take(me) {
                return Err(SchedError::QueueFull);
            }
            scheduler().call(pc.cpu, self.id(), until, clock::now)
        };
        if let Err(error) = sched::exchange(asked, || self.post(&mut question)) {
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

    /// The calling task's question is for the server, whose stack runs next. Interrupts are off.
    #[inline]
    fn post(&self, question: &mut Option<Q>) {
        // SAFETY: the current task's block lives; it is the caller until the switch.
        let me = unsafe { (*percpu::this().current.get()).id() };
        self.mail.lock().question = question.take().map(|question| (me, question));
    }

    /// The call was refused: it is somebody else's turn, or the server is not ready.
    #[cold]
    fn call_at_length(&self, question: Option<Q>, until: Option<Timestamp>, why: SchedError) -> SchedResult<()> {
        let me = task::current();
        let (mut question, mut why) = (question, why);
        if why == SchedError::QueueFull {
            self.turn.take(me, until)?;
            why = SchedError::InvalidState;
        }
        // It is about to wait, with interrupts off, on another CPU; or it has been killed, and is about to end. Or it was woken for no
        // reason, and needs a CPU to wait again.
        let mut tries = 0;
        while why == SchedError::InvalidState && self.lives() {
            let call = |pc: &PerCpu| scheduler().call(pc.cpu, self.id(), until, clock::now);
            match sched::exchange(call, || self.post(&mut question)) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
            tries += 1;
            if tries < 16 {
                core::hint::spin_loop();
            } else {
                task::sleep(Duration::from_micros(20));
            }
        }
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
        if self.turn.give(me, self.id(), clock::now()) {
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
        scheduler().with_task(self.id(), |task| !task.state().has_ended()).unwrap_or(false)
    }
}
