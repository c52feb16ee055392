//! Workers: the CPU roles that KLTs carry.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use dis_core::api::Timestamp;

use crate::clock::Clock;
use crate::klt::{self, Klt};
use crate::sys;
use crate::watcher::{self, Watch};

/// Values of `Worker::idle`.
const BUSY: u32 = 0;
const ASLEEP: u32 = 1;
const ROUSED: u32 = 2;

/// One CPU of the scheduler.
pub(crate) struct Worker {
    /// Its number in the core.
    pub(crate) cpu: usize,
    /// The CPU of the machine to which its carriers are pinned.
    pub(crate) os_cpu: usize,
    /// Who carries it.
    pub(crate) carrier: AtomicPtr<Klt>,
    /// It should ask the core again: set by kicks, cleared before each question.
    pub(crate) pending: AtomicBool,
    /// Futex word of the idle loop.
    idle: AtomicU32,
    /// An unbound KLT that takes the worker when its carrier cannot go on. Not null while the carrier is bound.
    pub(crate) home: AtomicPtr<Klt>,
    /// Who watches its carrier.
    pub(crate) watch: Watch,
    /// The identity that tasks of each class share here, if they do.
    pub(crate) shared: [AtomicPtr<Klt>; 5],
    /// Its carrier ends when it becomes idle.
    pub(crate) stop: AtomicBool,
    /// It has.
    pub(crate) stopped: AtomicBool,
}

impl Worker {
    pub(crate) fn new(cpu: usize, os_cpu: usize) -> Worker {
        Worker {
            cpu,
            os_cpu,
            carrier: AtomicPtr::new(ptr::null_mut()),
            pending: AtomicBool::new(false),
            idle: AtomicU32::new(BUSY),
            home: AtomicPtr::new(ptr::null_mut()),
            watch: Watch::new(),
            shared: Default::default(),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Makes the worker ask the core again soon, whoever carries it.
    ///
    /// No kick is lost: `pending` is set before `idle` and `carrier` are read, all sequentially consistent. A worker
    /// about to sleep sets `idle` before it reads `pending`; a new carrier is entered before it reads `pending`, which
    /// it does when it leaves the runtime for the task. So either the kicker sees where the worker is, or the worker
    /// sees the kick.
    pub(crate) fn kick(&self, pid: i32, signal: i32) {
        self.pending.store(true, Ordering::SeqCst);
        if klt::this().is_some_and(|klt| klt.carries(self)) {
            return; // We are the carrier, inside the runtime, and look at `pending` when we leave it.
        }
        match self.idle.compare_exchange(ASLEEP, ROUSED, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => sys::futex_wake(&self.idle, 1),
            Err(ROUSED) => {}
            Err(_) => {
                // SAFETY: carriers live as long as the runtime.
                if let Some(klt) = unsafe { self.carrier.load(Ordering::SeqCst).as_ref() } {
                    if self.watch.is_on() && watcher::seems_blocked(klt) && self.call_home() {
                        return; // Nothing has waited for it so far, or its watcher is kept from running.
                    }
                    sys::tgkill(pid, klt.tid.load(Ordering::Relaxed), signal);
                }
            }
        }
    }

    /// Interrupts its carrier. Only for a kick that has set `pending`.
    pub(crate) fn interrupt(&self, pid: i32, signal: i32) {
        // SAFETY: carriers live as long as the runtime.
        if let Some(klt) = unsafe { self.carrier.load(Ordering::SeqCst).as_ref() } {
            sys::tgkill(pid, klt.tid.load(Ordering::Relaxed), signal);
        }
    }

    /// Asks the home to see whether the carrier is blocked in the kernel, and to take its role then. False if there is none.
    pub(crate) fn call_home(&self) -> bool {
        // SAFETY: KLTs live as long as the runtime.
        unsafe { self.home.load(Ordering::SeqCst).as_ref() }.is_some_and(Klt::ask_to_look)
    }

    /// Whether its carrier sleeps because there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::SeqCst) != BUSY
    }

    /// Sleeps until a kick or `until`. Called by the carrier, inside the runtime.
    pub(crate) fn sleep(&self, clock: &Clock, until: Option<Timestamp>, stay_awake: impl Fn() -> bool) {
        self.idle.store(ASLEEP, Ordering::SeqCst);
        while !self.pending.load(Ordering::SeqCst) && !stay_awake() && self.idle.load(Ordering::SeqCst) == ASLEEP {
            let now = clock.now();
            let rest = match until {
                Some(until) if until <= now => break,
                Some(until) => Some(until.since(now).as_nanos()),
                None => None,
            };
            sys::futex_wait(&self.idle, ASLEEP, rest);
        }
        self.idle.store(BUSY, Ordering::SeqCst);
    }
}
