//! Futures with promises of their own: each has a core task, with its intent, that polls it and nothing else.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use async_task::Runnable;
use dis_core::api::{BlockReason, TaskId};
use dis_core::executor::Leave;
use dis_core::intent::Intent;

use crate::future::Entered;
use crate::future::Timers;
use crate::future::meta::Meta;
use crate::gate::{self, inside};
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::spawn::{SpawnError, TaskBuilder};
use crate::task::Header;

/// What the future and its core task share.
pub(crate) struct Own {
    task: AtomicU64,
    /// The future is ready to be polled.
    ready: AtomicPtr<()>,
    ended: AtomicBool,
    /// The future waits for the next release.
    wants_period: AtomicBool,
    /// How many such waits are over.
    periods: AtomicU64,
}

impl Own {
    pub(crate) fn new() -> Own {
        Own {
            task: AtomicU64::new(TaskId::INVALID.0),
            ready: AtomicPtr::new(ptr::null_mut()),
            ended: AtomicBool::new(false),
            wants_period: AtomicBool::new(false),
            periods: AtomicU64::new(0),
        }
    }

    /// The future has been dropped.
    pub(crate) fn end(&self, rt: &Inner) {
        self.ended.store(true, Ordering::SeqCst);
        inside(|| rt.unpark(self.task()));
    }

    pub(crate) fn task(&self) -> TaskId {
        TaskId(self.task.load(Ordering::SeqCst))
    }

    /// Its future was aborted.
    pub(crate) fn abort(&self, rt: &Inner) {
        rt.abort_future_of(self.task());
    }

    /// After the poll that is under way the core task waits for its next release; or no longer.
    pub(crate) fn ask_for_period(&self, ask: bool) {
        self.wants_period.store(ask, Ordering::Relaxed);
    }

    /// How many waits for a release are over.
    pub(crate) fn periods(&self) -> u64 {
        self.periods.load(Ordering::Relaxed)
    }

    /// Waits for the next release if the future does. For its core task, after a poll, even of a `block_on` within the future.
    pub(crate) fn await_period(&self, klt: &'static Klt, me: &Header) {
        if self.wants_period.swap(false, Ordering::Relaxed) {
            if !me.ending.load(Ordering::SeqCst) && !crate::api::serves(klt, me) {
                gate::wait(klt, Leave::NextPeriod);
            }
            self.periods.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn run(&self) {
        let Some((klt, me)) = crate::api::here() else { return };
        self.task.store(me.id().0, Ordering::SeqCst);
        let timers = Arc::new(Timers::new());
        let _entered = Entered::new(Some(me), &timers, None);
        let _context = klt.rt().reactor.enter();
        while !self.ended.load(Ordering::SeqCst) {
            self.await_period(klt, me);
            timers.fire_due(klt.rt().now());
            match NonNull::new(self.ready.swap(ptr::null_mut(), Ordering::SeqCst)) {
                // SAFETY: put there by `schedule`, and taken once.
                Some(ready) => _ = unsafe { Runnable::<Meta>::from_raw(ready) }.run(),
                None => gate::wait(klt, Leave::Block(BlockReason::Event, timers.next())),
            }
        }
    }
}

pub(crate) fn schedule(runnable: Runnable<Meta>) {
    let meta = runnable.metadata();
    let (Some(own), rt) = (meta.own.clone(), meta.rt.clone()) else { return };
    own.ready.store(runnable.into_raw().as_ptr(), Ordering::SeqCst);
    inside(|| rt.unpark(own.task()));
}

/// Starts the core task; if it is refused, the future is dropped.
pub(crate) fn start(rt: &Inner, intent: &Intent, own: Arc<Own>) -> Result<(), SpawnError> {
    let task = {
        let own = own.clone();
        TaskBuilder::of_future(intent.clone()).spawn_on(rt, move || own.run())
    };
    if task.is_err()
        && let Some(ready) = NonNull::new(own.ready.swap(ptr::null_mut(), Ordering::SeqCst))
    {
        // SAFETY: as in `run`.
        drop(unsafe { Runnable::<Meta>::from_raw(ready) });
    }
    // It may not have begun yet.
    task.map(|task| own.task.store(task.id().0, Ordering::SeqCst))
}
