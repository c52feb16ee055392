//! Carrying decisions out: the switch between tasks, KLTs and idleness.
//!
//! [`turn`] is the heart: on the stack of a task that gives up the CPU, in the signal handler on top of a task that must
//! give it up, or at the base loop of a KLT, it asks the core, does what the core says, and returns when the task it
//! was called for is to go on. Everything here runs with the KLT's `in_runtime` flag up.

use std::ptr;
use std::sync::atomic::Ordering;
use std::thread;

use dis_context::{Context, jump, switch};
use dis_core::api::{SchedResult, Timestamp};
use dis_core::executor::{Decision, Leave};

use crate::binding::{self, Site};
use crate::identity;
use crate::keep;
use crate::klt::{self, Klt, Order};
use crate::runtime::{Inner, fatal};
use crate::task::{Abort, DETACHED, DONE, ENDED, Header, NOBODY, THREAD, TaskRef};
use crate::worker::Worker;
use crate::{sys, trace, usage};

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
            Site::NoSpare => {
                rt.wait_for_spare(task);
                Step::Ask(Leave::Declined)
            }
            Site::Gone => {
                // Whoever aborted it tells the core as well; the second of us is told that it has ended.
                bury(klt, next.context, now);
                Step::Ask(Leave::Declined)
            }
        };
    }
}

/// The chosen task was aborted before it began. The core ends it at the next question.
fn bury(klt: &Klt, task: TaskRef, now: Timestamp) {
    let rt = klt.rt();
    let task = task.header();
    // Whoever aborted it may have told the core already; then this answers an error.
    let _ = rt.exec.kill(now, task.id());
    reap(klt, task);
}

fn is(me: Option<&Header>, task: &Header) -> bool {
    me.is_some_and(|me| ptr::eq(me, task))
}

/// What comes before each question to the core; gives the time.
#[inline]
fn begin_question(klt: &'static Klt, free: bool) -> Timestamp {
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
    rt.now()
}

/// What comes after each answer.
#[inline]
fn answered<'a>(
    rt: &Inner,
    klt: &Klt,
    leave: Leave,
    now: Timestamp,
    answer: &'a SchedResult<Decision<TaskRef>>,
) -> &'a Decision<TaskRef> {
    let cpu = klt.worker().cpu;
    match answer {
        Ok(decision) => {
            if let Some(cpu) = decision.interrupt {
                rt.kick(cpu);
            }
            trace::decision(rt, cpu, now, leave, decision);
            decision
        }
        Err(error) => fatal(&format_args!("the core refused {leave:?} on CPU {cpu}: {error}")),
    }
}

/// The registers of the task that ran before are saved: what the core waits for.
fn saved(rt: &Inner, worker: &Worker) {
    if rt.exec.switched(worker.cpu) {
        worker.pending.store(true, Ordering::SeqCst);
    }
}

/// This KLT has just got a worker with a task to run.
fn adopt(klt: &'static Klt, until: Option<Timestamp>) {
    let rt = klt.rt();
    saved(rt, klt.worker());
    klt.arm(until, rt.now());
}

/// Waits for a worker; `None`: `me` goes on, or the thread is to end (then it has no worker).
fn next_order(klt: &'static Klt, me: Option<&Header>) -> Option<Step> {
    match klt.await_order() {
        Order::Quit => None,
        Order::Complete(decision) => {
            saved(klt.rt(), klt.worker());
            Some(Step::Carry(decision))
        }
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

/// Switches from the stack of `me` (or the base loop) to that of `task`, which is bound to this KLT. Returns when
/// somebody switches back.
#[inline]
fn enter(klt: &'static Klt, me: Option<&Header>, task: &Header) {
    let to = prepare(klt, task);
    let save = me.map_or(klt.base.get(), |me| me.context.get());
    // SAFETY: `to` was saved by a switch on this very thread, or is new; the right to run the task is ours, so nobody
    // else resumes it. `save` belongs to the code that is running here.
    unsafe { switch(save, to, 0) };
    arrived(klt);
}

/// Makes `task` current and gives the context at which it goes on.
#[inline]
fn prepare(klt: &'static Klt, task: &Header) -> Context {
    klt.set_current(task);
    klt.identity.hold(Some(task));
    // SAFETY: the right to run the task is ours.
    unsafe {
        let context = &mut *task.context.get();
        if context.is_empty() {
            *context = first_context(task);
        }
        *context
    }
}

/// The context of a task that begins; its stack was allocated when it was bound.
///
/// # Safety
/// The right to run the task is the caller's.
unsafe fn first_context(task: &Header) -> Context {
    // SAFETY: the caller's promise.
    match unsafe { (*task.stack.get()).as_ref() } {
        // SAFETY: the stack is the task's own until it is reaped, and large enough for a signal frame (checked by the
        // pool). `entry` gets the header that it expects.
        Some(stack) => unsafe { Context::new(stack.top(), entry, ptr::from_ref(task).expose_provenance()) },
        None => fatal(&format_args!("a task without a stack was started")),
    }
}

/// What is due on the new stack after a switch.
#[inline]
fn arrived(klt: &'static Klt) {
    let dead = klt.dead.replace(ptr::null());
    if !dead.is_null() {
        reap(klt, dead);
    }
    saved(klt.rt(), klt.worker());
}

/// The stack of a task that has ended is left: gives it back.
fn reap(klt: &Klt, dead: *const Header) {
    // SAFETY: the runtime's reference is given up only below, and nobody else uses the stack.
    let task = unsafe { &*dead };
    // SAFETY: as above.
    let stack = unsafe { (*task.stack.get()).take() };
    if let Some(stack) = stack {
        klt.rt().stack_owners[stack.index()].store(ptr::null_mut(), Ordering::Release);
        drop(stack); // Lock-free.
    }
    klt.rt().unregister(task);
    if task.release() {
        // Freeing takes the allocator's lock, which a preempted task may hold: some task does it, where it can be
        // preempted itself.
        task.next_waiter.set(klt.garbage.get());
        klt.garbage.set(dead);
    }
}

/// Where a new task begins.
unsafe extern "C" fn entry(data: usize, _: usize) -> ! {
    let header: *const Header = ptr::with_exposed_provenance(data);
    let Some(klt) = klt::this() else { fatal(&format_args!("a task began on a foreign thread")) };
    arrived(klt);
    // SAFETY: the runtime's reference keeps the task until it is reaped.
    let task = unsafe { &*header };
    usage::begin(klt, task);
    leave_runtime(klt);
    // SAFETY: called once, on the task's own stack.
    unsafe { (task.vtable.run)(header) };
    finish(klt, task)
}

/// The closure has returned or unwound: tells the joiner and ends.
fn finish(klt: &'static Klt, task: &Header) -> ! {
    if task.mutexes.get() > 0 {
        // It forgot a guard: the mutex will name its owner for ever.
        task.leak();
    }
    // A detached task's outcome is dropped here, as user code, preemptible.
    if task.joiner.load(Ordering::Acquire) == DETACHED {
        // SAFETY: nobody collects it.
        unsafe { (task.vtable.drop_outcome)(task) };
    }
    klt.enter();
    if announce_end(klt.rt(), task) {
        // Detached between the two looks: the outcome is dropped after all.
        klt.lower_flag();
        // SAFETY: the handle is gone.
        unsafe { (task.vtable.drop_outcome)(task) };
        klt.enter();
    }
    exit(klt, task)
}

/// Publishes that the task has ended. True if its handle was dropped, so that nobody takes the outcome.
pub(crate) fn announce_end(rt: &Inner, task: &Header) -> bool {
    let last = rt.live.fetch_sub(1, Ordering::AcqRel) == 1;
    task.state.store(DONE, Ordering::Release);
    let joiner = task.joiner.swap(ENDED, Ordering::AcqRel);
    match joiner {
        NOBODY | DETACHED => {}
        THREAD => sys::futex_wake(&task.state, i32::MAX),
        joiner => {
            // The other runtime's tasks still exist, so this is not its last reference in any case that matters; if it is,
            // its threads have ended and nobody waits.
            let other = task.take_joiner_runtime();
            other.as_deref().unwrap_or(rt).unpark(dis_core::api::TaskId(joiner));
        }
    }
    if last {
        rt.all_ended();
    }
    joiner == DETACHED
}

fn exit(klt: &'static Klt, me: &Header) -> ! {
    let rt = klt.rt();
    usage::end(klt, me);
    rt.unbind(klt);
    // From here on nobody lends it anything.
    klt.identity.hold(None);
    if klt.identity.is_wanted() {
        identity::serve_waiters(rt, klt);
    }
    let mut leave = Leave::Exit(0);
    let step = loop {
        let now = begin_question(klt, true);
        let answer = rt.exec.schedule(klt.worker().cpu, now, leave);
        let decision = *answered(rt, klt, leave, now, &answer);
        let Some(next) = decision.next else { break Step::Carry(decision) };
        let task = next.context.header();
        let own = task.klt.load(Ordering::Relaxed);
        if !own.is_null() && !ptr::eq(own, klt) {
            break Step::Carry(decision);
        }
        task.set_id(next.id);
        match binding::locate(klt, None, next.context, true) {
            Site::Here => {
                klt.arm(decision.until, now);
                let to = prepare(klt, task);
                klt.dead.set(me);
                // SAFETY: as in `enter`; this stack is not used again.
                unsafe { jump(to, 0) }
            }
            Site::There(other) => break Step::Hand(other, next.context, decision.until),
            Site::Gone => bury(klt, next.context, now),
            Site::NoSpare => rt.wait_for_spare(task),
            Site::Declined => {}
        }
        leave = Leave::Declined;
    };
    klt.dead.set(me);
    klt.set_current(ptr::null());
    // SAFETY: only this thread uses the cells; the base loop was left by `enter`, so its context is saved.
    unsafe {
        *klt.handoff.get() = Some(step);
        jump(*klt.base.get(), 0)
    }
}

/// Lowers the flag at the end of a runtime call in a task, after doing what came meanwhile.
#[inline]
pub(crate) fn leave_runtime(klt: &'static Klt) {
    klt.lower_flag();
    if klt.wanted() || klt.identity.is_wanted() || !klt.garbage.get().is_null() {
        leave_slowly(klt);
    }
}

#[cold]
fn leave_slowly(klt: &'static Klt) {
    while klt.wanted() || (klt.identity.is_wanted() && !thread::panicking()) {
        klt.enter();
        let _ = turn(klt, klt.current(), Step::Ask(Leave::Ask), !thread::panicking());
        klt.lower_flag();
    }
    // The handler never touches the list: it is filled by switches between stacks of this KLT.
    let mut next = klt.garbage.replace(ptr::null());
    // SAFETY: the last reference to each task in the list is the list's.
    while let Some(task) = unsafe { next.as_ref() } {
        next = task.next_waiter.get();
        // SAFETY: as above.
        unsafe { (task.vtable.free)(task) };
    }
}

/// Called by the signal handler: the running task may have to give way.
pub(crate) fn preempt(klt: &'static Klt) {
    while klt.wanted() {
        klt.enter();
        let me = klt.current();
        if let Some(me) = me {
            keep::before_wait(klt, me);
        }
        let _ = turn(klt, me, Step::Ask(Leave::Ask), false);
        klt.lower_flag();
    }
}

/// The running task gives up the CPU. Must be called in a task, outside the runtime.
#[inline]
pub(crate) fn give_way(klt: &'static Klt, leave: Leave) {
    klt.enter();
    let me = klt.current();
    if let Some(me) = me {
        keep::before_leave(klt, me);
    }
    let _ = turn(klt, me, Step::Ask(leave), !thread::panicking());
    leave_runtime(klt);
}

/// As [`give_way`] for waits: a task that is alone on its identity again may be moved again.
pub(crate) fn wait(klt: &'static Klt, leave: Leave) {
    klt.enter();
    let me = klt.current();
    if let Some(me) = me {
        keep::before_wait(klt, me);
    }
    let _ = turn(klt, me, Step::Ask(leave), !thread::panicking());
    leave_runtime(klt);
}

/// Runs `f` inside the runtime: not preempted, and on a carrier looked after when it is left. `f` does not allocate, free,
/// block in the kernel or run user code.
#[inline]
pub(crate) fn inside<T>(f: impl FnOnce() -> T) -> T {
    match klt::this() {
        Some(klt) if klt.current().is_some() && klt.enter() => {
            let result = f();
            leave_runtime(klt);
            result
        }
        _ => f(),
    }
}

/// Ends the running task by unwinding if somebody has aborted it, unless it unwinds already.
#[inline]
pub(crate) fn check_abort() {
    if let Some(task) = klt::this().and_then(Klt::current)
        && task.aborted.load(Ordering::Relaxed)
        && !thread::panicking()
    {
        std::panic::resume_unwind(Box::new(Abort));
    }
}
