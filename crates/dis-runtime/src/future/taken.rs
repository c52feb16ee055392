//! Ready tasks that a lane's server has taken out of the ring and not polled yet: several by one exchange, where each would cost one.
//!
//! They are the lane's, not the server's: whoever serves it next, if this one is displaced, goes on with them. Nobody can steal them, so
//! there are few, at most half of what the ring had, and one only while a server has nothing to do.

use std::ptr;

use super::ring::{Raw, Ring};
use crate::atomics::{AtomicPtr, AtomicUsize, Ordering};

/// Taken at a time, at most.
const AT_ONCE: usize = 8;

/// See the module. Used by the lane's server; servers follow each other by way of the lock of standbys.
pub(crate) struct Taken {
    tasks: [AtomicPtr<()>; AT_ONCE],
    next: AtomicUsize,
    end: AtomicUsize,
}

impl Taken {
    pub(crate) fn new() -> Taken {
        Taken {
            tasks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// How many are left.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end.load(Ordering::Relaxed).saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// The first of those that are left, else of the ring. `several`: others have enough to do, so more may be taken with it.
    #[inline]
    pub(crate) fn pop(&self, ring: &Ring, several: bool) -> Option<Raw> {
        let next = self.next.load(Ordering::Relaxed);
        if next < self.end.load(Ordering::Relaxed) {
            self.next.store(next + 1, Ordering::Relaxed);
            return Some(self.tasks[next % AT_ONCE].load(Ordering::Relaxed));
        }
        if several && ring.len() > 2 { self.refill(ring) } else { ring.pop() }
    }

    fn refill(&self, ring: &Ring) -> Option<Raw> {
        let mut tasks = [ptr::null_mut(); AT_ONCE];
        let count = ring.take_half(&mut tasks);
        for (place, task) in self.tasks.iter().zip(&tasks[1..count.max(1)]) {
            place.store(*task, Ordering::Relaxed);
        }
        self.next.store(0, Ordering::Relaxed);
        self.end.store(count.saturating_sub(1), Ordering::Relaxed);
        (count > 0).then_some(tasks[0])
    }
}
