//! Pollers: the core tasks that serve lanes.
//!
//! A poller is a closure task with a kernel thread of its own, the intent of its lane's kind, and an affinity to the lane's worker.
//! One poller serves the lane; another stands by. So the core decides between classes, preempts, throttles and accounts as for
//! any task, and knows nothing of futures.
//!
//! A server whose poll takes too long is *displaced* (see `watch`): the standby serves from then on, and the old server finishes
//! its one poll as an ordinary task among others, on any worker. Then it becomes a standby itself, or ends. Here is what a poller says of
//! itself; `serve` is its work, `standby` who serves.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use dis_core::api::{BlockReason, TaskId, Timestamp};
use dis_core::executor::Leave;

use crate::future::Entered;
use crate::future::lane::{Kind, Lane};
use crate::future::meta::FutureId;
use crate::future::serve::LOOK_AROUND;
use crate::future::stats::Overrun;
use crate::gate::{self, inside};
use crate::klt::{self, Klt};

/// How many times in a row the task that was woken last goes first.
pub(super) const LAST_IN_A_ROW: u32 = 3;

/// See the module. Its address is good as long as the runtime. Aligned as lanes are.
#[repr(align(128))]
pub(crate) struct Poller {
    pub(super) kind: *const Kind,
    pub(super) lane: *const Lane,
    /// The core task.
    pub(super) task: AtomicU64,
    pub(super) serving: AtomicBool,
    /// A poll is under way, which began at that instant, ns; 0: none.
    pub(super) began: AtomicU64,
    /// For how long the poller has been off the CPU since then, ns.
    pub(super) away: AtomicU64,
    /// When the poll began to wait in the kernel, ns; 0: it does not.
    pub(super) blocked: AtomicU64,
    /// The task that is polled: what can be told of it even when it has ended.
    pub(super) polled: (AtomicU64, AtomicPtr<Location<'static>>),
    /// When its last poll was over.
    pub(crate) ended: Cell<Timestamp>,
    /// It has made tasks ready while displaced, and has told nobody yet.
    pub(crate) owes: AtomicBool,
    /// How many times in a row it has preferred the task that was woken last.
    pub(super) row: Cell<u32>,
    /// After how many polls it looks into the shared queue.
    pub(super) until_look: Cell<u32>,
    pub(super) random: Cell<u64>,
    /// The next in the list of standbys, or of those that have ended.
    pub(super) next: Cell<*const Poller>,
    /// The next of all.
    pub(crate) next_of_all: AtomicPtr<Poller>,
}

// SAFETY: cells are used by the poller's own thread, `next` under the lane's lock; kinds live as long as the runtime.
unsafe impl Sync for Poller {}
// SAFETY: as above.
unsafe impl Send for Poller {}

/// The KLT names its poller as long as this lives, however the poller ends.
struct Named(&'static Klt);

impl Drop for Named {
    fn drop(&mut self) {
        self.0.poller.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Poller {
    pub(super) fn new(kind: &'static Kind, lane: &'static Lane) -> Poller {
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
            until_look: Cell::new(LOOK_AROUND),
            random: Cell::new(0x9E37_79B9_7F4A_7C15 ^ (lane.cpu as u64 + 1)),
            next: Cell::new(ptr::null()),
            next_of_all: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The closure of the core task.
    pub(super) fn main(&'static self) {
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

    /// Whether the task that is woken now, by the one that is being polled, may go first: not always if others wait. What timers wake
    /// keeps its order.
    #[inline]
    pub(crate) fn prefers_last(&self, lane: &Lane) -> bool {
        (self.row.get() < LAST_IN_A_ROW || lane.ready() == 0) && self.began.load(Ordering::Relaxed) != 0
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
    pub(super) fn polled(&self, held: u64) -> Option<Overrun> {
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
}
