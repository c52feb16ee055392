//! Mutexes for tasks: hand-off to the most urgent waiter, whose urgency the holder inherits meanwhile.
//!
//! As in the simulator, which decides alike. Who waits for what is one table behind one spinlock; it is looked through only
//! where somebody has to wait.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use dis_core::api::{BlockReason, TaskId, Timestamp};
use dis_core::executor::Leave;
use dis_core::scheduler::Urgency;
use dis_workload::interp;

use crate::lock::Lock;
use crate::sched::{self, scheduler};
use crate::{clock, task};

/// How often the first waiter may be passed over by more urgent ones.
const MOST_PASSED: u32 = 16;

/// A mutex that a task blocks on.
pub struct Mutex<T> {
    /// Its place in the table.
    place: usize,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, which one task at a time has.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// Unlocks when it is dropped.
pub struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
}

#[derive(Default)]
struct State {
    owner: Option<TaskId>,
    /// In the order of their arrival.
    waiters: Vec<TaskId>,
    passed: u32,
}

#[derive(Default)]
struct Table {
    mutexes: Vec<State>,
    /// Who has been lent what.
    loans: Vec<(TaskId, Urgency)>,
}

static TABLE: Lock<Table> = Lock::new(Table { mutexes: Vec::new(), loans: Vec::new() });

impl<T: Send + 'static> interp::Lock<T> for Mutex<T> {
    type Guard<'a> = Guard<'a, T>;

    fn new(value: T) -> Mutex<T> {
        let mut table = TABLE.lock();
        table.mutexes.push(State::default());
        Mutex { place: table.mutexes.len() - 1, value: UnsafeCell::new(value) }
    }

    fn lock(&self) -> Guard<'_, T> {
        let me = task::current();
        let mut table = TABLE.lock();
        let state = &mut table.mutexes[self.place];
        match state.owner {
            None => state.owner = Some(me),
            Some(owner) => {
                state.waiters.push(me);
                // Whoever must be asked again is: this CPU, in a moment, as the task blocks.
                let _ = table.update_loan(owner, clock::now());
                drop(table);
                // Until it has been handed over; a wake-up may have another reason.
                while TABLE.lock().mutexes[self.place].owner != Some(me) {
                    task::block(BlockReason::Mutex, None);
                }
            }
        }
        Guard { mutex: self }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let (heir, ask) = TABLE.lock().release(self.mutex.place, clock::now());
        if let Some(heir) = heir {
            // One that was killed meanwhile is gone; so is what it would have done.
            let _ = task::unpark(heir);
        }
        if ask {
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

impl Table {
    /// The owner lets go. Answers who has it now, and whether this CPU should ask again.
    fn release(&mut self, place: usize, now: Timestamp) -> (Option<TaskId>, bool) {
        let state = &mut self.mutexes[place];
        let Some(me) = state.owner.take() else { return (None, false) };
        let Some(&first) = state.waiters.first() else { return (None, false) };
        let heir = if state.passed < MOST_PASSED { most_urgent(&state.waiters) } else { first };
        state.owner = Some(heir);
        state.waiters.retain(|&waiter| waiter != heir);
        state.passed = if heir == first { 0 } else { state.passed + 1 };
        // Both: what the heir is lent now, and what this task has no more.
        let (theirs, mine) = (self.update_loan(heir, now), self.update_loan(me, now));
        (Some(heir), theirs | mine)
    }

    /// Computes anew what a task inherits, and what follows for those that it waits for. True: this CPU should ask again.
    fn update_loan(&mut self, task: TaskId, now: Timestamp) -> bool {
        let (mut next, mut ask) = (Some(task), false);
        while let Some(task) = next {
            let held = self.mutexes.iter().filter(|state| state.owner == Some(task));
            let most = held.flat_map(|state| &state.waiters).filter_map(|&waiter| scheduler().urgency(waiter).ok());
            let most = most.reduce(|most, urgency| if urgency.exceeds(&most) { urgency } else { most });
            let place = self.loans.iter().position(|(known, _)| *known == task);
            if place.map(|place| self.loans[place].1) == most {
                break;
            }
            match (place, most) {
                (Some(place), None) => _ = self.loans.swap_remove(place),
                (Some(place), Some(most)) => self.loans[place].1 = most,
                (None, Some(most)) => self.loans.push((task, most)),
                (None, None) => {}
            }
            if let Ok(wake) = scheduler().inherit(now, task, most) {
                ask |= sched::obey(&wake, now);
            }
            let waits = self.mutexes.iter().find(|state| state.waiters.contains(&task));
            next = waits.and_then(|state| state.owner);
        }
        ask
    }
}

/// The first among equals.
fn most_urgent(waiters: &[TaskId]) -> TaskId {
    let urgency = |task: TaskId| scheduler().urgency(task).ok();
    let mut best = waiters[0];
    let mut most = urgency(best);
    for &task in &waiters[1..] {
        if let Some(own) = urgency(task)
            && most.is_none_or(|most| own.exceeds(&most))
        {
            (best, most) = (task, Some(own));
        }
    }
    best
}
