//! Lanes: the ready futures of one kind on one worker.
//!
//! A *kind* is a class, for Interactive with a target latency. It has a lane on each worker, and a queue that all of them
//! share. To push to a lane is the right of whoever carries its worker, inside the runtime: so there is one producer at a time,
//! whichever task it runs as. To take is the right of the lane's server (see `poller`) and of other servers of the kind, which
//! steal.
//!
//! No wake-up is lost, see `idle`.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering, fence};

use dis_core::intent::Intent;

use crate::future::idle::Idle;
use crate::future::inject::Inject;
use crate::future::poller::Poller;
use crate::future::ring::{BATCH, Raw, Ring};
use crate::future::standby::Standbys;
use crate::future::stats::LaneCounters;
use crate::future::taken::Taken;
use crate::future::timers::Timers;
use crate::future::watch;
use crate::klt::Klt;
use crate::lock::Locked;
use crate::runtime::Inner;

/// Futures with the same promise, on all workers.
pub(crate) struct Kind {
    /// Set before anybody can find the kind.
    index: AtomicU8,
    pub(crate) intent: Intent,
    /// How long one poll may hold a worker that others of the kind want, ns.
    pub(crate) slice: u64,
    pub(crate) lanes: Box<[Lane]>,
    pub(crate) inject: Inject,
    pub(crate) idle: Idle,
}

/// See the module. What one worker writes with each poll shares no cache line, nor a pair of them, with what another one reads.
#[repr(align(128))]
pub(crate) struct Lane {
    pub(crate) cpu: usize,
    pub(crate) ring: Ring,
    pub(crate) taken: Taken,
    /// The task that was woken last by the one that is being polled: it is next, while its data are warm. The server's alone.
    pub(crate) last: AtomicPtr<()>,
    /// Who serves it.
    pub(crate) server: AtomicPtr<Poller>,
    pub(crate) standbys: Locked<Standbys>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) stats: LaneCounters,
}

impl Lane {
    fn new(cpu: usize) -> Lane {
        Lane {
            cpu,
            ring: Ring::new(),
            taken: Taken::new(),
            last: AtomicPtr::new(ptr::null_mut()),
            server: AtomicPtr::new(ptr::null_mut()),
            standbys: Locked::new(Standbys::new()),
            timers: Arc::new(Timers::new()),
            stats: Default::default(),
        }
    }

    /// How many tasks wait on this lane, but for the one that was woken last.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.taken.len() + self.ring.len()
    }

    /// Whether a task waits on this lane.
    #[inline]
    pub(crate) fn has_tasks(&self) -> bool {
        !self.last.load(Ordering::Relaxed).is_null() || self.ready() > 0
    }
}

impl Kind {
    pub(crate) fn new(intent: Intent, slice: u64, workers: usize) -> Kind {
        Kind {
            index: AtomicU8::new(u8::MAX),
            intent,
            slice,
            lanes: (0..workers).map(Lane::new).collect(),
            inject: Inject::new(),
            idle: Idle::new(workers),
        }
    }

    /// Its place in the table of kinds.
    #[inline]
    pub(crate) fn index(&self) -> u8 {
        self.index.load(Ordering::Relaxed)
    }

    pub(crate) fn set_index(&self, index: u8) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// Makes a task ready on the worker that the caller carries. Inside the runtime. `next`: it may overtake those that are ready.
    #[inline]
    pub(crate) fn push(&self, klt: &'static Klt, task: Raw, next: bool) {
        let lane = &self.lanes[klt.worker().cpu];
        // In the poll of this lane's own server, which is not parked, so it will look.
        let own = klt.poller().filter(|poller| ptr::eq(poller.lane(), lane) && poller.serves());
        match own {
            Some(poller) if next && poller.prefers_last(lane) => {
                let before = lane.last.load(Ordering::Relaxed);
                lane.last.store(task, Ordering::Relaxed);
                if !before.is_null() {
                    self.append(lane, before);
                    self.wake_another(klt.rt());
                }
                klt.watch_again(poller);
            }
            Some(poller) => {
                // If the task that is being polled yields, the server looks at once, see `share`. If nothing else is ready it is
                // as with the one that was woken last: the server comes to it, or is displaced.
                let others = next && lane.has_tasks();
                self.append(lane, task);
                if others {
                    self.wake_another(klt.rt());
                }
                klt.watch_again(poller);
            }
            None => {
                self.append(lane, task);
                // A poll that was displaced, and wakes many, would be interrupted for each of them: they are told together.
                match klt.poller().filter(|poller| ptr::eq(poller.kind(), self) && poller.due().is_some()) {
                    Some(poller) => watch::tell_later(klt, poller),
                    None => self.tell(klt.rt(), lane),
                }
            }
        }
    }

    /// There are tasks on `lane`: somebody is to poll them.
    pub(crate) fn tell(&self, rt: &Inner, lane: &Lane) {
        fence(Ordering::SeqCst);
        if !self.wake(rt, lane) {
            self.wake_another(rt);
        }
    }

    /// Appends to the ring; what it cannot hold goes to the shared queue.
    #[inline]
    fn append(&self, lane: &Lane, task: Raw) {
        if let Err(task) = lane.ring.push(task) {
            self.overflow(lane, task);
        }
    }

    #[cold]
    fn overflow(&self, lane: &Lane, task: Raw) {
        let mut moved = [ptr::null_mut(); BATCH + 1];
        let count = lane.ring.take_half(&mut moved[..BATCH]);
        moved[count] = task;
        self.inject.push(&moved[..=count]);
    }

    /// Makes a task ready from a foreign thread, or from a task of another runtime, inside that.
    pub(crate) fn push_foreign(&self, rt: &Inner, task: Raw) {
        self.inject.push(&[task]);
        fence(Ordering::SeqCst);
        if self.idle.any_parked() {
            self.wake_another(rt);
        } else {
            watch::look_from_outside(rt, self);
        }
    }

    /// Wakes the server of `lane` if it is parked; whether it was.
    fn wake(&self, rt: &Inner, lane: &Lane) -> bool {
        let claimed = self.idle.claim(lane.cpu, false);
        if claimed {
            unpark(rt, lane);
        }
        claimed
    }

    /// There is more than one server can do: wakes another one, unless one looks around already.
    #[inline]
    pub(crate) fn wake_another(&self, rt: &Inner) {
        fence(Ordering::SeqCst);
        if self.idle.wants_another() {
            self.wake_any(rt);
        }
    }

    #[cold]
    fn wake_any(&self, rt: &Inner) {
        // One whose worker has nothing to do, if there is one.
        let cpus = || self.lanes.iter().map(|lane| lane.cpu);
        let idle = cpus().filter(|&cpu| rt.workers[cpu].is_idle());
        if let Some(cpu) = self.idle.claim_any(idle.chain(cpus())) {
            unpark(rt, &self.lanes[cpu]);
        }
    }

    /// As [`wake_another`](Self::wake_another), for a server that has just taken a task: that was a full barrier, or the next poll's
    /// beginning is.
    #[inline]
    pub(crate) fn share(&self, rt: &Inner, lane: &Lane) {
        if self.idle.wants_another() && (!lane.ring.is_empty() || self.inject.len() > 0) {
            self.wake_any(rt);
        }
    }

    /// Wakes the server of `lane`, e.g. since a timer is due earlier than it thinks.
    pub(crate) fn rouse(&self, rt: &Inner, lane: &Lane) {
        fence(Ordering::SeqCst);
        self.wake(rt, lane);
    }

    /// Whether a task of the kind is ready anywhere.
    pub(crate) fn has_tasks(&self) -> bool {
        self.inject.len() > 0 || self.lanes.iter().any(|lane| !lane.ring.is_empty())
    }
}

/// For who has claimed the server of `lane`.
fn unpark(rt: &Inner, lane: &Lane) {
    // SAFETY: a lane whose server is parked has one; pollers live as long as the runtime.
    if let Some(server) = unsafe { lane.server.load(Ordering::Acquire).as_ref() } {
        rt.unpark(server.task());
    }
}
