//! The keeper: an ordinary thread that makes spare KLTs ahead of need and sees aborts through.
//!
//! Workers must not create threads themselves: the C library's locks that this takes may belong to a preempted task,
//! which the waiting worker would never run. The keeper may wait. It sleeps without timeout unless something is
//! to be tried again.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::builder::BuildError;
use crate::klt::Klt;
use crate::runtime::{Inner, fatal};
use crate::shortage::Lack;
use crate::sys;

/// Stack of a KLT's base loop and of its handler's callees, bytes.
const BASE_STACK: usize = 256 * 1024;

/// How long to wait before something is tried again.
const RETRY_NS: u64 = 2_000_000;

/// How long, at most, before a task that was aborted and has not ended is told once more: it does not call the runtime, and is
/// told twice as late each time.
const LONGEST_NS: u64 = 128_000_000;

/// The keeper's inbox.
pub(crate) struct Keeper {
    word: AtomicU32,
    stop: AtomicBool,
    abort_all: AtomicBool,
    abandoned: AtomicBool,
    aborting: AtomicBool,
}

impl Keeper {
    pub(crate) fn new() -> Keeper {
        Keeper {
            word: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            abort_all: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
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

    /// Nobody waits for the end of the tasks: when they have ended, the keeper ends the threads.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
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
    *inner.keeper_thread.lock().unwrap_or_else(|e| e.into_inner()) = Some(thread);
    Ok(())
}

fn keep(rt: &Arc<Inner>) {
    let keeper = &rt.keeper;
    let mut pause = RETRY_NS;
    let mut warned = false;
    loop {
        let seen = keeper.word.load(Ordering::Acquire);
        if keeper.stop.load(Ordering::Acquire) {
            return;
        }
        // `live` is looked at again as long as it is not 0, since `remind_aborted` asks for that.
        let is_over = || keeper.abandoned.load(Ordering::SeqCst) && rt.live.load(Ordering::Acquire) == 0;
        if is_over() {
            return rt.stop_threads();
        }
        if !warned && rt.is_out_of_klts() {
            warned = warn(&rt.config.name, rt.config.klts);
        }
        let refused = make_spares(rt);
        // Nobody tells us when stacks can be had again; nor, where there are no more KLTs, when a carrier has become free.
        let mut soon = rt.retry(Lack::Stack);
        if rt.no_more_klts.load(Ordering::Relaxed) {
            soon |= rt.retry(Lack::Klt) | rt.retry(Lack::OwnKlt);
        }
        soon |= rt.clear_graves(|task| rt.exec.with_task(task.id(), |_| ()).is_ok());
        let aborting = rt.remind_aborted(keeper.abort_all.load(Ordering::Acquire));
        if aborting {
            keeper.aborting.store(true, Ordering::Release);
        }
        if refused {
            // Whoever lacks a thread rouses us all the time.
            thread::sleep(Duration::from_nanos(RETRY_NS));
            continue;
        }
        if !aborting && is_over() {
            continue; // The last task has ended since we looked.
        }
        pause = if aborting && !soon { pause.min(LONGEST_NS) } else { RETRY_NS };
        sys::futex_wait(&keeper.word, seen, (soon || aborting).then_some(pause));
        pause = if keeper.word.load(Ordering::Acquire) == seen { pause * 2 } else { RETRY_NS };
    }
}

/// Says that all threads are taken; false if that has to wait. On a thread of its own: a task may have the lock of standard
/// error and wait for what only the keeper can bring.
fn warn(name: &str, klts: usize) -> bool {
    let text = format!(
        "warning: {name}: {klts} tasks have begun and more wait to begin; if those that have begun wait for those that have \
         not, none will; see TaskBuilder::shared"
    );
    let thread = thread::Builder::new().name(format!("{name}-warning")).stack_size(BASE_STACK);
    thread.spawn(move || eprintln!("{text}")).is_ok()
}

/// Makes the spares that are missing; true if the system refuses.
fn make_spares(rt: &Arc<Inner>) -> bool {
    let refused = (0..rt.missing_spares()).any(|_| match spawn_klt(rt) {
        Ok(klt) => {
            rt.put_spare(klt);
            false
        }
        Err(_) => true,
    });
    rt.no_more_klts.store(refused || rt.klts_are_all_there(), Ordering::Release);
    refused
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
    let outcome = match thread {
        Ok(thread) => result.recv().map(|ready| ready.map(|()| thread)),
        Err(error) => Ok(Err(error.to_string())),
    };
    match outcome {
        Ok(Ok(thread)) => {
            inner.threads.lock().unwrap_or_else(|e| e.into_inner()).push(thread);
            Ok(klt)
        }
        Ok(Err(error)) => {
            inner.unborn.store(ptr::from_ref(klt).cast_mut(), Ordering::Release);
            Err(BuildError::Thread(error))
        }
        Err(_) => fatal(&format_args!("a kernel thread ended before it began")),
    }
}
