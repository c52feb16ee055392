//! Spawning futures.

use std::future::Future;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

use async_task::{Builder, Runnable, ScheduleInfo, WithInfo};
use dis_core::api::SchedError;
use dis_core::intent::{Intent, IntentClass};

use crate::future::OWN;
use crate::future::block_on::entered;
use crate::future::join::JoinHandle;
use crate::future::meta::{FutureId, Meta, Wrapped};
use crate::future::own::{self, Own};
use crate::gate::{inside, leave_runtime};
use crate::host::Runtime;
use crate::klt;
use crate::runtime::Inner;
use crate::span;
use crate::spawn::SpawnError;
use crate::task::Header;

/// Spawns a future as a task of the runtime that runs the caller, or that the caller has entered by [`Runtime::block_on`].
///
/// Futures of a class (Interactive: and target latency) share a lane on each worker. One whose intent promises it something of
/// its own (Realtime, `cpu_min`, `cpu_max`, an affinity or a NUMA node) gets a scheduler task and a kernel thread to itself.
///
/// # Errors
/// [`SpawnError::OutsideTask`] if there is no runtime; else as for [`spawn_fn`](crate::spawn_fn).
#[track_caller]
pub fn spawn<F>(intent: Intent, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    with_runtime(|rt| start(rt, &intent, future, location))
}

/// Spawns a future with the intent of the task that calls; from outside of tasks, as Batch.
///
/// # Errors
/// As for [`spawn`].
#[track_caller]
pub fn spawn_child<F>(future: F) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    with_runtime(|rt| match current_meta().map(|meta| meta.kind.load(std::sync::atomic::Ordering::Acquire)) {
        Some(kind) if kind != OWN => place(rt, kind, None, None, future, location),
        _ => {
            let intent = crate::api::here().and_then(|(klt, me)| intent_of(klt.rt(), me));
            start(rt, &intent.unwrap_or(Intent::batch()), future, location)
        }
    })
}

/// The future that is being polled; `None` outside of spawned futures.
pub fn current() -> Option<FutureId> {
    current_meta().map(|meta| meta.id.get())
}

impl Runtime {
    /// As [`future::spawn`](crate::future::spawn), from anywhere.
    ///
    /// # Errors
    /// See [`SpawnError`].
    #[track_caller]
    pub fn spawn<F>(&self, intent: Intent, future: F) -> Result<JoinHandle<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        start(&self.inner, &intent, future, Location::caller())
    }

    /// Runs a future on the calling thread, or in the calling task, until it ends. Futures that it spawns become tasks of this
    /// runtime, unless the caller is a task of another one.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = crate::future::enter_runtime(&self.inner);
        crate::future::block_on(future)
    }
}

pub(crate) fn current_meta<'a>() -> Option<&'a Meta> {
    // SAFETY: set while the future is being polled on this thread, which is where we are.
    crate::api::here().and_then(|(_, me)| unsafe { me.future.get().as_ref() })
}

fn intent_of(rt: &Inner, me: &Header) -> Option<Intent> {
    let class = inside(|| rt.exec.with_task(me.id(), |task| task.intent.class).ok())?;
    match class {
        dis_core::intent::IntentClass::Realtime { .. } => Some(Intent::interactive(1_000)),
        // Promises are not inherited.
        _ => Some(Intent { class, ..Intent::batch() }),
    }
}

fn with_runtime<T>(f: impl FnOnce(&Inner) -> Result<T, SpawnError>) -> Result<T, SpawnError> {
    match crate::api::here() {
        Some((klt, _)) => f(klt.rt()),
        None => f(&*entered().ok_or(SpawnError::OutsideTask)?),
    }
}

fn start<F>(
    rt: &Inner,
    intent: &Intent,
    future: F,
    location: &'static Location<'static>,
) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match rt.futures.kind_of(rt, intent)? {
        Some(kind) => place(rt, kind, None, None, future, location),
        None => {
            crate::future::make_stacks(rt)?;
            let own = Arc::new(Own::new());
            let handle = place(rt, OWN, Some(intent.class), Some(own.clone()), future, location)?;
            own::start(rt, intent, own)?;
            Ok(handle)
        }
    }
}

/// Makes the task and lets it be polled. `class`: if it is not the kind's.
#[inline]
fn place<F>(
    rt: &Inner,
    kind: u8,
    class: Option<IntentClass>,
    own: Option<Arc<Own>>,
    future: F,
    location: &'static Location<'static>,
) -> Result<JoinHandle<F::Output>, SpawnError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if own.is_none() {
        let why = "a future in a domain that shares a lane with futures of others; declare something of its own for it, such as an affinity";
        rt.permit(|_, _| Err(SchedError::NotSupported(why))).map_err(SpawnError::Refused)?;
    }
    let class = || class.unwrap_or_else(|| rt.futures.kind(kind).intent.class);
    let (future, span) = span::future(future, class, location);
    let builder = Builder::new().metadata(Meta::new(rt.handle(), kind, own, location));
    // SAFETY: future, result and schedule function are Send and 'static. The metadata lies in the same allocation as the future, so
    // the future may point at it.
    let (runnable, task) = unsafe { builder.spawn_unchecked(|meta| Wrapped::new(meta, future), WithInfo(schedule)) };
    let waker = runnable.waker();
    let refused = inside(|| runnable.metadata().register(waker).err());
    if let Some(waker) = refused {
        drop((waker, runnable, task));
        return Err(SpawnError::Closing);
    }
    let handle = JoinHandle::new(task);
    span.identify(handle.id());
    enqueue(runnable, true);
    Ok(handle)
}

/// A task has become ready: for `async_task`.
fn schedule(runnable: Runnable<Meta>, info: ScheduleInfo) {
    enqueue(runnable, !info.woken_while_running);
}

/// `next`: it may overtake those that are ready.
#[inline]
fn enqueue(runnable: Runnable<Meta>, next: bool) {
    let meta = runnable.metadata();
    let kind = meta.kind.load(std::sync::atomic::Ordering::Acquire);
    if let Some(times) = &meta.times {
        times.ready(meta.rt.now());
    }
    if kind == OWN {
        return own::schedule(runnable);
    }
    let rt = ptr::from_ref(&*meta.rt);
    match klt::this().filter(|klt| ptr::eq(klt.rt, rt) && klt.current().is_some()) {
        // On a thread of the runtime, which therefore exists.
        Some(klt) => {
            let task = runnable.into_raw().as_ptr();
            let entered = klt.enter();
            klt.rt().futures.kind(kind).push(klt, task, next);
            // At the end of a poll the way back to the server, which is inside the runtime, leads by no code of the user's.
            if entered && next {
                leave_runtime(klt);
            }
        }
        None => {
            // As soon as it is in the queue, it may end, and with it its reference.
            let rt = meta.rt.clone();
            // A task of another runtime must not be preempted while it has this one's locks.
            inside(|| rt.futures.kind(kind).push_foreign(&rt, runnable.into_raw().as_ptr()));
        }
    }
}
