//! What a lane's server does: polls what is ready, takes from other lanes when nothing is, and else waits.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use async_task::Runnable;
use dis_core::api::BlockReason;
use dis_core::executor::Leave;

use crate::future::meta::{Meta, meta};
use crate::future::poller::{LAST_IN_A_ROW, Poller};
use crate::future::ring::{BATCH, Raw};
use crate::future::standby::ensure_standby;
use crate::future::stats::Overrun;
use crate::future::watch;
use crate::gate::{self, inside};
use crate::klt::Klt;
use crate::runtime::Inner;

/// After how many polls a server looks into the shared queue although it has tasks of its own.
pub(super) const LOOK_AROUND: u32 = 61;

impl Poller {
    /// The next task to poll. Inside the runtime, by the server.
    fn next(&self, rt: &Inner) -> Option<Raw> {
        let (kind, lane) = (self.kind(), self.lane());
        let mut one = [ptr::null_mut()];
        self.until_look.set(self.until_look.get() - 1);
        if self.until_look.get() == 0 {
            self.until_look.set(LOOK_AROUND);
            if kind.inject.take(&mut one) == 1 {
                return Some(one[0]);
            }
        }
        let last = lane.last.load(Ordering::Relaxed);
        if !last.is_null() && self.row.get() < LAST_IN_A_ROW {
            lane.last.store(ptr::null_mut(), Ordering::Relaxed);
            self.row.set(self.row.get() + 1);
            return Some(last);
        }
        if let Some(task) = lane.taken.pop(&lane.ring, kind.idle.all_serve()) {
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
    pub(super) fn serve(&'static self, klt: &'static Klt) {
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
            if wanted != kind.index() {
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
