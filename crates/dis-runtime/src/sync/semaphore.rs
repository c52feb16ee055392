//! A counting semaphore.

use std::fmt;
use std::time::Duration;

use dis_core::api::{BlockReason, Timestamp};

use super::wait::{WaitList, Waiter, Woken};
use crate::gate::{check_abort, inside};
use crate::lock::Locked;

struct State {
    permits: usize,
    waiters: WaitList,
}

/// A number of permits; taking one waits until there is one. A released permit goes to whoever has waited longest.
pub struct Semaphore(Locked<State>);

impl Semaphore {
    /// A semaphore with `permits` permits.
    pub const fn new(permits: usize) -> Self {
        Semaphore(Locked::const_new(
            <crate::lock::FutexLock as lock_api::RawMutex>::INIT,
            State { permits, waiters: WaitList::new() },
        ))
    }

    /// Takes a permit, waiting as long as it takes.
    pub fn acquire(&self) {
        self.take(None);
    }

    /// Takes a permit if there is one.
    pub fn try_acquire(&self) -> bool {
        inside(|| {
            let mut state = self.0.lock();
            let free = state.permits > 0;
            state.permits -= usize::from(free);
            free
        })
    }

    /// Takes a permit, waiting at most `timeout`. False: there was none in time.
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.take(Some(crate::api::now() + timeout.into()))
    }

    fn take(&self, until: Option<Timestamp>) -> bool {
        let waiter = Waiter::new();
        let taken = inside(|| {
            let mut state = self.0.lock();
            if state.permits > 0 {
                state.permits -= 1;
                return true;
            }
            state.waiters.push(&waiter);
            false
        });
        if taken {
            return true;
        }
        let woken = waiter.wait(BlockReason::Semaphore, until);
        if woken == Woken::Granted {
            return true;
        }
        let granted = inside(|| {
            let mut state = self.0.lock();
            let granted = waiter.is_granted();
            if !granted {
                state.waiters.remove(&waiter);
            }
            granted
        });
        if woken == Woken::Aborted {
            if granted {
                self.release();
            }
            check_abort();
        }
        granted
    }

    /// Gives a permit back, or adds one; there are at most `usize::MAX`.
    pub fn release(&self) {
        inside(|| {
            let mut state = self.0.lock();
            match state.waiters.pop_first() {
                // SAFETY: it was in the list under this lock.
                Some(first) => unsafe { Waiter::grant(first) },
                None => state.permits = state.permits.saturating_add(1),
            }
        });
    }

    /// Permits that are free now.
    pub fn available(&self) -> usize {
        inside(|| self.0.lock().permits)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish()
    }
}
