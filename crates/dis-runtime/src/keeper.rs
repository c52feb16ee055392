//! The keeper: an ordinary thread that makes spare KLTs ahead of need and sees aborts through.
//!
//! Workers must not create threads themselves: the C library's locks that this takes may belong to a preempted task,
//! which the waiting worker would never run. The keeper may wait. It sleeps without timeout unless something is
//! to be tried again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::builder::BuildError;
use crate::klt::Klt;
use crate::runtime::{Inner, fatal};
use crate::shortage::Lack;
use crate::sys;

/// Stack of a KLT's base loop and of its handler's callees, bytes.
const BASE_STACK: usize = 256 * 1024;

/// How long to wait before something is tried again.
const RETRY_NS: u64 = 2_000_000;

/// The keeper's inbox.
pub(crate) struct Keeper {
    word: AtomicU32,
    stop: AtomicBool,
    abort_all: AtomicBool,
    aborting: AtomicBool,
}

impl Keeper {
    pub(crate) fn new() -> Keeper {
        Keeper {
            word: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            abort_all: AtomicBool::new(false),
            aborting: AtomicBool::new(false),
        }
    }

    /// There may be something to do. Async-signal-safe.
    pub(crate) fn rouse(&self) {
        self.word.fetch_add(1, Ordering::Release);
        sys::futex_wake(&self.word, 1);
    }

    /// Some task has been told to end, but may have gone to sleep before it noticed.
    pub(crate) fn see_aborts_through(&self) {
        if !self.aborting.swap(true, Ordering::AcqRel) {
            self.rouse();
        }
    }

    pub(crate) fn take_aborting(&self) -> bool {
        self.aborting.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn abort_all(&self) {
        self.abort_all.store(true, Ordering::Release);
        self.rouse();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.rouse();
    }
}

/// Starts the keeper.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<(), BuildError> {
    let rt = inner.clone();
    let thread = thread::Builder::new().name(format!("{}-keeper", inner.config.name)).spawn(move || keep(&rt));
    let thread = thread.map_err(|error| BuildError::Thread(error.to_string()))?;
    inner.threads.lock().unwrap_or_else(|e| e.into_inner()).push(thread);
    Ok(())
}

fn keep(rt: &Arc<Inner>) {
    let keeper = &rt.keeper;
    loop {
        let seen = keeper.word.load(Ordering::Acquire);
        if keeper.stop.load(Ordering::Acquire) {
            return;
        }
        let mut again = false;
        for _ in 0..rt.missing_spares() {
            match spawn_klt(rt) {
                Ok(klt) => rt.put_spare(klt),
                Err(_) => {
                    again = true;
                    break;
                }
            }
        }
        // Nobody tells us when stacks can be had again.
        again |= rt.retry(Lack::Stack);
        again |= rt.clear_graves(|task| rt.exec.with_task(task.id(), |_| ()).is_ok());
        if rt.remind_aborted(keeper.abort_all.load(Ordering::Acquire)) {
            keeper.aborting.store(true, Ordering::Release);
            again = true;
        }
        sys::futex_wait(&keeper.word, seen, again.then_some(RETRY_NS));
    }
}

/// Makes a KLT; it waits for orders when this returns. Not for workers.
pub(crate) fn spawn_klt(inner: &Arc<Inner>) -> Result<&'static Klt, BuildError> {
    let klt = inner.new_klt().ok_or(BuildError::Thread("too many kernel threads".into()))?;
    let (report, result) = mpsc::channel();
    let rt = inner.clone();
    let name = format!("{}-{}", inner.config.name, klt.index);
    let main = move || {
        klt.main(&rt, |ready| {
            let _ = report.send(ready);
        });
    };
    let thread = thread::Builder::new().name(name).stack_size(BASE_STACK).spawn(main);
    let thread = thread.map_err(|error| BuildError::Thread(error.to_string()))?;
    inner.threads.lock().unwrap_or_else(|e| e.into_inner()).push(thread);
    match result.recv() {
        Ok(Ok(())) => Ok(klt),
        Ok(Err(error)) => Err(BuildError::Thread(error)),
        Err(_) => fatal(&format_args!("a kernel thread ended before it began")),
    }
}
