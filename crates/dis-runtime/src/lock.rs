//! The lock of the runtime and of the core inside it: a short spin, then a futex.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep on the word.
const CONTENDED: u32 = 2;

/// How often to look before sleeping: about a microsecond. Critical sections last tens of nanoseconds, so the spin
/// succeeds unless the kernel took the CPU from the holder.
const SPINS: u32 = 60;

/// A futex lock for `lock_api`.
///
/// A thread that carries a worker holds it only while its `in_runtime` flag is up, so that a preemption never runs
/// on top of it. Nothing inside may allocate or free: the allocator's lock may belong to a preempted task.
pub struct FutexLock(AtomicU32);

// SAFETY: FREE -> HELD/CONTENDED happens by compare-exchange or swap from FREE only, so there is one holder at a time;
// Acquire on locking and Release on unlocking order the sections.
unsafe impl lock_api::RawMutex for FutexLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = FutexLock(AtomicU32::new(FREE));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_slowly();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Ordering::Release) == CONTENDED {
            sys::futex_wake(&self.0, 1);
        }
    }
}

impl FutexLock {
    #[cold]
    fn lock_slowly(&self) {
        for _ in 0..SPINS {
            hint::spin_loop();
            if self.0.load(Ordering::Relaxed) == FREE
                && self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
        while self.0.swap(CONTENDED, Ordering::Acquire) != FREE {
            sys::futex_wait(&self.0, CONTENDED, None);
        }
    }
}

/// A value behind a [`FutexLock`].
pub(crate) type Locked<T> = lock_api::Mutex<FutexLock, T>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_under_contention() {
        let sum = Locked::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50_000).for_each(|_| *sum.lock() += 1));
            }
        });
        assert_eq!(*sum.lock(), 200_000);
        assert!(sum.try_lock().is_some());
    }
}
