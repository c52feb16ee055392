//! The kernel's lock: spins, with interrupts off. The core takes it as its own (`lock_api::RawMutex`).

use core::sync::atomic::{AtomicBool, Ordering};

use crate::arch::irq;

/// A spinlock that an interrupt handler may take too: whoever holds it is not interrupted.
pub struct RawLock(AtomicBool);

// SAFETY: `true` in the word is ownership; it is taken by an exchange with acquire and given back with release.
unsafe impl lock_api::RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "lock_api wants it so")]
    const INIT: RawLock = RawLock(AtomicBool::new(false));
    // Interrupts were turned off on this CPU and must come on again here.
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        irq::push();
        while self.0.swap(true, Ordering::Acquire) {
            while self.0.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        irq::push();
        let taken = !self.0.swap(true, Ordering::Acquire);
        if !taken {
            irq::pop();
        }
        taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
        irq::pop();
    }

    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Data behind a [`RawLock`].
pub type Lock<T> = lock_api::Mutex<RawLock, T>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::vec::Vec;

    #[test]
    fn additions_of_several_threads_add_up() {
        let sum = Arc::new(Lock::new(0u64));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = sum.clone();
                std::thread::spawn(move || (0..10_000).for_each(|_| *sum.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*sum.lock(), 40_000);
        let held = sum.lock();
        assert!(sum.try_lock().is_none());
        drop(held);
        assert!(sum.try_lock().is_some());
    }
}
