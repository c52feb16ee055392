//! Futures as tasks.
//!
//! ```
//! use dis_runtime::{Intent, Runtime, future};
//! use std::time::Duration;
//!
//! let rt = Runtime::builder().build()?;
//! let answer = rt.block_on(async {
//!     let ui = future::spawn(Intent::interactive(2_000), async {
//!         future::sleep(Duration::from_millis(1)).await;
//!         6 * 7
//!     });
//!     ui.expect("room for a task").await.expect("no panic")
//! });
//! assert_eq!(answer, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A spawned future costs one allocation and no stack. It holds nothing of its thread between polls, so any worker may poll it;
//! one poll runs on one thread from begin to end, preempted or not. `docs/async.md` has the whole picture.
//!
//! The functions here that are named as those at the crate's root (`sleep`, `yield_now`) are what those are for closures.

mod block_on;
mod executor;
mod guarded;
mod idle;
mod inject;
mod intent;
mod join;
mod lane;
mod local;
mod meta;
mod own;
pub(crate) mod poller;
mod ring;
mod serve;
mod set;
mod spawn;
mod standby;
mod stats;
mod taken;
mod time;
mod timers;
mod waits;
pub(crate) mod watch;
mod yielding;

use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use dis_core::api::{SchedError, TaskId};
use dis_core::intent::{Intent, IntentClass, QueueType};
use dis_core::isolation::Domain;

pub use block_on::block_on;
pub use executor::Spawner;
pub use intent::{next_period, set_intent, with_intent};
pub use join::{AbortHandle, JoinHandle};
pub use local::{LocalHandle, block_on_local, spawn_local};
pub use meta::FutureId;
pub use set::JoinSet;
pub use spawn::{current, spawn, spawn_child};
pub use stats::{FutureStats, LaneStats, Overrun};
pub use time::{Elapsed, Interval, Sleep, Timeout, interval, sleep, sleep_until, timeout};
pub use waits::{FutureTimes, WAIT_BOUNDS, WaitHistogram};
pub use yielding::{YieldNow, yield_now};

pub(crate) use block_on::{Entered, enter_runtime};
pub(crate) use local::Local;
pub(crate) use meta::Meta;
pub(crate) use stats::Listener;
pub(crate) use timers::Timers;

use stats::Overruns;

use crate::future::lane::Kind;
use crate::future::meta::Registry;
use crate::future::poller::Poller;
use crate::gate::inside;
use crate::runtime::Inner;
use crate::spawn::SpawnError;

/// Most kinds of lanes: Batch, Background, System, and target latencies of Interactive. More distinct ones than this leaves
/// room for share the lane of the next smaller one.
const KINDS: usize = 16;

/// The kind of a future with a core task of its own.
pub(crate) const OWN: u8 = u8::MAX;

/// A runtime's futures.
pub(crate) struct Futures {
    kinds: [AtomicPtr<Kind>; KINDS],
    /// Held while a kind is made; those that could not be finished, as some of their pollers were refused.
    making: Mutex<Vec<&'static Kind>>,
    pub(crate) registries: Box<[Registry]>,
    pollers: AtomicPtr<Poller>,
    closing: AtomicBool,
    overruns: Overruns,
}

impl Futures {
    pub(crate) fn new(workers: usize) -> Futures {
        Futures {
            kinds: Default::default(),
            making: Mutex::default(),
            registries: (0..workers).map(|_| Registry::new(workers)).collect(),
            pollers: AtomicPtr::new(ptr::null_mut()),
            closing: AtomicBool::new(false),
            overruns: Overruns::new(),
        }
    }

    /// The kind of that index, which somebody has got from [`kind_of`](Self::kind_of).
    #[inline]
    pub(crate) fn kind(&self, index: u8) -> &'static Kind {
        // SAFETY: kinds live as long as the runtime.
        unsafe { &*self.kinds[usize::from(index)].load(Ordering::Acquire) }
    }

    /// All kinds that have been made.
    fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        let kinds = self.kinds.iter().map(|kind| kind.load(Ordering::Acquire)).take_while(|kind| !kind.is_null());
        // SAFETY: as above.
        kinds.map(|kind| unsafe { &*kind })
    }

    fn find(&self, class: IntentClass) -> Option<&'static Kind> {
        self.kinds().find(|kind| kind.intent.class == class)
    }

    /// The kind whose lanes take futures of that intent, made at its first use; `None` if they need core tasks of their own.
    pub(crate) fn kind_of(&self, rt: &Inner, intent: &Intent) -> Result<Option<u8>, SpawnError> {
        let plain = Intent { class: intent.class, ..Intent::batch() };
        if *intent != plain || intent.class.queue() == QueueType::Realtime {
            return Ok(None);
        }
        if let Some(kind) = self.find(intent.class) {
            return Ok(Some(kind.index()));
        }
        plain.validate().map_err(|error| SpawnError::Refused(error.into()))?;
        let mut unfinished = self.making.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(kind) = self.find(intent.class) {
            return Ok(Some(kind.index()));
        }
        let count = self.kinds().count();
        // Three places are for the classes without a parameter.
        let others = [IntentClass::Batch, IntentClass::Background, IntentClass::System];
        let missing = others.iter().filter(|&&class| self.find(class).is_none()).count();
        if let IntentClass::Interactive { target_latency_us } = intent.class
            && count + missing >= KINDS
        {
            return Ok(Some(self.nearest(target_latency_us)));
        }
        self.make(rt, &mut unfinished, count as u8, plain).map(Some)
    }

    /// The kind of the greatest target latency up to this one, or else of the smallest.
    fn nearest(&self, latency: u64) -> u8 {
        let mut best: Option<(u64, u8)> = None;
        for kind in self.kinds() {
            let IntentClass::Interactive { target_latency_us: has } = kind.intent.class else { continue };
            let better = match best {
                None => true,
                Some((best, _)) if best <= latency => has <= latency && has > best,
                Some((best, _)) => has < best,
            };
            if better {
                best = Some((has, kind.index()));
            }
        }
        best.map_or(0, |(_, index)| index)
    }

    /// How long a poll may hold a worker that others of its lane want, ns.
    fn slice(class: IntentClass) -> u64 {
        match class.queue() {
            QueueType::System | QueueType::Realtime | QueueType::Interactive => 1_000_000,
            QueueType::Batch => 4_000_000,
            QueueType::Background => 8_000_000,
        }
    }

    fn make(
        &self,
        rt: &Inner,
        unfinished: &mut Vec<&'static Kind>,
        index: u8,
        intent: Intent,
    ) -> Result<u8, SpawnError> {
        make_stacks(rt)?;
        // An attempt that failed has left pollers, which use it.
        let begun = unfinished.iter().position(|kind| kind.intent.class == intent.class);
        let kind = begun.map(|at| unfinished.swap_remove(at)).unwrap_or_else(|| {
            let slice = Self::slice(intent.class);
            // SAFETY: freed with the runtime, see `drop`.
            unsafe { &*Box::into_raw(Box::new(Kind::new(intent, slice, rt.workers.len()))) }
        });
        kind.set_index(index);
        for lane in &kind.lanes {
            if let Err(error) = standby::start_first(rt, kind, lane) {
                unfinished.push(kind);
                return Err(error);
            }
        }
        self.kinds[usize::from(index)].store(ptr::from_ref(kind).cast_mut(), Ordering::Release);
        Ok(index)
    }

    pub(crate) fn new_poller(&self, poller: Poller) -> &'static Poller {
        let poller = Box::into_raw(Box::new(poller));
        // SAFETY: freed with the runtime, see `drop`.
        let poller: &'static Poller = unsafe { &*poller };
        let mut first = self.pollers.load(Ordering::Relaxed);
        loop {
            poller.next_of_all.store(first, Ordering::Relaxed);
            let new = ptr::from_ref(poller).cast_mut();
            match self.pollers.compare_exchange(first, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return poller,
                Err(other) => first = other,
            }
        }
    }

    /// All pollers that there have ever been.
    pub(crate) fn pollers(&self) -> impl Iterator<Item = &'static Poller> {
        let mut next = self.pollers.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: pollers live as long as the runtime.
            let poller = unsafe { next.as_ref() }?;
            next = poller.next_of_all.load(Ordering::Acquire);
            Some(poller)
        })
    }

    /// Futures that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.registries.iter().map(Registry::count).sum()
    }

    /// Whether the runtime closes, and all futures have been dropped.
    pub(crate) fn have_ended(&self) -> bool {
        self.closing.load(Ordering::SeqCst) && self.live() == 0
    }

    /// Accepts no more futures and aborts those that are there. Outside the runtime.
    pub(crate) fn close(&self, rt: &Inner) {
        // First the registries, so that whoever sees `closing` and no future knows that none will come.
        self.registries.iter().for_each(Registry::shut);
        self.closing.store(true, Ordering::SeqCst);
        self.registries.iter().for_each(|registry| registry.abort_all(rt, |_| true));
        inside(|| self.rouse_all(rt));
    }

    /// Aborts those whose own core tasks are in the domain or below it; others are in none. Outside the runtime.
    pub(crate) fn abort_domain(&self, rt: &Inner, domain: &Domain) {
        let within = |meta: &Meta| {
            let task = meta.own.as_ref().map_or(TaskId::INVALID, |own| own.task());
            let within = rt.exec.with_task(task, |task| task.domain().is_some_and(|other| other.is_within(domain)));
            within.unwrap_or(false)
        };
        self.registries.iter().for_each(|registry| registry.abort_all(rt, within));
    }

    /// Makes all pollers look. Inside the runtime, or on a foreign thread.
    pub(crate) fn rouse_all(&self, rt: &Inner) {
        self.pollers().for_each(|poller| rt.unpark(poller.task()));
    }
}

/// Sees to it that there are stacks for polls.
fn make_stacks(rt: &Inner) -> Result<(), SpawnError> {
    rt.make_poll_stacks().map_err(|_| SpawnError::Refused(SchedError::ResourceExhausted))
}

impl Drop for Futures {
    fn drop(&mut self) {
        let mut next = *self.pollers.get_mut();
        while !next.is_null() {
            // SAFETY: made by `Box::into_raw`; the runtime's threads have ended.
            let mut poller = unsafe { Box::from_raw(next) };
            next = *poller.next_of_all.get_mut();
        }
        let unfinished = std::mem::take(self.making.get_mut().unwrap_or_else(|e| e.into_inner()));
        let kinds = self.kinds.iter_mut().map(|kind| *kind.get_mut());
        for kind in kinds.chain(unfinished.into_iter().map(|kind| ptr::from_ref(kind).cast_mut())) {
            if !kind.is_null() {
                // SAFETY: as above.
                drop(unsafe { Box::from_raw(kind) });
            }
        }
    }
}
