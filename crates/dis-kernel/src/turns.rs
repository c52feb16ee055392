//! Whose turn it is, and who waits for it: what mutexes and the callers of a server have in common.
//!
//! Whoever waits lends its urgency to the owner, and to whoever that one waits for in turn, through calls. The turn is handed to the
//! most urgent waiter; the first is passed over 16 times at most. All is one table behind one spinlock; it is looked through only where
//! somebody has to wait.

use alloc::vec::Vec;

use dis_core::api::{BlockReason, Duration, SchedError, SchedResult, TaskId, Timestamp};
use dis_core::scheduler::Urgency;

use crate::lock::Lock;
use crate::sched::{self, scheduler};
use crate::{clock, task};

/// How often the first waiter may be passed over by more urgent ones.
const MOST_PASSED: u32 = 16;
/// Links of a chain that are followed.
const MOST_LINKS: usize = 32;
/// How often who waits looks whether the owner lives.
const LOOK: Duration = Duration::from_millis(10);

/// One place in the table; free again when it is dropped.
pub struct Turn {
    place: usize,
    /// It is a server's, which outlives those who call it. Who ends while it holds a mutex leaves that locked, as what it protects may be in
    /// disorder.
    of_server: bool,
}

#[derive(Default)]
struct State {
    owner: Option<TaskId>,
    /// In the order of their arrival.
    waiters: Vec<TaskId>,
    passed: u32,
    used: bool,
}

#[derive(Default)]
struct Table {
    turns: Vec<State>,
    /// Who has been lent what.
    loans: Vec<(TaskId, Urgency)>,
}

static TABLE: Lock<Table> = Lock::new(Table { turns: Vec::new(), loans: Vec::new() });

impl Turn {
    /// A mutex's, which nobody has.
    pub fn of_mutex() -> Turn {
        Turn::new(None)
    }

    /// A server's, which has it itself; [`TaskId::INVALID`]'s: of one that is yet to come.
    pub fn of_server(server: TaskId) -> Turn {
        Turn::new(Some(server))
    }

    fn new(owner: Option<TaskId>) -> Turn {
        let of_server = owner.is_some();
        let mut table = TABLE.lock();
        let place = table.turns.iter().position(|state| !state.used).unwrap_or(table.turns.len());
        if place == table.turns.len() {
            table.turns.push(State::default());
        }
        table.turns[place] = State { owner, used: true, ..State::default() };
        Turn { place, of_server }
    }

    /// Waits until it is the turn of the calling task, `me`, or until `until`. A server's turn is nobody's once its owner has ended.
    ///
    /// # Errors
    /// [`SchedError::InvalidState`] if the owner is the calling task, or waits for it by a chain of turns and calls: a deadlock; for a mutex
    /// only if the wait has no end. [`SchedError::DeadlineMissed`] after `until`.
    #[inline]
    pub fn take(&self, me: TaskId, until: Option<Timestamp>) -> SchedResult<()> {
        if self.try_take(me) { Ok(()) } else { self.wait(me, until) }
    }

    /// Takes the turn if it is nobody's.
    #[inline]
    pub fn try_take(&self, me: TaskId) -> bool {
        let mut table = TABLE.lock();
        let owner = &mut table.turns[self.place].owner;
        let free = owner.is_none();
        if free {
            *owner = Some(me);
        }
        free
    }

    #[cold]
    fn wait(&self, me: TaskId, until: Option<Timestamp>) -> SchedResult<()> {
        let mut queued = false;
        loop {
            let now = clock::now();
            {
                let mut table = TABLE.lock();
                let state = &mut table.turns[self.place];
                match state.owner {
                    Some(owner) if owner == me => return if queued { Ok(()) } else { Err(SchedError::InvalidState) },
                    Some(owner) if !self.of_server || !has_ended(owner) => {
                        if !state.waiters.contains(&me) {
                            if (self.of_server || until.is_none()) && table.waits_for(self.place, me) {
                                return Err(SchedError::InvalidState);
                            }
                            queued = true;
                            table.turns[self.place].waiters.push(me);
                            // Whoever must be asked again is: this CPU, in a moment, as the task blocks.
                            let _ = table.update_loan(owner, now);
                        }
                    }
                    _ => {
                        state.waiters.retain(|&waiter| waiter != me);
                        state.owner = Some(me);
                        let _ = table.update_loan(me, now);
                        return Ok(());
                    }
                }
                if until.is_some_and(|until| until <= now) {
                    let state = &mut table.turns[self.place];
                    state.waiters.retain(|&waiter| waiter != me);
                    if let Some(owner) = state.owner {
                        let _ = table.update_loan(owner, now);
                    }
                    return Err(SchedError::DeadlineMissed);
                }
            }
            // Until it has been handed over; a wake-up may have another reason.
            let look = self.of_server.then(|| now + LOOK);
            task::block(BlockReason::Mutex, until.into_iter().chain(look).min());
        }
    }

    /// Whoever has the turn, `me`, lets go; the next one has it. True: this CPU should ask again.
    #[inline]
    #[must_use]
    pub fn release(&self, me: TaskId, now: impl FnOnce() -> Timestamp) -> bool {
        let mut table = TABLE.lock();
        let state = &mut table.turns[self.place];
        if state.owner != Some(me) {
            return false;
        }
        if state.waiters.is_empty() {
            state.owner = None;
            return false;
        }
        table.hand_over(self.place, me, now())
    }

    /// As [`release`](Self::release), whoever has the turn, as that one has gone.
    #[must_use]
    pub fn free(&self, now: Timestamp) -> bool {
        let mut table = TABLE.lock();
        let state = &mut table.turns[self.place];
        match state.owner {
            Some(owner) if !state.waiters.is_empty() => table.hand_over(self.place, owner, now),
            _ => {
                state.owner = None;
                false
            }
        }
    }

    /// `me` has the turn no more, but `other`, if that is true. True: this CPU should ask again.
    #[must_use]
    pub fn give(&self, me: TaskId, other: TaskId, now: Timestamp) -> bool {
        let mut table = TABLE.lock();
        let state = &mut table.turns[self.place];
        if state.owner != Some(me) {
            return false;
        }
        state.owner = Some(other);
        table.update_loan(other, now) | table.update_loan(me, now)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TABLE.lock().turns[self.place].used = false;
    }
}

impl Table {
    #[cold]
    fn hand_over(&mut self, place: usize, me: TaskId, now: Timestamp) -> bool {
        let state = &mut self.turns[place];
        state.owner = None;
        let mut ask = false;
        // One that was killed meanwhile waits for nothing.
        state.waiters.retain(|&waiter| !has_ended(waiter));
        if let Some(&first) = state.waiters.first() {
            let heir = if state.passed < MOST_PASSED { most_urgent(&state.waiters) } else { first };
            state.owner = Some(heir);
            state.waiters.retain(|&waiter| waiter != heir);
            state.passed = if heir == first { 0 } else { state.passed + 1 };
            ask |= self.update_loan(heir, now);
            ask |= scheduler().unpark(now, heir).is_ok_and(|wake| sched::obey(&wake, now));
        }
        ask | self.update_loan(me, now)
    }

    /// What a task's stack of calls waits for.
    fn waits(&self, task: TaskId) -> Option<&State> {
        let on = scheduler().carrier_of(task);
        let waits = |waiter: &TaskId| *waiter == task || (on.is_ok() && scheduler().carrier_of(*waiter) == on);
        self.turns.iter().find(|state| state.waiters.iter().any(waits))
    }

    /// Whether the owner of a turn waits, in the end, for `me`, or for who has called it.
    fn waits_for(&self, place: usize, me: TaskId) -> bool {
        let mine = scheduler().carrier_of(me);
        let mut next = self.turns[place].owner;
        for _ in 0..MOST_LINKS {
            let Some(owner) = next else { return false };
            if owner == me || (mine.is_ok() && scheduler().carrier_of(owner) == mine) {
                return true;
            }
            next = self.waits(owner).and_then(|state| state.owner);
        }
        false
    }

    /// Computes anew what a task inherits, and what follows for those that it waits for. True: this CPU should ask again.
    fn update_loan(&mut self, task: TaskId, now: Timestamp) -> bool {
        let (mut next, mut ask) = (Some(task), false);
        for _ in 0..MOST_LINKS {
            let Some(task) = next else { break };
            let held = self.turns.iter().filter(|state| state.owner == Some(task));
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
            next = self.waits(task).and_then(|state| state.owner);
        }
        ask
    }
}

fn has_ended(task: TaskId) -> bool {
    task != TaskId::INVALID && scheduler().with_task(task, |task| task.state().has_ended()).unwrap_or(true)
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
