//! A lock for one thread that shows wrong orders of locking.

use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The locks of the book, of two CPUs, and of the pieces.
const MOST: usize = 4;

/// Panics where a real lock would wait for ever, and where more are held than ever need be.
pub struct Lock(Cell<bool>);

// SAFETY: a Cell makes the type !Sync, so all calls come from one thread, and `lock` panics instead of letting a second
// guard exist.
unsafe impl lock_api::RawMutex for Lock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Lock = Lock(Cell::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        assert!(self.try_lock(), "a lock is taken while it is held");
        let held = HELD.get();
        assert!(held <= MOST, "{held} locks are held at once");
    }

    fn try_lock(&self) -> bool {
        let free = !self.0.replace(true);
        HELD.set(HELD.get() + usize::from(free));
        free
    }

    unsafe fn unlock(&self) {
        self.0.set(false);
        HELD.set(HELD.get() - 1);
    }
}
