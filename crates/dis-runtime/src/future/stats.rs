//! What futures, and the lanes that they are polled on, have used.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_core::intent::IntentClass;

use crate::future::lane::Lane;
use crate::future::meta::{FutureId, Meta, Registry};
use crate::future::waits::{FutureTimes, WaitHistogram, Waits};
use crate::future::{Futures, OWN};
use crate::gate::inside;
use crate::host::Runtime;
use crate::lock::Locked;
use crate::runtime::Inner;

/// The counters of a future that has not been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutureStats {
    /// Its id.
    pub id: FutureId,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// What it is for; `None` if it has a scheduler task of its own, whose declaration counts.
    pub class: Option<IntentClass>,
    /// Polls that have ended.
    pub polls: u64,
    /// For how long they have held a CPU.
    pub busy: Duration,
    /// The longest of them.
    pub longest: Duration,
    /// Since when it is there, and what it has done beside that; `None` unless [`Builder::measure_waits`](crate::Builder::measure_waits).
    pub times: Option<FutureTimes>,
}

/// The counters of one lane: the futures of a kind on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneStats {
    /// What its futures are for.
    pub class: IntentClass,
    /// On which worker.
    pub worker: usize,
    /// Futures that are ready there now, but for those in the queue that the workers share.
    pub ready: usize,
    /// Polls by the lane's server.
    pub polls: u64,
    /// For how long they have held the worker.
    pub busy: Duration,
    /// The longest poll that has ended.
    pub longest: Duration,
    /// Futures that were taken from other lanes.
    pub stolen: u64,
    /// Polls that lost the lane, as they took too long while others waited, or waited themselves.
    pub displaced: u64,
    /// For how long such polls have held CPUs, those that have ended.
    pub displaced_busy: Duration,
    /// From wake-up to poll, of each poll; `None` unless [`Builder::measure_waits`](crate::Builder::measure_waits).
    pub waits: Option<WaitHistogram>,
}

/// A poll that has lost its lane to others that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun {
    /// Whose poll.
    pub id: FutureId,
    /// Where the future was spawned.
    pub location: &'static Location<'static>,
    /// What it is for.
    pub class: IntentClass,
    /// For how long the poll has held a CPU.
    pub held: Duration,
    /// Whether it is over.
    pub ended: bool,
}

/// How many overruns are remembered.
const REMEMBERED: usize = 64;

/// Overruns that are over, the newest ones.
pub(crate) struct Overruns(Locked<([Option<Overrun>; REMEMBERED], usize)>);

impl Overruns {
    pub(crate) fn new() -> Overruns {
        Overruns(Locked::new(([None; REMEMBERED], 0)))
    }
}

/// Who wants to hear of overruns.
pub(crate) type Listener = Arc<dyn Fn(&Overrun) + Send + Sync>;

/// Changed by the lane's server alone, but for those of displaced ones.
#[derive(Default)]
pub(crate) struct LaneCounters {
    polls: AtomicU64,
    busy: AtomicU64,
    longest: AtomicU64,
    stolen: AtomicU64,
    displaced: AtomicU64,
    displaced_busy: AtomicU64,
    pub(crate) waits: Waits,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

fn time(counter: &AtomicU64) -> Duration {
    Duration::from_nanos(counter.load(Ordering::Relaxed))
}

impl LaneCounters {
    /// A poll has held the worker for so long, ns.
    #[inline]
    pub(crate) fn polled(&self, held: u64) {
        add(&self.polls, 1);
        add(&self.busy, held);
        if held > self.longest.load(Ordering::Relaxed) {
            self.longest.store(held, Ordering::Relaxed);
        }
    }

    /// The server has taken tasks from another lane.
    pub(crate) fn stolen(&self, tasks: u64) {
        add(&self.stolen, tasks);
    }

    /// The server was displaced.
    pub(crate) fn displaced(&self) {
        add(&self.displaced, 1);
    }

    /// The poll of a displaced server has ended.
    pub(crate) fn overran(&self, held: u64) {
        self.displaced_busy.fetch_add(held, Ordering::Relaxed);
        self.longest.fetch_max(held, Ordering::Relaxed);
    }
}

impl Futures {
    /// A poll that was displaced is over. Outside the runtime, in the poller.
    pub(crate) fn overran(&self, rt: &Inner, overrun: Overrun) {
        inside(|| {
            let (newest, next) = &mut *self.overruns.0.lock();
            newest[*next % REMEMBERED] = Some(overrun);
            *next += 1;
        });
        if let Some(listener) = &rt.config.on_overrun {
            // A panic of the listener is its own affair: the poller goes on.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listener(&overrun)));
        }
    }

    fn stats_of(&self, meta: &Meta) -> FutureStats {
        let kind = meta.kind.load(Ordering::Acquire);
        FutureStats {
            id: meta.id.get(),
            location: meta.location,
            class: (kind != OWN).then(|| self.kind(kind).intent.class),
            polls: meta.polls.load(Ordering::Relaxed),
            busy: time(&meta.busy),
            longest: time(&meta.longest),
            times: meta.times.as_ref().map(|times| times.read(meta.rt.now(), meta.busy.load(Ordering::Relaxed))),
        }
    }
}

impl Futures {
    /// The counters of all lanes, those of a kind side by side.
    pub(crate) fn lane_stats(&self, waits: bool) -> Vec<LaneStats> {
        let of = |lane: &Lane, class| {
            let counters = &lane.stats;
            LaneStats {
                class,
                worker: lane.cpu,
                ready: lane.ready(),
                polls: counters.polls.load(Ordering::Relaxed),
                busy: time(&counters.busy),
                longest: time(&counters.longest),
                stolen: counters.stolen.load(Ordering::Relaxed),
                displaced: counters.displaced.load(Ordering::Relaxed),
                displaced_busy: time(&counters.displaced_busy),
                waits: waits.then(|| counters.waits.read()),
            }
        };
        self.kinds().flat_map(|kind| kind.lanes.iter().map(move |lane| of(lane, kind.intent.class))).collect()
    }
}

impl Runtime {
    /// The counters of all futures that have not been dropped. O(futures), and as long as that takes on each worker's list no
    /// future is spawned there or ends.
    pub fn future_stats(&self) -> Vec<FutureStats> {
        let futures = &self.inner.futures;
        let mut all = Vec::new();
        for registry in &futures.registries {
            // Nothing is allocated under the list's lock: those that come meanwhile are missing.
            all.reserve(Registry::count(registry));
            registry.visit(|meta| {
                if all.len() < all.capacity() {
                    all.push(futures.stats_of(meta));
                }
            });
        }
        all
    }

    /// How many futures have not ended.
    pub fn live_futures(&self) -> usize {
        self.inner.futures.live()
    }

    /// The counters of all lanes.
    pub fn lane_stats(&self) -> Vec<LaneStats> {
        self.inner.futures.lane_stats(self.inner.config.measure_waits)
    }

    /// Polls that took so long that others went on without them: the last 64 that are over, and those that are not. Who hogs the CPU?
    pub fn overruns(&self) -> Vec<Overrun> {
        let futures = &self.inner.futures;
        let newest = inside(|| futures.overruns.0.lock().0);
        let now = self.inner.now().as_nanos();
        newest.into_iter().flatten().chain(futures.pollers().filter_map(|poller| poller.overrun(now))).collect()
    }
}
