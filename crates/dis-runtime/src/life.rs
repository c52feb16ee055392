//! How a task begins on its stack, is switched to, and ends.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_context::{Context, jump, switch};
use dis_core::api::TaskId;
use dis_core::executor::Leave;

use crate::binding::{self, Site};
use crate::dispatch::{Step, answered, prepare_question, saved};
use crate::gate::leave_runtime;
use crate::identity;
use crate::joiner::Concerned;
use crate::klt::{self, Klt};
use crate::runtime::{Inner, fatal};
use crate::sync::raw_mutex;
use crate::task::{DONE, Header};
use crate::{sys, usage};

/// Switches from the stack of `me` (or the base loop) to that of `task`, which is bound to this KLT. Returns when
/// somebody switches back.
#[inline]
pub(crate) fn enter(klt: &'static Klt, me: Option<&Header>, task: &Header) {
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
    // SAFETY: the runtime's reference is given up only below.
    let task = unsafe { &*dead };
    klt.rt().detach_stack(klt, task);
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
    usage::begin(klt, task, klt.asked.get());
    leave_runtime(klt);
    // SAFETY: called once, on the task's own stack.
    unsafe { (task.vtable.run)(header) };
    finish(klt, task)
}

/// The closure has returned or unwound: tells the joiner and ends.
fn finish(klt: &'static Klt, task: &Header) -> ! {
    // A detached task's outcome is dropped here, as user code, preemptible.
    if task.joiner.is_detached() {
        // SAFETY: nobody collects it.
        unsafe { (task.vtable.drop_outcome)(task) };
    }
    klt.enter();
    let joiner = match announce_end(klt.rt(), task) {
        Audience::Detached => {
            // Between the two looks: the outcome is dropped after all.
            klt.lower_flag();
            // SAFETY: the handle is gone.
            unsafe { (task.vtable.drop_outcome)(task) };
            klt.enter();
            None
        }
        Audience::Joiner(id) => Some(id),
        Audience::Nobody => None,
    };
    // After the last code of the user's that runs as this task.
    if task.mutexes.get() > 0 {
        raw_mutex::orphan(task);
    }
    exit(klt, task, joiner)
}

/// Who is concerned by the end of a task, beside those who have been told.
#[must_use = "a joiner waits to be unparked"]
pub(crate) enum Audience {
    Nobody,
    /// The handle was dropped, so nobody takes the outcome.
    Detached,
    /// A task of the same runtime, which is yet to be unparked.
    Joiner(TaskId),
}

/// Publishes that the task has ended.
pub(crate) fn announce_end(rt: &Inner, task: &Header) -> Audience {
    let last = rt.live.fetch_sub(1, Ordering::AcqRel) == 1;
    task.state.store(DONE, Ordering::Release);
    let audience = match task.joiner.end() {
        Concerned::Nobody => Audience::Nobody,
        Concerned::Detached => Audience::Detached,
        Concerned::Thread => {
            sys::futex_wake(&task.state, i32::MAX);
            Audience::Nobody
        }
        Concerned::Task(joiner) => match task.take_joiner_runtime() {
            Some(other) => {
                other.unpark(TaskId(joiner));
                Audience::Nobody
            }
            None => Audience::Joiner(TaskId(joiner)),
        },
    };
    if last {
        rt.all_ended();
    }
    audience
}

fn exit(klt: &'static Klt, me: &Header, mut joiner: Option<TaskId>) -> ! {
    let rt = klt.rt();
    let mut now = rt.now();
    usage::end(klt, me, now);
    rt.unbind(klt);
    // From here on nobody lends it anything.
    klt.identity.hold(None);
    if klt.identity.is_wanted() {
        identity::serve_waiters(rt, klt);
    }
    let mut leave = Leave::Exit(0);
    let step = loop {
        prepare_question(klt, true);
        let cpu = klt.worker().cpu;
        let answer = match joiner.take() {
            Some(joiner) => rt.exec.exit_and_unpark(cpu, now, 0, joiner),
            None => rt.exec.schedule(cpu, now, leave),
        };
        rt.endings.tell();
        klt.asked.set(now);
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
            Site::Declined => {}
        }
        leave = Leave::Declined;
        now = rt.now();
    };
    klt.dead.set(me);
    klt.set_current(ptr::null());
    // SAFETY: only this thread uses the cells; the base loop was left by `enter`, so its context is saved.
    unsafe {
        *klt.handoff.get() = Some(step);
        jump(*klt.base.get(), 0)
    }
}
