//! Bounded channels: many senders, one or many receivers, first in, first out.
//!
//! Not the runtime's (`dis_runtime::sync::channel`), whose lists are of nodes on the waiters' own stacks: an aborted task of the
//! runtime unwinds and takes its node out, a killed task of the kernel is gone at once. What is common beyond that is a queue with a
//! limit.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};

use dis_core::api::{BlockReason, SchedError, SchedResult, TaskId, Timestamp};

use crate::lock::Lock;
use crate::sched::{self, scheduler};
use crate::task;
use crate::wait::{Attempt, Awaited, WaitList, attempts};

/// A channel with room for `capacity` messages, at least 1. A full one makes senders wait, an empty one receivers, blocked with
/// [`BlockReason::Ipc`]. One without senders or without receivers is closed. A task that is killed does not drop what its stack owns, so
/// what it held there of a channel stays held; what a user task holds is given back.
///
/// # Errors
/// [`SchedError::ResourceExhausted`]: no memory for so many.
pub fn channel<T: Send + 'static>(capacity: usize) -> SchedResult<(Sender<T>, Receiver<T>)> {
    let state = State::with_capacity(capacity.max(1))?;
    let shared = Arc::new(Shared { state: Lock::new(state), senders: 1.into(), receivers: 1.into() });
    Ok((Sender(Arc::clone(&shared)), Receiver(shared)))
}

/// The channel is closed: this is the error that says so.
pub const CLOSED: SchedError = SchedError::InvalidState;

/// A message that was not sent, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendError<T> {
    /// The message.
    pub message: T,
    /// [`CLOSED`]; [`SchedError::DeadlineMissed`]: no room in time; [`SchedError::ResourceExhausted`]: no memory to wait.
    pub why: SchedError,
}

/// What a channel is, without the waiting.
#[derive(Debug)]
struct State<T> {
    messages: VecDeque<T>,
    capacity: usize,
    closed: bool,
    senders: WaitList,
    receivers: WaitList,
}

impl<T> State<T> {
    fn with_capacity(capacity: usize) -> SchedResult<State<T>> {
        let mut messages = VecDeque::new();
        messages.try_reserve_exact(capacity).map_err(|_| SchedError::ResourceExhausted)?;
        Ok(State { messages, capacity, closed: false, senders: WaitList::new(), receivers: WaitList::new() })
    }

    fn has_room(&self) -> bool {
        self.messages.len() < self.capacity
    }

    /// Takes `message`, if there is room; answers then who is to be woken.
    #[inline]
    fn offer(&mut self, message: &mut Option<T>, attempt: Attempt) -> SchedResult<Option<Option<TaskId>>> {
        let done = self.closed || self.has_room();
        self.senders.settle(attempt, done)?;
        if self.closed {
            return Err(CLOSED);
        }
        if !done {
            return Ok(None);
        }
        self.messages.extend(message.take());
        Ok(Some(self.receivers.pop()))
    }

    /// The first message, if there is one, and who is to be woken.
    #[inline]
    fn take(&mut self, attempt: Attempt) -> SchedResult<Option<(T, Option<TaskId>)>> {
        let message = self.messages.pop_front();
        self.receivers.settle(attempt, message.is_some() || self.closed)?;
        match message {
            Some(message) => Ok(Some((message, self.senders.pop()))),
            None if self.closed => Err(CLOSED),
            None => Ok(None),
        }
    }

    /// A task that may have waited is gone. Who of either side is to be woken in its place.
    fn forget(&mut self, task: TaskId) -> [Option<TaskId>; 2] {
        self.senders.remove(task);
        self.receivers.remove(task);
        let receiver = if self.messages.is_empty() { None } else { self.receivers.pop() };
        [receiver, if self.has_room() { self.senders.pop() } else { None }]
    }

    /// Nothing can be sent from now on. Who is to be woken.
    fn close(&mut self) -> [WaitList; 2] {
        self.closed = true;
        [mem::take(&mut self.senders), mem::take(&mut self.receivers)]
    }
}

struct Shared<T> {
    state: Lock<State<T>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

impl<T: Send> Awaited for Shared<T> {
    fn forget(&self, task: TaskId) {
        self.state.lock().forget(task).into_iter().flatten().for_each(sched::rouse);
    }
}

impl<T> Shared<T> {
    fn close(&self) {
        // Interrupts are off to the end: whoever has been taken out of a list is woken.
        let _off = crate::arch::irq::Off::new();
        let waiting = self.state.lock().close();
        for mut list in waiting {
            while let Some(task) = list.pop() {
                sched::rouse(task);
            }
        }
    }
}

/// Wakes whom an attempt says, before interrupts come on again and the caller could be killed.
#[inline]
fn with_wake<T>(attempt: impl FnOnce() -> SchedResult<Option<(T, Option<TaskId>)>>) -> SchedResult<Option<T>> {
    task::with_wake(|_, now| {
        let Some((done, woken)) = attempt()? else { return Ok((None, None)) };
        // One that has ended meanwhile is about to be forgotten, and the next one woken then.
        let wake = woken.and_then(|task| scheduler().unpark(now, task).ok());
        Ok((Some(done), wake))
    })
}

/// The sending side.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving side.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T: Send + 'static> Sender<T> {
    /// Sends, and waits for room until `until` (`None`: without end; an instant that has passed: not at all). Whoever receives is
    /// made ready, and goes on at once if it is the more urgent. O(1) where there is room, else O(waiters).
    ///
    /// # Errors
    /// [`SendError`] with the message.
    pub fn send(&self, message: T, until: Option<Timestamp>) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        let offer =
            |attempt| with_wake(|| Ok(self.0.state.lock().offer(&mut message, attempt)?.map(|woken| ((), woken))));
        match attempts(|| self.0.clone(), BlockReason::Ipc, until, offer) {
            Err(why) if let Some(message) = message => Err(SendError { message, why }),
            _ => Ok(()),
        }
    }

    /// Closes the channel: nothing can be sent any more, what was sent can be received.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// Receives, and waits for a message until `until` (`None`: without end; an instant that has passed: not at all). O(1) where there
    /// is one, else O(waiters).
    ///
    /// # Errors
    /// [`CLOSED`]: there are no messages, and there will be none. [`SchedError::DeadlineMissed`]: none in time.
    /// [`SchedError::ResourceExhausted`]: no memory to wait.
    pub fn receive(&self, until: Option<Timestamp>) -> SchedResult<T> {
        let take = |attempt| with_wake(|| self.0.state.lock().take(attempt));
        attempts(|| self.0.clone(), BlockReason::Ipc, until, take)
    }

    /// As [`Sender::close`].
    pub fn close(&self) {
        self.0.close();
    }
}

macro_rules! counted {
    ($side:ident, $count:ident) => {
        impl<T> Clone for $side<T> {
            fn clone(&self) -> Self {
                self.0.$count.fetch_add(1, Ordering::Relaxed);
                $side(Arc::clone(&self.0))
            }
        }

        impl<T> Drop for $side<T> {
            fn drop(&mut self) {
                if self.0.$count.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.0.close();
                }
            }
        }

        impl<T> fmt::Debug for $side<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($side))
            }
        }
    };
}

counted!(Sender, senders);
counted!(Receiver, receivers);

#[cfg(test)]
mod tests {
    use super::*;
    use Attempt::*;

    const A: TaskId = TaskId(1);
    const B: TaskId = TaskId(2);
    const C: TaskId = TaskId(3);

    fn offer(state: &mut State<u32>, message: u32, attempt: Attempt) -> SchedResult<Option<Option<TaskId>>> {
        let mut kept = Some(message);
        let offered = state.offer(&mut kept, attempt);
        assert_eq!(kept.is_none(), matches!(offered, Ok(Some(_))), "the message is in one place");
        offered
    }

    #[test]
    fn messages_come_out_in_order_and_as_many_as_there_is_room_for_go_in() {
        let mut state = State::with_capacity(2).unwrap();
        assert_eq!(offer(&mut state, 1, First), Ok(Some(None)));
        assert_eq!(offer(&mut state, 2, First), Ok(Some(None)));
        assert_eq!(offer(&mut state, 3, First), Ok(None));
        assert_eq!(offer(&mut state, 3, Begin(A)), Ok(None));
        assert_eq!(state.take(First), Ok(Some((1, Some(A)))), "whoever waits for room is woken");
        assert_eq!(offer(&mut state, 3, Again(A)), Ok(Some(None)));
        assert_eq!(state.take(First), Ok(Some((2, None))));
        assert_eq!(state.take(First), Ok(Some((3, None))));
        assert_eq!(state.take(First), Ok(None));
    }

    #[test]
    fn a_receiver_that_ends_after_it_was_woken_hands_the_wake_up_on() {
        let mut state = State::with_capacity(4).unwrap();
        for task in [A, B, C] {
            assert_eq!(state.take(Begin(task)), Ok(None));
        }
        assert_eq!(offer(&mut state, 1, First), Ok(Some(Some(A))));
        assert_eq!(state.forget(A), [Some(B), None], "or the message would lie there while B and C sleep");
        assert_eq!(state.take(Again(B)), Ok(Some((1, None))));
        assert_eq!(state.forget(C), [None, None]);
        assert_eq!(offer(&mut state, 2, First), Ok(Some(None)), "and C is in no list");
    }

    #[test]
    fn a_sender_that_ends_after_it_was_woken_hands_the_room_on() {
        let mut state = State::with_capacity(1).unwrap();
        assert_eq!(offer(&mut state, 1, First), Ok(Some(None)));
        assert_eq!(offer(&mut state, 2, Begin(A)), Ok(None));
        assert_eq!(offer(&mut state, 3, Begin(B)), Ok(None));
        assert_eq!(state.take(First), Ok(Some((1, Some(A)))));
        assert_eq!(state.forget(A), [None, Some(B)]);
        assert_eq!(offer(&mut state, 3, Again(B)), Ok(Some(None)));
    }

    #[test]
    fn a_message_that_comes_in_the_last_moment_is_received() {
        let mut state = State::with_capacity(1).unwrap();
        assert_eq!(state.take(Begin(A)), Ok(None));
        assert_eq!(offer(&mut state, 1, First), Ok(Some(Some(A))));
        assert_eq!(state.take(Last(A)), Ok(Some((1, None))));
        assert_eq!(state.take(Begin(A)), Ok(None));
        assert_eq!(state.take(Last(A)), Ok(None));
        assert_eq!(offer(&mut state, 2, First), Ok(Some(None)), "nobody waits");
    }

    #[test]
    fn what_was_sent_before_the_end_is_received_and_everybody_is_told() {
        let mut state = State::with_capacity(1).unwrap();
        assert_eq!(offer(&mut state, 1, First), Ok(Some(None)));
        assert_eq!(offer(&mut state, 2, Begin(A)), Ok(None));
        let [mut senders, receivers] = state.close();
        assert_eq!((senders.pop(), receivers.is_empty()), (Some(A), true));
        assert_eq!(offer(&mut state, 2, Again(A)), Err(CLOSED));
        assert_eq!(state.take(First), Ok(Some((1, None))));
        assert_eq!(state.take(Begin(B)), Err(CLOSED));
        assert!(state.receivers.is_empty());
    }

    /// Every order of small steps of three receivers and one sender, one of whom ends at some point: no message stays while a live
    /// receiver sleeps.
    #[test]
    fn no_order_of_steps_leaves_a_message_beside_a_sleeping_receiver() {
        for seed in 0..20_000_u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |below: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % below
            };
            let mut state = State::with_capacity(3).unwrap();
            // Of each receiver: 0 not waiting, 1 asleep, 2 woken, 3 ended.
            let mut receivers = [0_u8; 3];
            let wake = |receivers: &mut [u8; 3], task: Option<TaskId>| {
                if let Some(TaskId(id)) = task
                    && receivers[id as usize - 1] == 1
                {
                    receivers[id as usize - 1] = 2;
                }
            };
            for _ in 0..20 {
                let place = next(3) as usize;
                let me = TaskId(place as u64 + 1);
                match (next(8), receivers[place]) {
                    (0..3, _) => {
                        if let Ok(Some(woken)) = offer(&mut state, 7, First) {
                            wake(&mut receivers, woken);
                        }
                    }
                    (3, 1 | 2) => {
                        // It has ended when others look for whom to wake, and is forgotten only then.
                        receivers[place] = 3;
                        let woken = state.forget(me);
                        woken.into_iter().for_each(|task| wake(&mut receivers, task));
                    }
                    (4, 1) => receivers[place] = 2, // a wake-up for another reason
                    (_, 0) => receivers[place] = if state.take(Begin(me)) == Ok(None) { 1 } else { 0 },
                    (5, 2) => {
                        let _ = state.take(Last(me));
                        receivers[place] = 0;
                    }
                    (_, 2) => receivers[place] = if state.take(Again(me)) == Ok(None) { 1 } else { 0 },
                    _ => {}
                }
                let woken = receivers.iter().filter(|&&receiver| receiver == 2).count();
                let stuck = receivers.contains(&1) && state.messages.len() > woken;
                assert!(!stuck, "seed {seed}: {receivers:?} beside {} messages", state.messages.len());
            }
        }
    }
}
