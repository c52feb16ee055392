//! Carrying decisions out: the switch between tasks, KLTs and idleness.
//!
//! [`turn`] is the heart: on the stack of a task that gives up the CPU, in the signal handler on top of a task that must
//! give it up, or at the base loop of a KLT, it asks the core, does what the core says, and returns when the task it
//! was called for is to go on. Everything here runs with the KLT's `in_runtime` flag up.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::api::{SchedError, SchedResult, TaskId, Timestamp};
use dis_core::executor::{Decision, Leave, Roused};

use crate::binding::{self, Site};
use crate::displace;
use crate::identity;
use crate::klt::{Klt, Order};
use crate::life::enter;
use crate::runtime::{Inner, fatal};
use crate::task::{Header, TaskRef};
use crate::worker::Worker;
use crate::{trace, usage};

/// What a turn does first, or next.
pub(crate) enum Step {
    /// Ask the core.
    Ask(Leave),
    /// Carry out a decision made elsewhere.
    Carry(Decision<TaskRef>),
    /// Hand the worker over to a KLT that is acquired already.
    Hand(&'static Klt, TaskRef, Option<Timestamp>),
}

/// The life of a KLT.
pub(crate) fn base_loop(klt: &'static Klt) {
    match klt.await_order() {
        Order::Quit => {}
        Order::Complete(decision) => {
            saved(klt.rt(), klt.worker());
            let _ = turn(klt, None, Step::Carry(decision), true);
        }
        Order::TakeOver(blocked) => {
            let decision = displace::take_over(klt, blocked);
            let _ = turn(klt, None, Step::Carry(decision), true);
        }
        Order::Run(task, until) => {
            adopt(klt, until);
            enter(klt, None, task.header());
            if let Some(step) = take_handoff(klt) {
                let _ = turn(klt, None, step, true);
            }
        }
    }
}

/// Asks and obeys until `me` is to go on (then false), or the thread is to end (true; only for `me` = `None`).
///
/// `free`: the carrier is at a cooperative point, so other tasks of its identity may run. Otherwise `me` was preempted in
/// mid-run (or gives way while it unwinds) and keeps the identity.
pub(crate) fn turn(klt: &'static Klt, me: Option<&Header>, mut step: Step, free: bool) -> bool {
    let rt = klt.rt();
    loop {
        // Kept where the core writes it: moving it about costs more than reading it.
        let asked;
        let now;
        let decision: &Decision<TaskRef> = match &step {
            Step::Ask(leave) => {
                now = begin_question(klt, free);
                asked = rt.exec.schedule(klt.worker().cpu, now, *leave);
                if matches!(asked, Err(SchedError::Unmeasured)) {
                    usage::measure(klt);
                    continue;
                }
                answered(rt, klt, *leave, now, &asked)
            }
            Step::Carry(decision) => {
                now = rt.now();
                decision
            }
            &Step::Hand(other, task, until) => {
                give_up(klt, klt.worker(), free, |worker| other.post(worker, Order::Run(task, until)));
                match next_order(klt, me) {
                    Some(next) => step = next,
                    None => return klt.worker_is_none(),
                }
                continue;
            }
        };
        let worker = klt.worker();
        let Some(next) = &decision.next else {
            match idle(klt, me, worker, decision, free) {
                Idle::Ask => step = Step::Ask(Leave::Ask),
                Idle::Stop => return true,
                Idle::Passed => match next_order(klt, me) {
                    Some(next) => step = next,
                    None => return klt.worker_is_none(),
                },
            }
            continue;
        };
        let task = next.context.header();
        if is(me, task) {
            if free {
                klt.identity.hold(me);
            }
            klt.arm(decision.until, now);
            if next.switch {
                saved(rt, worker);
            }
            return false;
        }
        task.set_id(next.id);
        step = match binding::locate(klt, me, next.context, free) {
            Site::Here => {
                klt.arm(decision.until, now);
                enter(klt, me, task);
                match take_handoff(klt) {
                    Some(step) if me.is_none() => step,
                    _ => return false,
                }
            }
            Site::There(other) => Step::Hand(other, next.context, decision.until),
            Site::Declined => Step::Ask(Leave::Declined),
        };
    }
}

/// [`turn`] for a task `me` at a cooperative point, in which most of the time another task of its identity is to go on.
#[inline]
pub(crate) fn ask(klt: &'static Klt, me: &Header, leave: Leave) {
    let rt = klt.rt();
    let now = begin_question(klt, true);
    let asked = rt.exec.schedule(klt.worker().cpu, now, leave);
    if matches!(asked, Err(SchedError::Unmeasured)) {
        let _ = turn(klt, Some(me), Step::Ask(leave), true);
        return;
    }
    carry(klt, me, answered(rt, klt, leave, now, &asked), now);
}

/// The running task calls, or replies, at a cooperative point: `question` is what it asks the core. Returns when it is to go on; at once if
/// the core refuses.
///
/// Nothing is decided, so what has come for the next question stays for that; and the core asks for nothing earlier than it has before, or
/// at once, so the time is not needed either.
#[inline]
pub(crate) fn exchange(
    klt: &'static Klt,
    me: &Header,
    leave: Leave,
    question: impl FnOnce(&Inner, usize) -> SchedResult<Decision<TaskRef>>,
) -> SchedResult<()> {
    let rt = klt.rt();
    let cpu = klt.worker().cpu;
    let asked = question(rt, cpu);
    let decision = match &asked {
        Ok(decision) => decision,
        Err(error) => return Err(*error),
    };
    trace::exchange(rt, cpu, leave, decision);
    let next = decision.next.as_ref().filter(|next| is_here(klt, next.context.header()));
    match next {
        Some(next) => {
            klt.stay_armed(decision.until);
            enter(klt, Some(me), next.context.header());
        }
        None => carry_on(klt, me, decision),
    }
    Ok(())
}

/// The running task, at a cooperative point, wakes another one of its runtime, and leaves, unless the two cannot be one question. Returns
/// when it is to go on.
#[inline]
pub(crate) fn rouse(klt: &'static Klt, me: &Header, id: TaskId, leave: Leave) {
    let rt = klt.rt();
    let cpu = klt.worker().cpu;
    let now = rt.now();
    let answer = rt.exec.unpark_and(cpu, now, id, leave);
    match &answer {
        Ok(Roused::Decision(decision)) => {
            klt.asked.set(now);
            told(rt, cpu, now, leave, decision);
            carry(klt, me, decision, now);
        }
        Ok(Roused::Wake(wake)) => rt.after(*wake, now),
        // It has ended.
        Err(_) => {}
    }
}

/// Whether a task is bound to this KLT.
#[inline]
fn is_here(klt: &Klt, task: &Header) -> bool {
    ptr::eq(task.klt.load(Ordering::Relaxed), klt)
}

#[cold]
#[inline(never)]
fn carry_on(klt: &'static Klt, me: &Header, decision: &Decision<TaskRef>) {
    let _ = turn(klt, Some(me), Step::Carry(*decision), true);
}

/// Carries a decision out at a cooperative point of `me`, to which it returns.
#[inline]
fn carry(klt: &'static Klt, me: &Header, decision: &Decision<TaskRef>, now: Timestamp) {
    let rt = klt.rt();
    let Some(next) = decision.next.as_ref().filter(|next| is_here(klt, next.context.header())) else {
        return carry_on(klt, me, decision);
    };
    klt.arm(decision.until, now);
    let task = next.context.header();
    if !ptr::eq(task, me) {
        enter(klt, Some(me), task);
        return;
    }
    klt.identity.hold(Some(me));
    if next.switch {
        saved(rt, klt.worker());
    }
}

fn is(me: Option<&Header>, task: &Header) -> bool {
    me.is_some_and(|me| ptr::eq(me, task))
}

/// Begins a question to the core; gives the time.
#[inline]
fn begin_question(klt: &'static Klt, free: bool) -> Timestamp {
    prepare_question(klt, free);
    let now = klt.rt().now();
    klt.asked.set(now);
    now
}

/// What comes before that.
#[inline]
pub(crate) fn prepare_question(klt: &'static Klt, free: bool) {
    let rt = klt.rt();
    if free && klt.identity.is_wanted() {
        identity::serve_waiters(rt, klt);
    }
    let worker = klt.worker();
    klt.forget_timer_signal();
    if worker.pending.load(Ordering::Relaxed) {
        // Before the question: a kick that comes later finds its reason unanswered, one that came before is answered.
        worker.pending.store(false, Ordering::SeqCst);
    }
}

/// What comes after each answer.
#[inline]
pub(crate) fn answered<'a>(
    rt: &Inner,
    klt: &Klt,
    leave: Leave,
    now: Timestamp,
    answer: &'a SchedResult<Decision<TaskRef>>,
) -> &'a Decision<TaskRef> {
    let cpu = klt.worker().cpu;
    match answer {
        Ok(decision) => {
            told(rt, cpu, now, leave, decision);
            decision
        }
        Err(error) => fatal(&format_args!("the core refused {leave:?} on CPU {cpu}: {error}")),
    }
}

/// What the decision means for others.
#[inline]
fn told(rt: &Inner, cpu: usize, now: Timestamp, leave: Leave, decision: &Decision<TaskRef>) {
    if let Some(other) = decision.interrupt {
        rt.kick(other);
    }
    trace::decision(rt, cpu, now, leave, decision);
}

/// The registers of the task that ran before are saved: what the core waits for.
pub(crate) fn saved(rt: &Inner, worker: &Worker) {
    if rt.exec.switched(worker.cpu) {
        worker.pending.store(true, Ordering::SeqCst);
    }
}

/// This KLT has just got a worker with a task to run.
pub(crate) fn adopt(klt: &'static Klt, until: Option<Timestamp>) {
    let rt = klt.rt();
    saved(rt, klt.worker());
    let now = rt.now();
    klt.asked.set(now);
    klt.arm(until, now);
    begin_watch(klt);
}

/// Whoever gives a task the CPU with the timer set already has its worker watched.
fn begin_watch(klt: &Klt) {
    if klt.is_limited() {
        klt.worker().watch.begin();
    }
}

/// Waits for a worker; `None`: `me` goes on, or the thread is to end (then it has no worker).
fn next_order(klt: &'static Klt, me: Option<&Header>) -> Option<Step> {
    match klt.await_order() {
        Order::Quit => None,
        Order::Complete(decision) => {
            saved(klt.rt(), klt.worker());
            Some(Step::Carry(decision))
        }
        Order::TakeOver(blocked) => Some(Step::Carry(displace::take_over(klt, blocked))),
        Order::Run(task, until) => {
            adopt(klt, until);
            let task = task.header();
            if !is(me, task) {
                enter(klt, me, task);
                if me.is_none() {
                    return take_handoff(klt);
                }
            }
            None
        }
    }
}

fn take_handoff(klt: &Klt) -> Option<Step> {
    // SAFETY: only this thread uses the cell.
    unsafe { (*klt.handoff.get()).take() }
}

/// Hands the worker over by `post`; the identity is free from now on if we are at a cooperative point.
fn give_up(klt: &'static Klt, worker: &Worker, free: bool, post: impl FnOnce(&Worker)) {
    let rt = klt.rt();
    klt.drop_role();
    if !free {
        freeze(klt);
    } else {
        if klt.identity.bound() > 0 {
            identity::release(rt, klt);
        } else if worker.home.load(Ordering::Relaxed).is_null() {
            worker.home.store(ptr::from_ref(klt).cast_mut(), Ordering::Release);
        } else {
            rt.put_spare(klt);
        }
    }
    post(worker);
}

/// The task on this KLT keeps the identity while it does not run.
fn freeze(klt: &Klt) {
    if let Some(me) = klt.current() {
        klt.identity.freeze(me);
    }
}

enum Idle {
    Ask,
    Stop,
    /// Another KLT carries the worker now.
    Passed,
}

/// Nothing is to run. Waits in place if the identity may be kept, else the worker's home waits.
fn idle(klt: &'static Klt, me: Option<&Header>, worker: &Worker, decision: &Decision<TaskRef>, free: bool) -> Idle {
    let bound = klt.identity.bound() > 0;
    let stay = !bound || (free && !decision.vacate);
    if stay {
        if me.is_none() && worker.stop.load(Ordering::Acquire) {
            klt.drop_role();
            worker.stopped.store(true, Ordering::Release);
            return Idle::Stop;
        }
        klt.identity.hold(None);
        klt.rt().clock.maintain(klt.rt().now());
        worker.sleep(klt.rt().clock, decision.until, || klt.identity.is_wanted());
        begin_watch(klt);
        if !klt.identity.is_wanted() {
            return Idle::Ask;
        }
    }
    // SAFETY: KLTs live as long as the runtime.
    match unsafe { worker.home.swap(ptr::null_mut(), Ordering::Relaxed).as_ref() } {
        Some(home) => {
            give_up_to_home(klt, worker, free, home, *decision);
            Idle::Passed
        }
        // Cannot be: a worker whose carrier is bound has a home. Wait in place rather than lose the worker.
        None => {
            worker.sleep(klt.rt().clock, decision.until, || false);
            Idle::Ask
        }
    }
}

fn give_up_to_home(klt: &'static Klt, worker: &Worker, free: bool, home: &Klt, decision: Decision<TaskRef>) {
    klt.drop_role();
    if free {
        identity::release(klt.rt(), klt);
    } else {
        freeze(klt);
    }
    home.post(worker, Order::Complete(decision));
}
