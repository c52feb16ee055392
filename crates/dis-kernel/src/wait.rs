//! Tasks that wait for something of the kernel's: who they are, and what is done about one that ends meanwhile.
//!
//! A task may be killed while it waits, and its stack is then given back without being unwound. So lists of waiting tasks hold ids and
//! lie with what is waited for, never on the waiters' stacks, and a task's control block names what it waits for: whoever
//! buries the task tells that.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use dis_core::api::{BlockReason, SchedError, SchedResult, TaskId, Timestamp};

use crate::arch::irq;
use crate::{clock, percpu, task};

/// Something that tasks wait for.
pub trait Awaited: Send + Sync {
    /// A task has ended that waited here: it is to be in no list any more, and what it may have been woken for is the next one's. Called
    /// with interrupts off, on any CPU; the core and the heap may be used.
    fn forget(&self, task: TaskId);
}

/// In which of its attempts a task is to get what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The first: it is in no list, and is not put into one.
    First,
    /// It is going to wait if there is nothing.
    Begin(TaskId),
    /// It has waited. If it is in the list no more, it has been woken; if there is nothing all the same, it waits on, as the first.
    Again(TaskId),
    /// It does not wait any longer.
    Last(TaskId),
}

/// Those who wait, first come first. Protected by the lock of what they wait for.
#[derive(Debug, Default)]
pub struct WaitList(VecDeque<TaskId>);

impl WaitList {
    /// Nobody.
    pub const fn new() -> Self {
        WaitList(VecDeque::new())
    }

    /// The attempt has succeeded (`done`) or not: the task is in the list from now on, or no more. O(waiters), but O(1) for the first.
    ///
    /// # Errors
    /// [`SchedError::ResourceExhausted`]: there is no memory to wait; it is not in the list.
    pub fn settle(&mut self, attempt: Attempt, done: bool) -> SchedResult<()> {
        match attempt {
            Attempt::First => {}
            Attempt::Begin(_) if done => {}
            Attempt::Begin(task) => {
                self.0.try_reserve(1).map_err(|_| SchedError::ResourceExhausted)?;
                self.0.push_back(task);
            }
            Attempt::Again(task) if !done => {
                if !self.0.contains(&task) {
                    self.0.try_reserve(1).map_err(|_| SchedError::ResourceExhausted)?;
                    self.0.push_front(task);
                }
            }
            Attempt::Again(task) | Attempt::Last(task) => self.remove(task),
        }
        Ok(())
    }

    /// Takes the first out. Whoever does must wake it before interrupts come on, as it may be killed after that.
    pub fn pop(&mut self) -> Option<TaskId> {
        self.0.pop_front()
    }

    /// Takes a task out, if it is in.
    pub fn remove(&mut self, task: TaskId) {
        self.0.retain(|&other| other != task);
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Attempts until there is an answer or `until` has passed (`None`: without end), and blocks for `reason` between attempts. An attempt
/// answers `Err` for one that has failed for good.
///
/// # Errors
/// [`SchedError::DeadlineMissed`] after `until`; what an attempt answers.
pub(crate) fn attempts<T>(
    awaited: impl FnOnce() -> Arc<dyn Awaited>,
    reason: BlockReason,
    until: Option<Timestamp>,
    mut attempt: impl FnMut(Attempt) -> SchedResult<Option<T>>,
) -> SchedResult<T> {
    if let Some(done) = attempt(Attempt::First)? {
        return Ok(done);
    }
    let over = || until.is_some_and(|until| until <= clock::now());
    if over() {
        return Err(SchedError::DeadlineMissed);
    }
    let me = task::current();
    let _waiting = Waiting::begin(awaited);
    let mut next = Attempt::Begin(me);
    loop {
        match attempt(next)? {
            Some(done) => return Ok(done),
            None if next == Attempt::Last(me) => return Err(SchedError::DeadlineMissed),
            None => task::block(reason, until),
        }
        next = if over() { Attempt::Last(me) } else { Attempt::Again(me) };
    }
}

/// The running task's control block names what it waits for.
struct Waiting(());

impl Waiting {
    fn begin(awaited: impl FnOnce() -> Arc<dyn Awaited>) -> Waiting {
        // Whoever is killed here owns nothing: with interrupts off it goes on to the end.
        let _off = irq::Off::new();
        // SAFETY: the current task's block lives, and the cell is the running task's.
        unsafe { (*percpu::this().current.get()).awaits.set(Some(awaited())) };
        Waiting(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _off = irq::Off::new();
        // SAFETY: as above.
        drop(unsafe { (*percpu::this().current.get()).awaits.take() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TaskId = TaskId(1);
    const B: TaskId = TaskId(2);

    #[test]
    fn who_was_woken_for_nothing_keeps_its_place_and_who_gives_up_loses_it() {
        let mut list = WaitList::new();
        list.settle(Attempt::First, false).unwrap();
        assert!(list.is_empty());
        for task in [A, B] {
            list.settle(Attempt::Begin(task), false).unwrap();
            // A wake-up for another reason.
            list.settle(Attempt::Again(task), false).unwrap();
        }
        assert_eq!(list.pop(), Some(A));
        list.settle(Attempt::Again(A), false).unwrap();
        assert_eq!(list.pop(), Some(A), "before B, who came later");
        list.settle(Attempt::Last(B), false).unwrap();
        assert!(list.is_empty());
    }

    #[test]
    fn who_succeeds_without_having_been_woken_is_in_the_list_no_more() {
        let mut list = WaitList::new();
        list.settle(Attempt::Begin(A), true).unwrap();
        assert!(list.is_empty());
        list.settle(Attempt::Begin(A), false).unwrap();
        list.settle(Attempt::Again(A), true).unwrap();
        assert!(list.is_empty());
    }
}
