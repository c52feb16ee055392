//! Mutexes for tasks: hand-off to the most urgent waiter, whose urgency the holder inherits meanwhile. As in the simulator, which
//! decides alike.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use dis_core::executor::Leave;
use dis_workload::interp;

use crate::turns::Turn;
use crate::{clock, sched, task};

/// A mutex that a task blocks on.
pub struct Mutex<T> {
    turn: Turn,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, which one task at a time has.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// Unlocks when it is dropped.
pub struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T: Send + 'static> interp::Lock<T> for Mutex<T> {
    type Guard<'a> = Guard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        Mutex { turn: Turn::of_mutex(), value: UnsafeCell::new(value) }
    }

    fn lock(&self) -> Guard<'_, T> {
        // As in the simulator, that is the workload's error, and ends the run.
        if self.turn.take(task::current(), None).is_err() {
            panic!("deadlock: task {} waits for a mutex whose owner waits for it", task::current().0);
        }
        Guard { mutex: self }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.mutex.turn.release(task::current(), clock::now) {
            sched::leave(Leave::Ask);
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard's task is the owner.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed for writing.
        unsafe { &mut *self.mutex.value.get() }
    }
}
