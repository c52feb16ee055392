//! Pollers: the core tasks that serve lanes.
//!
//! A poller is a closure task with a kernel thread of its own, the intent of its lane's kind, and an affinity to the lane's worker.
//! One poller serves the lane; another stands by. So the core decides between classes, preempts, throttles and accounts as for
//! any task, and knows nothing of futures.
//!
//! A server whose poll takes too long is *displaced* (see `watch`): the standby serves from then on, and the old server finishes
//! its one poll as an ordinary task among others, on any worker. Then it becomes a standby itself, or ends.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use async_task::Runnable;
use dis_core::api::{BlockReason, CpuMask, TaskId, Timestamp};
use dis_core::executor::Leave;

use crate::future::Entered;
use crate::future::lane::{Kind, Lane};
use crate::future::meta::{FutureId, Meta, meta};
use crate::future::ring::{BATCH, Raw};
use crate::future::stats::Overrun;
use crate::future::watch;
use crate::gate::{self, inside};
use crate::klt::{self, Klt};
use crate::runtime::Inner;
use crate::spawn::SpawnError;
use crate::spawn::TaskBuilder;

/// How many pollers stay beside the server of a lane.
const STANDBYS: usize = 4;

/// After how many polls a server looks into the shared queue although it has tasks of its own.
const LOOK_AROUND: u32 = 61;

/// How many times in a row the task that was woken last goes first.
const LAST_IN_A_ROW: u32 = 3;

/// See the module. Its address is good as long as the runtime.
pub(crate) struct Poller {
    kind: *const Kind,
    lane: *const Lane,
    /// The core task.
    task: AtomicU64,
    serving: AtomicBool,
    /// A poll is under way, which began at that instant, ns; 0: none.
    began: AtomicU64,
    /// For how long the poller has been off the CPU since then, ns.
    away: AtomicU64,
    /// When the poll began to wait in the kernel, ns; 0: it does not.
    blocked: AtomicU64,
    /// The task that is polled: what can be told of it even when it has ended.
    polled: (AtomicU64, AtomicPtr<Location<'static>>),
    /// When its last poll was over.
    pub(crate) ended: Cell<Timestamp>,
    /// It has made tasks ready while displaced, and has told nobody yet.
    pub(crate) owes: AtomicBool,
    /// How many times in a row it has preferred the task that was woken last.
    row: Cell<u32>,
    polls: Cell<u32>,
    random: Cell<u64>,
    /// The next in the list of standbys, or of those that have ended.
    next: Cell<*const Poller>,
    /// The next of all.
    pub(crate) next_of_all: AtomicPtr<Poller>,
}

// SAFETY: cells are used by the poller's own thread, `next` under the lane's lock; kinds live as long as the runtime.
unsafe impl Sync for Poller {}
// SAFETY: as above.
unsafe impl Send for Poller {}

/// The pollers of a lane that do not serve it, linked.
pub(crate) struct Standbys {
    ready: *const Poller,
    count: usize,
    /// Whose tasks have ended.
    ended: *const Poller,
    /// One is being made.
    coming: bool,
    /// The server waits in the middle of a poll and nobody else was there: the next one takes the lane at once.
    orphaned: bool,
}

// SAFETY: the pointers are to pollers, which live as long as the runtime.
unsafe impl Send for Standbys {}

impl Standbys {
    pub(crate) fn new() -> Standbys {
        Standbys { ready: ptr::null(), count: 0, ended: ptr::null(), coming: false, orphaned: false }
    }

    fn take(&mut self) -> Option<&'static Poller> {
        // SAFETY: as above.
        let first = unsafe { self.ready.as_ref()? };
        self.ready = first.next.replace(ptr::null());
        self.count -= 1;
        Some(first)
    }
}

/// The KLT names its poller as long as this lives, however the poller ends.
struct Named(&'static Klt);

impl Drop for Named {
    fn drop(&mut self) {
        self.0.poller.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Poller {
    fn new(kind: &'static Kind, lane: &'static Lane) -> Poller {
        Poller {
            kind,
            lane,
            task: AtomicU64::new(TaskId::INVALID.0),
            serving: AtomicBool::new(false),
            began: AtomicU64::new(0),
            away: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            polled: (AtomicU64::new(0), AtomicPtr::new(ptr::null_mut())),
            ended: Cell::new(Timestamp::ZERO),
            owes: AtomicBool::new(false),
            row: Cell::new(0),
            polls: Cell::new(0),
            random: Cell::new(0x9E37_79B9_7F4A_7C15 ^ (lane.cpu as u64 + 1)),
            next: Cell::new(ptr::null()),
            next_of_all: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The closure of the core task.
    fn main(&'static self) {
        let Some((klt, me)) = crate::api::here() else { return };
        self.task.store(me.id().0, Ordering::Relaxed);
        klt.poller.store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        let _named = Named(klt);
        let timers = &self.lane().timers;
        timers.poller.store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        let _entered = Entered::new(Some(me), timers, None);
        let _context = klt.rt().reactor.enter();
        while self.take_place(klt) {
            while !self.serves() && !klt.rt().futures.have_ended() {
                gate::wait(klt, Leave::Block(BlockReason::Event, None));
            }
            self.serve(klt);
            if klt.rt().futures.have_ended() {
                break;
            }
        }
    }

    #[inline]
    pub(crate) fn lane(&self) -> &'static Lane {
        // SAFETY: lanes live as long as the runtime.
        unsafe { &*self.lane }
    }

    #[inline]
    pub(crate) fn kind(&self) -> &'static Kind {
        // SAFETY: as above.
        unsafe { &*self.kind }
    }

    pub(crate) fn task(&self) -> TaskId {
        TaskId(self.task.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn serves(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Whether the task that is woken now, by the one that is being polled, may go first. What timers wake keeps its order.
    #[inline]
    pub(crate) fn prefers_last(&self) -> bool {
        self.row.get() < LAST_IN_A_ROW && self.began.load(Ordering::Relaxed) != 0
    }

    /// When the present poll began, ns; 0: none is under way.
    #[inline]
    pub(crate) fn began(&self) -> u64 {
        self.began.load(Ordering::Relaxed)
    }

    /// Until when the present poll may hold the worker; `None`: no poll is under way.
    #[inline]
    pub(crate) fn due(&self) -> Option<u64> {
        let began = self.began.load(Ordering::Relaxed);
        (began != 0).then(|| began + self.away.load(Ordering::Relaxed) + self.kind().slice)
    }

    /// What a poll says of itself that has held a CPU for so long, ns, and has not ended.
    fn polled(&self, held: u64) -> Option<Overrun> {
        // SAFETY: locations are static.
        let location = unsafe { self.polled.1.load(Ordering::Relaxed).as_ref() }?;
        let id = FutureId(self.polled.0.load(Ordering::Relaxed));
        Some(Overrun {
            id,
            location,
            class: self.kind().intent.class,
            held: std::time::Duration::from_nanos(held),
            ended: false,
        })
    }

    /// The poll for which this poller was displaced, and which has not ended at `now`. Asked from outside: momentary.
    pub(crate) fn overrun(&self, now: u64) -> Option<Overrun> {
        let polls = !self.serves() && self.began.load(Ordering::Relaxed) != 0;
        polls.then(|| self.polled(self.held(now))).flatten()
    }

    /// For how long the present poll has held a CPU by `now`, ns.
    pub(crate) fn held(&self, now: u64) -> u64 {
        now.saturating_sub(self.began.load(Ordering::Relaxed) + self.away.load(Ordering::Relaxed))
    }

    /// The poller was off the CPU for that long, ns.
    pub(crate) fn was_away(&self, ns: u64) {
        if self.began.load(Ordering::Relaxed) != 0 {
            self.away.store(self.away.load(Ordering::Relaxed) + ns, Ordering::Relaxed);
        }
    }

    /// A timer of the lane is due sooner than its server thinks, which may be parked.
    #[cold]
    pub(crate) fn hear_of_timer(&self) {
        if let Some(klt) = klt::this() {
            inside(|| self.kind().rouse(klt.rt(), self.lane()));
        }
    }

    /// The poll waits in the kernel.
    pub(crate) fn blocked_at(&self, now: Timestamp) {
        self.blocked.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Since when it did.
    pub(crate) fn take_blocked(&self) -> Option<Timestamp> {
        let at = self.blocked.swap(0, Ordering::Relaxed);
        (at != 0).then(|| Timestamp::from_nanos(at))
    }

    /// Takes the lane away from this server, which is in the middle of a poll, and gives it to a standby, or to the one that is
    /// coming. False, and nothing has happened, if it does not serve, or if there is none. Inside the runtime; by whoever has
    /// the lane's worker. `waits`: the server is about to wait, so a standby that is made later takes the lane at once.
    pub(crate) fn displace(&self, rt: &Inner, waits: bool) -> bool {
        let lane = self.lane();
        let mut standbys = lane.standbys.lock();
        if !self.serves() {
            return false;
        }
        let next = standbys.take();
        if next.is_none() && (!standbys.coming || rt.klts_are_all_there()) {
            standbys.orphaned = waits;
            return false;
        }
        self.serving.store(false, Ordering::SeqCst);
        let server = next.map_or(ptr::null(), ptr::from_ref);
        lane.server.store(server.cast_mut(), Ordering::SeqCst);
        if let Some(next) = next {
            next.serving.store(true, Ordering::SeqCst);
        }
        drop(standbys);
        lane.stats.displaced();
        // It may finish its poll wherever there is time for it.
        let now = rt.now();
        if let Ok(wake) = rt.exec.set_mask(now, self.task(), CpuMask::ALL, None) {
            rt.after(wake, now);
        }
        if let Some(next) = next {
            rt.unpark(next.task());
        }
        true
    }

    /// The server has waited in the middle of a poll, and nobody has come to take its lane.
    pub(crate) fn no_orphan(&self) {
        if self.serves() {
            self.lane().standbys.lock().orphaned = false;
        }
    }

    /// Becomes the lane's server if it has none, else a standby. False if there are enough: then the poller ends.
    fn take_place(&'static self, klt: &'static Klt) -> bool {
        let (rt, lane) = (klt.rt(), self.lane());
        // Only there it may serve; a standby must be there already when its turn comes.
        let there = CpuMask::single(lane.cpu);
        inside(|| {
            let now = rt.now();
            if let Ok(wake) = rt.exec.set_mask(now, self.task(), there, None) {
                rt.after(wake, now);
            }
        });
        while inside(|| klt.worker().cpu) != lane.cpu {
            gate::give_way(klt, Leave::Yield);
        }
        inside(|| {
            let mut standbys = lane.standbys.lock();
            standbys.coming = false;
            // SAFETY: pollers live as long as the runtime.
            let server = unsafe { lane.server.load(Ordering::SeqCst).as_ref() };
            if server.is_none() || std::mem::take(&mut standbys.orphaned) {
                self.serving.store(true, Ordering::SeqCst);
                lane.server.store(ptr::from_ref(self).cast_mut(), Ordering::SeqCst);
                if let Some(server) = server {
                    server.serving.store(false, Ordering::SeqCst);
                    let _ = rt.exec.set_mask(rt.now(), server.task(), CpuMask::ALL, None);
                }
            } else if standbys.count < STANDBYS {
                self.next.set(standbys.ready);
                standbys.ready = self;
                standbys.count += 1;
            } else {
                self.next.set(standbys.ended);
                standbys.ended = self;
                return false;
            }
            true
        })
    }

    /// The next task to poll. Inside the runtime, by the server.
    fn next(&self, rt: &Inner) -> Option<Raw> {
        let (kind, lane) = (self.kind(), self.lane());
        let mut one = [ptr::null_mut()];
        self.polls.set(self.polls.get().wrapping_add(1));
        if self.polls.get().is_multiple_of(LOOK_AROUND) && kind.inject.take(&mut one) == 1 {
            return Some(one[0]);
        }
        let last = lane.last.load(Ordering::Relaxed);
        if !last.is_null() && self.row.get() < LAST_IN_A_ROW {
            lane.last.store(ptr::null_mut(), Ordering::Relaxed);
            self.row.set(self.row.get() + 1);
            return Some(last);
        }
        if let Some(task) = lane.ring.pop() {
            self.row.set(0);
            kind.share(rt, lane);
            return Some(task);
        }
        if !last.is_null() {
            lane.last.store(ptr::null_mut(), Ordering::Relaxed);
            self.row.set(0);
            return Some(last);
        }
        self.take_shared(rt)
    }

    /// From the queue that all workers share: this worker's part.
    fn take_shared(&self, rt: &Inner) -> Option<Raw> {
        let (kind, lane) = (self.kind(), self.lane());
        let there = kind.inject.len();
        if there == 0 {
            return None;
        }
        let part = (there / kind.lanes.len() + 1).min(BATCH);
        let mut tasks = [ptr::null_mut(); BATCH];
        let count = kind.inject.take(&mut tasks[..part]);
        let (&first, rest) = tasks[..count].split_first()?;
        // The ring is empty, so there is room.
        rest.iter().for_each(|&task| lane.ring.push(task).unwrap_or(()));
        kind.share(rt, lane);
        Some(first)
    }

    /// Takes half of what another lane has. Inside the runtime.
    fn steal(&self) -> bool {
        let (kind, lane) = (self.kind(), self.lane());
        let lanes = kind.lanes.len();
        let mut tasks = [ptr::null_mut(); BATCH];
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        for at in 0..lanes {
            let other = &kind.lanes[(random as usize % lanes + at) % lanes];
            if other.cpu == lane.cpu {
                continue;
            }
            let count = other.ring.take_half(&mut tasks);
            if count > 0 {
                tasks[..count].iter().for_each(|&task| lane.ring.push(task).unwrap_or(()));
                lane.stats.stolen(count as u64);
                return true;
            }
        }
        kind.inject.len() > 0
    }

    /// Serves the lane until it is taken away, or the runtime closes.
    fn serve(&'static self, klt: &'static Klt) {
        let (rt, kind, lane) = (klt.rt(), self.kind(), self.lane());
        ensure_standby(rt, kind, lane);
        klt.enter();
        let mut now = rt.now();
        let mut overran = None;
        while self.serves() {
            if lane.timers.is_due(now) {
                gate::leave_runtime(klt);
                lane.timers.fire(now);
                klt.enter();
                continue;
            }
            let Some(task) = self.next(rt) else {
                gate::leave_runtime(klt);
                if !self.find_more_or_park(klt) {
                    return;
                }
                klt.enter();
                now = rt.now();
                continue;
            };
            // Found. It must not count as searching while it polls, which may take any time.
            if kind.idle.was_to_search(lane.cpu) && kind.idle.end_search() {
                kind.share(rt, lane);
            }
            let meta = meta(task);
            let wanted = meta.kind.load(Ordering::Acquire);
            if wanted != kind.index {
                // Its intent has changed since it became ready.
                rt.futures.kind(wanted).push(klt, task, false);
                continue;
            }
            self.began.store(now.as_nanos(), Ordering::Relaxed);
            self.away.store(0, Ordering::Relaxed);
            self.polled.0.store(meta.id.get().0, Ordering::Relaxed);
            self.polled.1.store(ptr::from_ref(meta.location).cast_mut(), Ordering::Relaxed);
            klt.arm(Some(now + dis_core::api::Duration::from_nanos(kind.slice)), now);
            gate::leave_runtime(klt);
            // SAFETY: it was in a queue, from which one poller has taken it.
            unsafe { Runnable::<Meta>::from_raw(NonNull::new_unchecked(task)) }.run();
            klt.enter();
            now = self.ended.get().max(now);
            let held = self.held(now.as_nanos());
            match self.serves() {
                true => lane.stats.polled(held),
                // One that has waited is not to blame.
                false => overran = Some(held).filter(|&held| held >= kind.slice),
            }
            self.began.store(0, Ordering::Relaxed);
        }
        watch::tell_now(klt, self);
        gate::leave_runtime(klt);
        if let Some((held, overrun)) = overran.zip(self.polled(overran.unwrap_or(0))) {
            lane.stats.overran(held);
            rt.futures.overran(rt, Overrun { ended: true, ..overrun });
        }
    }

    /// Nothing is ready on this lane: steals, or parks. False if the runtime has closed.
    fn find_more_or_park(&self, klt: &'static Klt) -> bool {
        let (rt, kind, lane) = (klt.rt(), self.kind(), self.lane());
        let search = kind.idle.was_to_search(lane.cpu) || kind.idle.begin_search();
        if search {
            let found = inside(|| {
                let found = self.steal();
                if kind.idle.end_search() && found {
                    kind.share(rt, lane);
                }
                found
            });
            if found {
                return true;
            }
        }
        if rt.futures.have_ended() {
            return false;
        }
        let work = inside(|| {
            kind.idle.parks(lane.cpu);
            // Whoever has looked around must not miss what came meanwhile; what comes while others look around they find.
            let work = lane.has_tasks() || kind.inject.len() > 0 || (search && kind.has_tasks());
            if work {
                kind.idle.goes_on(lane.cpu);
            }
            work
        });
        if !work && !rt.futures.have_ended() {
            gate::wait(klt, Leave::Block(BlockReason::Event, lane.timers.next()));
        }
        kind.idle.goes_on(lane.cpu);
        true
    }
}

/// Sees to it that somebody stands by.
fn ensure_standby(rt: &Inner, kind: &'static Kind, lane: &'static Lane) {
    let missing = inside(|| {
        let mut standbys = lane.standbys.lock();
        standbys.count == 0 && !std::mem::replace(&mut standbys.coming, true)
    });
    if missing {
        // Without one polls are only preempted by tasks of other lanes; the next server tries again.
        let _ = start(rt, kind, lane);
    }
}

/// Starts a poller for `lane`, which serves it if nobody does. Allocates.
pub(crate) fn start(rt: &Inner, kind: &'static Kind, lane: &'static Lane) -> Result<(), SpawnError> {
    let ended = inside(|| {
        let mut standbys = lane.standbys.lock();
        // SAFETY: pollers live as long as the runtime.
        let ended = unsafe { standbys.ended.as_ref() };
        if let Some(ended) = ended {
            standbys.ended = ended.next.replace(ptr::null());
        }
        ended
    });
    let poller = ended.unwrap_or_else(|| rt.futures.new_poller(Poller::new(kind, lane)));
    let name = format!("futures {} {}", kind.intent.class.queue(), lane.cpu);
    let task = TaskBuilder::internal(kind.intent.clone(), CpuMask::single(lane.cpu)).name(name);
    let started = task.spawn_on(rt, move || poller.main());
    if started.is_err() {
        inside(|| {
            let mut standbys = lane.standbys.lock();
            standbys.coming = false;
            poller.next.set(standbys.ended);
            standbys.ended = poller;
        });
    }
    started.map(drop)
}
