//! The kernel's lock: spins, with interrupts off. The core takes it as its own (`lock_api::RawMutex`).

use core::sync::atomic::{AtomicBool, Ordering};

use dis_core::api::Duration;

use crate::arch::irq;
use crate::{clock, fault};

/// A spinlock that an interrupt handler may take too: whoever holds it is not interrupted.
pub struct RawLock(AtomicBool);

/// How long a CPU spins before it takes the machine for lost. No lock is held for milliseconds; in an emulator whoever holds
/// one may stand still for some seconds.
const STUCK: Duration = Duration::from_secs(20);

impl RawLock {
    /// Until it looks free. Who holds it may have stopped for good, and then nothing else can go on either.
    #[cold]
    fn wait(&self) {
        let begin = clock::now();
        while clock::now().since(begin) < STUCK {
            for _ in 0..10_000 {
                if !self.0.load(Ordering::Relaxed) {
                    return;
                }
                core::hint::spin_loop();
            }
        }
        fault::stuck();
    }
}

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
            self.wait();
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
