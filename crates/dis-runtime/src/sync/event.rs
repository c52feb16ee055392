//! An event that tasks and threads wait for.

use std::fmt;
use std::time::Duration;

use dis_core::api::{BlockReason, Timestamp};
use dis_core::executor::Leave;

use super::wait::{WaitList, Waiter, Woken};
use crate::gate::{check_abort, inside, inside_waking};
use crate::lock::{FutexLock, Locked};

struct State {
    set: bool,
    waiters: WaitList,
}

/// Something that happens.
///
/// A *manual* event stays set until [`reset`](Self::reset) and lets everybody pass. An *automatic* one lets one pass per
/// [`set`](Self::set), the one that has waited longest; setting it twice before anybody waits counts once.
pub struct Event {
    automatic: bool,
    state: Locked<State>,
}

impl Event {
    /// An event that stays set.
    pub const fn manual() -> Self {
        Self::new(false)
    }

    /// An event that is reset by the one whom it lets pass.
    pub const fn automatic() -> Self {
        Self::new(true)
    }

    const fn new(automatic: bool) -> Self {
        let state = State { set: false, waiters: WaitList::new() };
        Event { automatic, state: Locked::const_new(<FutexLock as lock_api::RawMutex>::INIT, state) }
    }

    /// It happens.
    pub fn set(&self) {
        if self.automatic {
            return inside_waking(
                |()| Leave::Ask,
                |woken| {
                    let mut state = self.state.lock();
                    match state.waiters.pop_first() {
                        // SAFETY: it was in the list under this lock.
                        Some(first) => *woken = unsafe { Waiter::release(first) },
                        None => state.set = true,
                    }
                },
            );
        }
        let mut more = true;
        while more {
            // A few at a time, so that the lock is not held long.
            more = inside(|| {
                let mut state = self.state.lock();
                for _ in 0..16 {
                    let Some(first) = state.waiters.pop_first() else {
                        state.set = true;
                        return false;
                    };
                    // SAFETY: it was in the list under this lock.
                    unsafe { Waiter::grant(first) };
                }
                true
            });
        }
    }

    /// Those who wait now go on; the event is not set for those who come later.
    pub fn pulse(&self) {
        let mut rest = inside(|| self.state.lock().waiters.len());
        while rest > 0 {
            rest = inside(|| {
                let mut state = self.state.lock();
                for _ in 0..16.min(rest) {
                    let Some(first) = state.waiters.pop_first() else { return 0 };
                    // SAFETY: it was in the list under this lock.
                    unsafe { Waiter::grant(first) };
                }
                rest.saturating_sub(16)
            });
        }
    }

    /// It has not happened.
    pub fn reset(&self) {
        inside(|| self.state.lock().set = false);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        inside(|| self.state.lock().set)
    }

    /// Waits for it.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Waits at most `timeout`. False: it did not happen in time.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Some(crate::api::now() + timeout.into()))
    }

    fn wait_until(&self, until: Option<Timestamp>) -> bool {
        let waiter = Waiter::new();
        let passed = inside(|| {
            let mut state = self.state.lock();
            if state.set {
                state.set = !self.automatic;
                return true;
            }
            state.waiters.push(&waiter);
            false
        });
        if passed {
            return true;
        }
        // An automatic one is a notification: who lets it pass says so to one other.
        let reason = if self.automatic { BlockReason::Ipc } else { BlockReason::Event };
        let woken = waiter.wait(reason, until);
        if woken == Woken::Granted {
            return true;
        }
        let granted = inside(|| {
            let mut state = self.state.lock();
            let granted = waiter.is_granted();
            if !granted {
                state.waiters.remove(&waiter);
            }
            granted
        });
        if woken == Woken::Aborted {
            if granted && self.automatic {
                self.set();
            }
            check_abort();
        }
        granted
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).field("automatic", &self.automatic).finish()
    }
}
