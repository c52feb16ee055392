//! What a pool and its stacks share: the slots and their way round.
//!
//! A slot is fresh (never used), lent, or on one of four lists:
//!
//! ```text
//!   fresh ──guard──► lent ──drop──► hot (at most `cache`) ──► lent
//!                      ▲        └─► surplus ──64 at a time──► memory given back ──► cold
//!                      └──────── surplus first, then hot, cold, bare, fresh
//! ```
//!
//! `bare` holds slots whose guard could not be made. As long as surplus is not empty hot is full of older ones, so the
//! order surplus, hot is last in, first out.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::StackConfig;
use super::error::StackError;
use super::freelist::{Links, List};
use super::geometry::Geometry;
use super::guard::{self, GuardKind};
use super::map::Region;
use super::registry;

/// How many surplus stacks give their memory back together.
const BATCH: usize = 64;
/// How many threads may do that at a time.
const TRIMMERS: usize = 8;
/// So many slots may be on no list meanwhile; the pool has as many more than it may lend.
pub(super) const SPARE: usize = BATCH * TRIMMERS;

/// In `Shared::users`: the pool's own handle exists. The bits below count the stacks lent.
pub(super) const HANDLE: usize = 1 << 63;

/// What the pool and its stacks share. Freed by whoever is last: `users` counts.
pub(super) struct Shared {
    pub(super) users: AtomicUsize,
    pub(super) geometry: Geometry,
    pub(super) region: Region,
    links: Links,
    surplus: List,
    hot: List,
    cold: List,
    bare: List,
    fresh: AtomicUsize,
    trimmers: AtomicUsize,
    pub(super) unguarded: AtomicUsize,
    mprotected: AtomicUsize,
    pub(super) kind: GuardKind,
    pub(super) max_stacks: usize,
    cache: usize,
    allow_unguarded: bool,
    place: usize,
}

impl Shared {
    /// A pool without stacks, with its handle counted.
    pub(super) fn new(config: &StackConfig) -> Result<Self, StackError> {
        let size = config.checked_size()?;
        let mut geometry = Geometry::new(size, config.max_stacks + SPARE);
        let no_room = |bytes, errno| StackError::Reserve { bytes, errno };
        let len = geometry.len().ok_or(no_room(usize::MAX, libc::ENOMEM))?;
        let region = Region::new(len).map_err(|errno| no_room(len, errno))?;
        region.no_huge_pages();
        geometry.base = region.base().expose_provenance();
        let kind = guard::choose(config.guard, &region, 0, geometry.guard)?;
        let links = Links::new(geometry.slots).map_err(|errno| no_room(geometry.slots * 8, errno))?;
        let place = registry::add(&geometry)?;
        Ok(Self {
            users: AtomicUsize::new(HANDLE),
            geometry,
            region,
            links,
            surplus: List::new(),
            hot: List::new(),
            cold: List::new(),
            bare: List::new(),
            fresh: AtomicUsize::new(0),
            trimmers: AtomicUsize::new(0),
            unguarded: AtomicUsize::new(0),
            mprotected: AtomicUsize::new(0),
            kind,
            max_stacks: config.max_stacks,
            cache: config.cache,
            allow_unguarded: config.allow_unguarded,
            place,
        })
    }

    /// A slot for a lender that has already counted itself, so that there is one.
    #[inline]
    pub(super) fn take(&self) -> Result<usize, StackError> {
        match self.surplus.pop(&self.links).or_else(|| self.hot.pop(&self.links)) {
            Some(index) => Ok(index),
            None => self.take_slowly(),
        }
    }

    #[cold]
    fn take_slowly(&self) -> Result<usize, StackError> {
        loop {
            if let Some(index) = self.cold.pop(&self.links) {
                return Ok(index);
            }
            if let Some(index) = self.bare.pop(&self.links).or_else(|| self.take_fresh()) {
                return self.guarded(index);
            }
            // A slot was on its way from one list to another while we looked; whoever moves it makes progress.
            hint::spin_loop();
            if let Some(index) = self.surplus.pop(&self.links).or_else(|| self.hot.pop(&self.links)) {
                return Ok(index);
            }
        }
    }

    fn take_fresh(&self) -> Option<usize> {
        let more = |n| (n < self.geometry.slots).then_some(n + 1);
        self.fresh.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
    }

    /// Makes the guard of a slot that has none.
    fn guarded(&self, index: usize) -> Result<usize, StackError> {
        let g = &self.geometry;
        match guard::make(self.kind, &self.region, g.slot(index), g.guard) {
            Ok(()) if self.kind == GuardKind::Mprotect => {
                self.mprotected.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) => {}
            Err(StackError::GuardLimit { .. }) if self.allow_unguarded => {
                self.unguarded.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                let _ = self.bare.push(&self.links, index, usize::MAX);
                return Err(error);
            }
        }
        Ok(index)
    }

    #[inline]
    pub(super) fn give_back(&self, index: usize) {
        if self.hot.push(&self.links, index, self.cache).is_none()
            && self.surplus.push(&self.links, index, usize::MAX).is_some_and(|len| len >= BATCH)
        {
            self.trim();
        }
    }

    /// Gives the memory of up to `BATCH` surplus stacks back, with one call per run of neighbours.
    #[cold]
    fn trim(&self) {
        if self.trimmers.fetch_add(1, Ordering::AcqRel) >= TRIMMERS {
            self.trimmers.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let mut batch = [0; BATCH];
        let mut count = 0;
        while count < BATCH
            && let Some(index) = self.surplus.pop(&self.links)
        {
            batch[count] = index;
            count += 1;
        }
        let batch = &mut batch[..count];
        batch.sort_unstable();
        for run in batch.chunk_by(|a, b| a + 1 == *b) {
            // SAFETY: these slots are on no list and lent to nobody. If the kernel refuses (locked memory), they just
            // stay resident.
            let _ = unsafe { self.region.discard(self.geometry.slot(run[0]), run.len() * self.geometry.stride()) };
        }
        // The lowest index on top: an idle pool contracts towards its start.
        for &index in batch.iter().rev() {
            let _ = self.cold.push(&self.links, index, usize::MAX);
        }
        self.trimmers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        registry::remove(self.place);
        guard::released(*self.mprotected.get_mut());
    }
}
