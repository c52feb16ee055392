//! What a task does: the free functions.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use dis_core::api::{BlockReason, SchedError, TaskId, Timestamp};
use dis_core::executor::{Job, Leave};
use dis_core::intent::Intent;

use crate::gate::{self, check_abort, inside};
use crate::join::JoinHandle;
use crate::klt::{self, Klt};
use crate::spawn::{SpawnError, TaskBuilder};
use crate::task::Header;

/// The running task and its thread.
#[inline]
pub(crate) fn here() -> Option<(&'static Klt, &'static Header)> {
    let klt = klt::this()?;
    Some((klt, klt.current()?))
}

/// Spawns a closure as a task of the runtime that runs the caller.
///
/// # Errors
/// [`SpawnError::OutsideTask`] if the caller is no task; else as for `Runtime::spawn_fn`.
#[track_caller]
pub fn spawn_fn<F, T>(intent: Intent, closure: F) -> Result<JoinHandle<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    task(intent).spawn(closure)
}

/// As [`spawn_fn`], for a closure that blocks in the kernel: a task with a thread of its own ([`TaskBuilder::dedicated`]).
///
/// There is no separate pool: while it blocks, its worker goes on with others, as for every task, and when it computes it is
/// scheduled by its intent, as every task is. What this adds to `spawn_fn` is that no other task is ever bound to that thread, so none
/// waits for it, even if tasks share threads in this runtime.
///
/// # Errors
/// As for [`spawn_fn`].
#[track_caller]
pub fn spawn_blocking<F, T>(intent: Intent, closure: F) -> Result<JoinHandle<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    task(intent).dedicated().spawn(closure)
}

/// A task with more than an intent, of the runtime that runs the caller.
pub fn task(intent: Intent) -> TaskBuilder<'static> {
    TaskBuilder::new(None, intent)
}

/// Ends the running task if it has been aborted, by unwinding; else does nothing, and does not wait. For loops that compute for long
/// without calling the runtime: an abort of [`JoinHandle`] or `dis ctl kill` waits for such a call.
#[inline]
pub fn checkpoint() {
    check_abort();
}

/// Lets other tasks of the caller's urgency go first. Outside a task: [`std::thread::yield_now`].
#[inline]
pub fn yield_now() {
    let Some(klt) = klt::this().filter(|klt| klt.current().is_some()) else { return thread::yield_now() };
    gate::give_way(klt, Leave::Yield);
    check_abort();
}

/// Sleeps for at least `duration`. Outside a task: [`std::thread::sleep`].
pub fn sleep(duration: Duration) {
    match here() {
        Some((klt, _)) => sleep_until_in(klt, klt.rt().now() + duration.into()),
        None => thread::sleep(duration),
    }
}

/// Sleeps until `at` on the clock of [`now`].
pub fn sleep_until(at: Timestamp) {
    match here() {
        Some((klt, _)) => sleep_until_in(klt, at),
        None => thread::sleep(at.since(now()).into()),
    }
}

fn sleep_until_in(klt: &'static Klt, at: Timestamp) {
    loop {
        check_abort();
        gate::wait(klt, Leave::Sleep(at));
        check_abort();
        // An abort of the future that is being polled here wakes too.
        if klt.rt().now() >= at {
            return;
        }
    }
}

/// The time: nanoseconds of CLOCK_MONOTONIC. About 10 ns where the processor's counter is reliable.
pub fn now() -> Timestamp {
    crate::clock::Clock::get().now()
}

/// The running task's id; `None` outside a task.
pub fn current() -> Option<TaskId> {
    here().map(|(_, task)| task.id())
}

/// A Realtime task has finished its job and waits for the next release. Answers the job that begins now: its number,
/// release and deadline, whether the job before missed its deadline, and how many releases were skipped because
/// they could only have been late.
///
/// # Errors
/// [`SchedError::InvalidState`] outside a task, in a task whose intent is not Realtime, or while it serves a call.
pub fn next_period() -> Result<Job, SchedError> {
    end_job(Leave::NextPeriod)
}

/// As [`next_period`], for a sporadic task whose next job arrives at `arrival`, on the clock of [`now`]: it is released then, but not
/// sooner than a period after the release of this one, which is what admission has reckoned with.
///
/// # Errors
/// As for [`next_period`].
pub fn next_job(arrival: Timestamp) -> Result<Job, SchedError> {
    end_job(Leave::NextJob(arrival))
}

fn end_job(leave: Leave) -> Result<Job, SchedError> {
    let (klt, me) = here().ok_or(SchedError::InvalidState)?;
    check_abort();
    if !me.is_realtime() || serves(klt, me) {
        return Err(SchedError::InvalidState);
    }
    gate::wait(klt, leave);
    check_abort();
    job()
}

/// Whether the running task serves a call, so that its time is its caller's: it has no job of its own to end then.
///
/// One that has never received has no caller; that takes no lock.
pub(crate) fn serves(klt: &Klt, me: &Header) -> bool {
    !me.serves.get().is_null() && inside(|| klt.rt().exec.carrier_of(me.id())).is_ok_and(|carrier| carrier != me.id())
}

/// The current job of a Realtime task.
///
/// # Errors
/// [`SchedError::InvalidState`] outside a task.
pub fn job() -> Result<Job, SchedError> {
    let (klt, me) = here().ok_or(SchedError::InvalidState)?;
    inside(|| klt.rt().exec.with_task(me.id(), |task| task.job()))
}

/// Blocks the running task until [`JoinHandle::unpark`] is called for it; at once if that has happened since it last parked. May
/// return for no reason. Outside a task: [`std::thread::park`].
pub fn park() {
    match here() {
        Some((klt, me)) => {
            if !me.unparked.swap(false, Ordering::SeqCst) {
                gate::wait(klt, Leave::Block(BlockReason::Event, None));
                me.unparked.store(false, Ordering::SeqCst);
            }
            check_abort();
        }
        None => thread::park(),
    }
}
