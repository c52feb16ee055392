//! Lanes: the ready futures of one kind on one worker.
//!
//! A *kind* is a class, for Interactive with a target latency. It has a lane on each worker, and a queue that all of them
//! share. To push to a lane is the right of whoever carries its worker, inside the runtime: so there is one producer at a time,
//! whichever task it runs as. To take is the right of the lane's server (see `poller`) and of other servers of the kind, which
//! steal.
//!
//! No wake-up is lost: who pushes publishes the task and then looks for a server that is parked; a server that parks publishes
//! that and then looks for tasks. Both are sequentially consistent, so one of them sees the other.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

use dis_core::intent::Intent;

use crate::future::inject::Inject;
use crate::future::poller::{Poller, Standbys};
use crate::future::ring::{Raw, Ring, SIZE};
use crate::future::stats::LaneCounters;
use crate::future::timers::Timers;
use crate::future::watch;
use crate::klt::Klt;
use crate::lock::Locked;
use crate::runtime::Inner;

/// Futures with the same promise, on all workers.
pub(crate) struct Kind {
    pub(crate) index: u8,
    pub(crate) intent: Intent,
    /// How long one poll may hold a worker that others of the kind want, ns.
    pub(crate) slice: u64,
    pub(crate) lanes: Box<[Lane]>,
    pub(crate) inject: Inject,
    /// How many servers are parked.
    parked: AtomicUsize,
    /// How many servers look for something to steal, or have been woken to do so.
    searching: AtomicUsize,
}

/// See the module.
pub(crate) struct Lane {
    pub(crate) cpu: usize,
    pub(crate) ring: Ring,
    /// The task that was woken last by the one that is being polled: it is next, while its data are warm.
    pub(crate) last: AtomicPtr<()>,
    /// Who serves it.
    pub(crate) server: AtomicPtr<Poller>,
    parked: AtomicBool,
    pub(crate) standbys: Locked<Standbys>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) stats: LaneCounters,
}

impl Lane {
    fn new(cpu: usize) -> Lane {
        Lane {
            cpu,
            ring: Ring::new(),
            last: AtomicPtr::new(ptr::null_mut()),
            server: AtomicPtr::new(ptr::null_mut()),
            parked: AtomicBool::new(false),
            standbys: Locked::new(Standbys::new()),
            timers: Arc::new(Timers::new()),
            stats: Default::default(),
        }
    }

    /// Whether a task waits on this lane.
    pub(crate) fn has_tasks(&self) -> bool {
        !self.last.load(Ordering::Relaxed).is_null() || !self.ring.is_empty()
    }
}

impl Kind {
    pub(crate) fn new(index: u8, intent: Intent, slice: u64, workers: usize) -> Kind {
        Kind {
            index,
            intent,
            slice,
            lanes: (0..workers).map(Lane::new).collect(),
            inject: Inject::new(),
            parked: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
        }
    }

    /// Makes a task ready on the worker that the caller carries. Inside the runtime. `next`: it may overtake those that are ready.
    #[inline]
    pub(crate) fn push(&self, klt: &'static Klt, task: Raw, next: bool) {
        let lane = &self.lanes[klt.worker().cpu];
        // In the poll of this lane's own server, which is not parked, so it will look.
        let own = klt.poller().filter(|poller| ptr::eq(poller.lane(), lane) && poller.serves());
        match own {
            Some(poller) if next && poller.prefers_last() => {
                let before = lane.last.swap(task, Ordering::Relaxed);
                if !before.is_null() {
                    self.append(lane, before);
                    self.wake_another(klt.rt());
                }
                klt.watch_again(poller);
            }
            Some(poller) => {
                let alone = lane.ring.is_empty();
                self.append(lane, task);
                // The task that is being polled yields, and nobody else is ready: the server goes on with it at once.
                if next || !alone {
                    self.wake_another(klt.rt());
                }
                klt.watch_again(poller);
            }
            None => {
                self.append(lane, task);
                fence(Ordering::SeqCst);
                if !self.wake(klt.rt(), lane, false) {
                    self.wake_another(klt.rt());
                }
            }
        }
    }

    /// Appends to the ring; what it cannot hold goes to the shared queue.
    fn append(&self, lane: &Lane, task: Raw) {
        let Err(task) = lane.ring.push(task) else { return };
        let mut moved = [ptr::null_mut(); SIZE / 2 + 1];
        let count = lane.ring.take_half(&mut moved[..SIZE / 2]);
        moved[count] = task;
        self.inject.push(&moved[..=count]);
    }

    /// Makes a task ready from a foreign thread.
    pub(crate) fn push_foreign(&self, rt: &Inner, task: Raw) {
        self.inject.push(&[task]);
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) > 0 {
            self.wake_another(rt);
        } else {
            watch::look_from_outside(rt, self);
        }
    }

    /// Wakes the server of `lane` if it is parked; whether it was. `search`: to look for tasks elsewhere.
    fn wake(&self, rt: &Inner, lane: &Lane, search: bool) -> bool {
        if !lane.parked.load(Ordering::SeqCst) || !lane.parked.swap(false, Ordering::SeqCst) {
            return false;
        }
        self.parked.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: a lane whose server is parked has one; pollers live as long as the runtime.
        if let Some(server) = unsafe { lane.server.load(Ordering::Acquire).as_ref() } {
            server.searching.store(search, Ordering::Relaxed);
            rt.unpark(server.task());
        }
        true
    }

    /// There is more than one server can do: wakes another one, unless one looks around already.
    #[inline]
    pub(crate) fn wake_another(&self, rt: &Inner) {
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) > 0 && self.searching.load(Ordering::SeqCst) == 0 {
            self.wake_any(rt);
        }
    }

    #[cold]
    fn wake_any(&self, rt: &Inner) {
        if self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        // One whose worker has nothing to do, if there is one.
        let asleep = self.lanes.iter().filter(|lane| rt.workers[lane.cpu].is_idle());
        if !asleep.chain(self.lanes.iter()).any(|lane| self.wake(rt, lane, true)) {
            self.searching.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// As [`wake_another`](Self::wake_another), for a server that has just taken a task: that was a full barrier.
    #[inline]
    pub(crate) fn share(&self, rt: &Inner, lane: &Lane) {
        if self.parked.load(Ordering::SeqCst) > 0
            && self.searching.load(Ordering::SeqCst) == 0
            && (!lane.ring.is_empty() || self.inject.len() > 0)
        {
            self.wake_any(rt);
        }
    }

    /// Wakes the server of `lane`, e.g. since a timer is due earlier than it thinks.
    pub(crate) fn rouse(&self, rt: &Inner, lane: &Lane) {
        fence(Ordering::SeqCst);
        self.wake(rt, lane, false);
    }

    /// The server of `lane` is about to park.
    pub(crate) fn parks(&self, lane: &Lane) {
        self.parked.fetch_add(1, Ordering::SeqCst);
        lane.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The server of `lane` goes on. False if somebody has woken it.
    pub(crate) fn goes_on(&self, lane: &Lane) -> bool {
        let by_itself = lane.parked.swap(false, Ordering::SeqCst);
        if by_itself {
            self.parked.fetch_sub(1, Ordering::SeqCst);
        }
        by_itself
    }

    /// Whether a task of the kind is ready anywhere.
    pub(crate) fn has_tasks(&self) -> bool {
        self.inject.len() > 0 || self.lanes.iter().any(|lane| !lane.ring.is_empty())
    }

    /// A server without tasks may look for some elsewhere, unless enough do so.
    pub(crate) fn begin_search(&self) -> bool {
        let limit = self.lanes.len().div_ceil(2);
        let more = |n: usize| (n < limit).then_some(n + 1);
        self.searching.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// It has ended its search; true if it was the last one.
    pub(crate) fn end_search(&self) -> bool {
        self.searching.fetch_sub(1, Ordering::SeqCst) == 1
    }
}
