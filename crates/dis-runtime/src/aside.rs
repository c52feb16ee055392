//! Letting a thread that serves the workers, but is none of theirs, have their CPU: tokio's reactor.
//!
//! Linux does not always let a thread that wakes preempt the one that runs, even if it has asked for a shorter slice: when it has
//! used the CPU a moment ago (it is not *eligible* then, EEVDF), or when a third one is runnable too. It looks again at its next tick, up to
//! 4 ms later. So a worker that runs a task for long looks itself, every now and then, in the signal handler: is that thread ready
//! to run, and on this very CPU? Then it waits for it, asleep, until it has nothing more to do.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{sys, watcher};

/// The longest that a worker stands aside at a time, ns.
const LONGEST: u64 = 500_000;

/// The thread, as workers see it.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Its state in /proc, once it runs.
    stat: OnceLock<File>,
    /// Futex word: changes when it has nothing more to do and somebody waits for that.
    rounds: AtomicU32,
    waiting: AtomicU32,
    /// How often a worker stood aside, and how often of these the thread ran until it had nothing more to do.
    times: AtomicU64,
    runs: AtomicU64,
}

impl Aside {
    /// Called by the thread itself, first.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let stat = File::open(format!("/proc/self/task/{}/stat", sys::gettid()))?;
        let _ = self.stat.set(stat);
        Ok(())
    }

    /// The thread is about to sleep.
    pub(crate) fn rest(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.rounds.fetch_add(1, Ordering::SeqCst);
            sys::futex_wake(&self.rounds, i32::MAX);
        }
    }

    /// How often a worker has stood aside.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// How often the thread then ran until it had nothing more to do, before the worker lost its patience.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// For the carrier of a worker on that CPU of the machine: lets the thread run first if it waits for this CPU. About 3 µs if it
    /// does not. Async-signal-safe; changes `errno`.
    pub(crate) fn stand(&self, cpu: usize) {
        let Some(stat) = self.stat.get() else { return };
        if watcher::runs_on(stat.as_raw_fd()) != Some(cpu) {
            return;
        }
        self.times.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let round = self.rounds.load(Ordering::SeqCst);
        // It may have run meanwhile, on another CPU.
        if watcher::runs_on(stat.as_raw_fd()) == Some(cpu) {
            sys::futex_wait(&self.rounds, round, Some(LONGEST));
            if self.rounds.load(Ordering::SeqCst) != round {
                self.runs.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
