//! Who serves a lane, and who stands by: displacement, and how pollers begin and end.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::api::CpuMask;
use dis_core::executor::Leave;

use crate::future::lane::{Kind, Lane};
use crate::future::poller::Poller;
use crate::gate::{self, inside};
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::spawn::{SpawnError, TaskBuilder};

/// How many pollers stay beside the server of a lane.
const STANDBYS: usize = 4;

/// The pollers of a lane that do not serve it, linked.
pub(crate) struct Standbys {
    ready: *const Poller,
    count: usize,
    /// Whose tasks have ended.
    ended: *const Poller,
    /// One is being made.
    coming: bool,
    /// The lane's first poller has been started.
    begun: bool,
    /// The server waits in the middle of a poll and nobody else was there: the next one takes the lane at once.
    orphaned: bool,
}

// SAFETY: the pointers are to pollers, which live as long as the runtime.
unsafe impl Send for Standbys {}

impl Standbys {
    pub(crate) fn new() -> Standbys {
        Standbys { ready: ptr::null(), count: 0, ended: ptr::null(), coming: false, begun: false, orphaned: false }
    }

    fn take(&mut self) -> Option<&'static Poller> {
        // SAFETY: as above.
        let first = unsafe { self.ready.as_ref()? };
        self.ready = first.next.replace(ptr::null());
        self.count -= 1;
        Some(first)
    }
}

impl Poller {
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
    pub(super) fn take_place(&'static self, klt: &'static Klt) -> bool {
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
}

/// Sees to it that somebody stands by.
pub(super) fn ensure_standby(rt: &Inner, kind: &'static Kind, lane: &'static Lane) {
    let missing = inside(|| {
        let mut standbys = lane.standbys.lock();
        standbys.count == 0 && !std::mem::replace(&mut standbys.coming, true)
    });
    if missing {
        // Without one polls are only preempted by tasks of other lanes; the next server tries again.
        let _ = start(rt, kind, lane);
    }
}

/// Starts the first poller for `lane`, unless that has been done. Allocates.
pub(crate) fn start_first(rt: &Inner, kind: &'static Kind, lane: &'static Lane) -> Result<(), SpawnError> {
    if inside(|| lane.standbys.lock().begun) {
        return Ok(());
    }
    start(rt, kind, lane)?;
    inside(|| lane.standbys.lock().begun = true);
    Ok(())
}

/// Starts a poller for `lane`, which serves it if nobody does. Allocates.
fn start(rt: &Inner, kind: &'static Kind, lane: &'static Lane) -> Result<(), SpawnError> {
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
