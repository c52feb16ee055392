//! A mutex with hand-off and inheritance.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::raw_mutex::Core;

/// Mutual exclusion for tasks and threads.
///
/// A waiting task lets others run. The owner inherits class, priority and deadline of its most urgent waiter, along chains
/// of mutexes as well; unlocking hands the mutex to the most urgent waiter, first come first served among equals. An ordinary
/// thread counts as less urgent than any task.
///
/// Nobody starves: at most 16 hand-overs in a row pass the one who has waited longest. So somebody with `k` waiters in front
/// gets the mutex with the 17 (`k` + 1)-th hand-over at the latest, and someone more urgent waits for one such turn in
/// 17 at most, whose owner runs with its urgency meanwhile.
///
/// There is no poisoning: a panic unlocks. A guard that is forgotten leaves the mutex locked for ever.
pub struct Mutex<T: ?Sized> {
    core: Core,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by the owner of the lock only.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Mutex { core: Core::new(), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting as long as it takes.
    ///
    /// # Panics
    /// If that would be for ever: the calling task has it already, or its owner waits without a time-out for a mutex of the calling
    /// task's, perhaps through others (up to 32 tasks). The message names the tasks and mutexes; as the panic unlocks what the task
    /// holds, the others go on. Ordinary threads, and tasks that unwind already, wait. If there is a [call](super::Client::call) in the
    /// circle, that ends instead, with [`Failure::Circle`](super::Failure::Circle). Found when the task is about to wait: a mutex that is
    /// free costs nothing more.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        while !self.core.try_lock() && !self.core.lock_slowly(None) {}
        self.guard()
    }

    /// Locks if nobody has the lock.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.core.try_lock().then(|| self.guard())
    }

    /// Locks, waiting at most `timeout`.
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let until = crate::api::now() + timeout.into();
        (self.core.try_lock() || self.core.lock_slowly(Some(until))).then(|| self.guard())
    }

    /// The value; nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// How many wait for it.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.core.waiting()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, not_send: PhantomData }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

/// The right to the value of a locked [`Mutex`]; dropping it unlocks.
#[must_use = "dropped at once, it unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// The owner has to unlock.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: locked.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.core.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
