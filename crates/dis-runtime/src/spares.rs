//! The KLTs of a runtime: those at rest, and those that are bound.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::gate::inside;
use crate::identity::{Identity, Kind};
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::shortage::Queues;
use crate::worker::Worker;

/// Unbound KLTs at rest, and tasks that wait for what they lack.
pub(crate) struct Spares {
    first: *const Klt,
    count: usize,
    pub(crate) queues: Queues,
}

// SAFETY: the raw pointers are to KLTs (alive as long as the runtime) and to tasks that are blocked.
unsafe impl Send for Spares {}

impl Spares {
    pub(crate) const fn new() -> Spares {
        Spares { first: ptr::null(), count: 0, queues: Queues::new() }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Inner {
    /// Enters a new KLT in the table, or takes the one whose thread could not be had the last time; `None` if the table is full.
    pub(crate) fn new_klt(self: &Arc<Inner>) -> Option<&'static Klt> {
        // SAFETY: as below.
        if let Some(unborn) = unsafe { self.unborn.swap(ptr::null_mut(), Ordering::AcqRel).as_ref() } {
            return Some(unborn);
        }
        let index = self
            .klt_count
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < self.klts.len()).then_some(n + 1));
        let index = index.ok()?;
        let klt = Box::into_raw(Box::new(Klt::new(Arc::as_ptr(self), index)));
        self.klts[index].store(klt, Ordering::Release);
        // SAFETY: freed with the runtime, after its thread has ended.
        Some(unsafe { &*klt })
    }

    /// All KLTs.
    pub(crate) fn klts(&self) -> impl Iterator<Item = &'static Klt> + '_ {
        let count = self.klt_count.load(Ordering::Acquire);
        // SAFETY: as in `new_klt`.
        self.klts[..count].iter().filter_map(|klt| unsafe { klt.load(Ordering::Acquire).as_ref() })
    }

    pub(crate) fn put_spare(&self, klt: &'static Klt) {
        let mut spares = self.spares.lock();
        klt.next_spare.set(spares.first);
        spares.first = klt;
        spares.count += 1;
        // One task can begin; the others wait for the next spare.
        let count = spares.count;
        let next = spares.queues.next_for(count);
        drop(spares);
        if let Some(next) = next {
            self.unpark(next);
        }
    }

    /// Takes a spare, preferably one that is pinned to `os_cpu`, if more than `leave` are there.
    pub(crate) fn take_spare(&self, os_cpu: usize, leave: usize) -> Option<&'static Klt> {
        let mut spares = self.spares.lock();
        if spares.count <= self.config.spares {
            self.keeper.rouse();
        }
        if spares.count <= leave {
            return None;
        }
        // SAFETY: spares live as long as the runtime.
        let first: &'static Klt = unsafe { spares.first.as_ref()? };
        let (mut found, mut before, mut at) = (first, None::<&Klt>, first);
        let mut before_found = None;
        for _ in 0..8 {
            if at.pinned_to.load(Ordering::Relaxed) == os_cpu {
                (found, before_found) = (at, before);
                break;
            }
            before = Some(at);
            // SAFETY: as above.
            match unsafe { at.next_spare.get().as_ref() } {
                Some(next) => at = next,
                None => break,
            }
        }
        let rest = found.next_spare.replace(ptr::null());
        match before_found {
            Some(before) => before.next_spare.set(rest),
            None => spares.first = rest,
        }
        spares.count -= 1;
        Some(found)
    }

    /// Whether the table of KLTs is full, and all of them have threads.
    pub(crate) fn klts_are_all_there(&self) -> bool {
        self.klt_count.load(Ordering::Relaxed) >= self.klts.len() && self.unborn.load(Ordering::Acquire).is_null()
    }

    /// How many spares are missing, 0 if there cannot be more.
    pub(crate) fn missing_spares(&self) -> usize {
        if self.klts_are_all_there() {
            return 0;
        }
        let spares = inside(|| {
            let spares = self.spares.lock();
            if spares.queues.want_klts() { 0 } else { spares.count }
        });
        (self.config.spares + 1).saturating_sub(spares)
    }

    /// Whether tasks wait to begin although there are as many KLTs as there may be.
    pub(crate) fn is_out_of_klts(&self) -> bool {
        self.klts_are_all_there() && inside(|| self.spares.lock().queues.want_klts())
    }

    /// Sees to it that the worker has a home, so that its carrier may be bound.
    pub(crate) fn secure_home(&self, worker: &Worker, leave: usize) -> bool {
        if !worker.home.load(Ordering::Relaxed).is_null() {
            return true;
        }
        let Some(spare) = self.take_spare(worker.os_cpu, leave) else { return false };
        worker.home.store(ptr::from_ref(spare).cast_mut(), Ordering::Release);
        true
    }

    pub(crate) fn identities_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Binds the first task to a KLT that the caller owns.
    pub(crate) fn bind_first(&self, klt: &Klt, kind: Kind) {
        klt.identity.bind_first(kind);
        if kind != Kind::Dedicated {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that was bound to `klt`, the caller's own, has ended.
    pub(crate) fn unbind(&self, klt: &Klt) {
        let dedicated = klt.identity.is(Kind::Dedicated);
        if klt.identity.unbind() && !dedicated {
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Of the identities for which `fits` answers true and to which tasks are bound, the one with the fewest.
    pub(crate) fn smallest_group(&self, fits: impl Fn(&Identity) -> bool) -> Option<&'static Klt> {
        self.klts().filter(|klt| fits(&klt.identity) && klt.identity.bound() > 0).min_by_key(|klt| klt.identity.bound())
    }
}
