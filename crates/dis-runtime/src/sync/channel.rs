//! A bounded channel, many to many.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dis_core::api::{BlockReason, TaskId, Timestamp};
use dis_core::executor::Leave;

use super::wait::{WaitList, Waiter, Woken};
use crate::gate::{check_abort, inside, inside_waking};
use crate::klt;
use crate::lock::Locked;

/// Room for `capacity` messages (at least 1), first in, first out. A full channel makes senders wait, an empty one receivers;
/// a channel without senders or without receivers is closed.
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1);
    let state = State {
        // All its memory now: nothing may be allocated under the lock.
        queue: VecDeque::with_capacity(capacity),
        capacity,
        closed: false,
        senders: WaitList::new(),
        receivers: WaitList::new(),
    };
    let shared = Arc::new(Shared { state: Locked::new(state), senders: 1.into(), receivers: 1.into() });
    (Sender(shared.clone()), Receiver(shared))
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    closed: bool,
    senders: WaitList,
    receivers: WaitList,
}

struct Shared<T> {
    state: Locked<State<T>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// The message could not be sent: the channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room (in time).
    Full(T),
    /// The channel is closed.
    Closed(T),
}

/// There are no messages, and there will be none: the channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecvError;

/// Why no message was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRecvError {
    /// None (in time).
    Empty,
    /// The channel is closed and empty.
    Closed,
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed")
    }
}
impl<T: fmt::Debug> std::error::Error for SendError<T> {}
impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel is closed and empty")
    }
}
impl std::error::Error for RecvError {}

#[derive(Clone, Copy)]
enum Side {
    Send,
    Receive,
}

impl<T> Shared<T> {
    fn list(state: &mut State<T>, side: Side) -> &mut WaitList {
        match side {
            Side::Send => &mut state.senders,
            Side::Receive => &mut state.receivers,
        }
    }

    /// It is the turn of the first who waits; answers whom to wake.
    fn release(state: &mut State<T>, side: Side) -> Option<TaskId> {
        let first = Self::list(state, side).pop_first()?;
        // SAFETY: it was in the list under the lock that the caller holds.
        unsafe { Waiter::release(first) }
    }

    fn rouse(state: &mut State<T>, side: Side) {
        if let Some(first) = Self::list(state, side).pop_first() {
            // SAFETY: as above.
            unsafe { Waiter::grant(first) };
        }
    }

    /// Moves `message` into the queue if there is room; false: full. `Err`: closed. `woken`: whom to wake. Inside the runtime.
    #[inline]
    fn put(&self, message: &mut Option<T>, waiter: Option<&Waiter>, woken: &mut Option<TaskId>) -> Result<bool, ()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(());
        }
        if state.queue.len() == state.capacity {
            if let Some(waiter) = waiter {
                state.senders.push(waiter);
            }
            return Ok(false);
        }
        if let Some(message) = message.take() {
            state.queue.push_back(message);
        }
        *woken = Self::release(&mut state, Side::Receive);
        Ok(true)
    }

    /// Takes the first message out of the queue; `None`: empty. `Err`: closed. `woken`: whom to wake. Inside the runtime.
    #[inline]
    fn get(&self, waiter: Option<&Waiter>, woken: &mut Option<TaskId>) -> Result<Option<T>, ()> {
        let mut state = self.state.lock();
        match state.queue.pop_front() {
            Some(message) => {
                *woken = Self::release(&mut state, Side::Send);
                Ok(Some(message))
            }
            None if state.closed => Err(()),
            None => {
                if let Some(waiter) = waiter {
                    state.receivers.push(waiter);
                }
                Ok(None)
            }
        }
    }

    #[inline]
    fn offer(&self, message: &mut Option<T>, waiter: Option<&Waiter>) -> Result<bool, ()> {
        inside_waking(|_| Leave::Ask, |woken| self.put(message, waiter, woken))
    }

    #[inline]
    fn take(&self, waiter: Option<&Waiter>) -> Result<Option<T>, ()> {
        inside_waking(|_| Leave::Ask, |woken| self.get(waiter, woken))
    }

    /// Waits for a turn. False: not in time.
    fn wait(&self, waiter: &Waiter, side: Side, until: Option<Timestamp>) -> bool {
        let woken = waiter.wait(BlockReason::Ipc, until);
        if woken == Woken::Granted {
            return true;
        }
        inside(|| {
            let mut state = self.state.lock();
            if !waiter.is_granted() {
                Self::list(&mut state, side).remove(waiter);
            } else {
                // Its turn came in the moment in which it gave up: the next has it.
                Self::rouse(&mut state, side);
            }
        });
        if woken == Woken::Aborted {
            check_abort();
        }
        false
    }

    fn send(&self, message: T, until: Option<Timestamp>) -> Result<(), TrySendError<T>> {
        let mut message = Some(message);
        loop {
            let waiter = Waiter::new();
            let offered = self.offer(&mut message, Some(&waiter));
            match (offered, message.take()) {
                (Ok(true), _) | (_, None) => return Ok(()),
                (Err(()), Some(back)) => return Err(TrySendError::Closed(back)),
                (Ok(false), Some(back)) => {
                    if !self.wait(&waiter, Side::Send, until) {
                        return Err(TrySendError::Full(back));
                    }
                    message = Some(back);
                }
            }
        }
    }

    fn receive(&self, until: Option<Timestamp>) -> Result<T, TryRecvError> {
        loop {
            let waiter = Waiter::new();
            match self.take(Some(&waiter)) {
                Ok(Some(message)) => return Ok(message),
                Err(()) => return Err(TryRecvError::Closed),
                Ok(None) => {
                    if !self.wait(&waiter, Side::Receive, until) {
                        return Err(TryRecvError::Empty);
                    }
                }
            }
        }
    }

    fn close(&self) {
        inside(|| self.state.lock().closed = true);
        // A few at a time, so that the lock is not held long.
        while inside(|| {
            let mut state = self.state.lock();
            for _ in 0..16 {
                Self::rouse(&mut state, Side::Send);
                Self::rouse(&mut state, Side::Receive);
            }
            !state.senders.is_empty() || !state.receivers.is_empty()
        }) {}
    }
}

/// The sending side.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving side.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T: Send> Sender<T> {
    /// Sends, waiting for room.
    ///
    /// # Errors
    /// [`SendError`] with the message if the channel is closed.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message, None).map_err(|error| match error {
            TrySendError::Full(message) | TrySendError::Closed(message) => SendError(message),
        })
    }

    /// [Sends](Self::send), then [receives](Receiver::recv) from another channel: a request and its reply. If the receiver is to be woken and
    /// the caller has to wait, that is one question to the scheduler instead of two.
    ///
    /// # Errors
    /// [`SendError`] with the message if this channel is closed. If the other is closed and empty, [`RecvError`] inside.
    pub fn send_and_recv<U: Send>(
        &self,
        message: T,
        replies: &Receiver<U>,
    ) -> Result<Result<U, RecvError>, SendError<T>> {
        let (mut message, waiter) = (Some(message), Waiter::new());
        let leave = |taken: &Option<Result<Option<U>, ()>>| match taken {
            Some(Ok(None)) => Leave::Block(BlockReason::Ipc, None),
            _ => Leave::Ask,
        };
        let taken = inside_waking(leave, |woken| {
            let mut sender = None;
            let taken = match self.0.put(&mut message, None, woken) {
                Ok(true) => Some(replies.0.get(Some(&waiter), &mut sender)),
                _ => None,
            };
            // There was a reply already, so this one is not to wait.
            if let Some((id, klt)) = sender.zip(klt::this()) {
                klt.rt().unpark(id);
            }
            taken
        });
        match taken {
            Some(Ok(Some(reply))) => return Ok(Ok(reply)),
            Some(Ok(None)) => _ = replies.0.wait(&waiter, Side::Receive, None),
            Some(Err(())) => return Ok(Err(RecvError)),
            // Full, or closed.
            None => message.map_or(Ok(()), |message| self.send(message))?,
        }
        Ok(replies.recv())
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// [`TrySendError`] with the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut message = Some(message);
        let offered = self.0.offer(&mut message, None);
        match (offered, message) {
            (Err(()), Some(back)) => Err(TrySendError::Closed(back)),
            (Ok(false), Some(back)) => Err(TrySendError::Full(back)),
            _ => Ok(()),
        }
    }

    /// Sends, waiting for room at most `timeout`.
    ///
    /// # Errors
    /// [`TrySendError`] with the message.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), TrySendError<T>> {
        self.0.send(message, Some(crate::api::now() + timeout.into()))
    }

    /// Closes the channel: nothing can be sent any more, what was sent can be received.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T: Send> Receiver<T> {
    /// Receives, waiting for a message.
    ///
    /// # Errors
    /// [`RecvError`] if the channel is closed and empty.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.receive(None).map_err(|_| RecvError)
    }

    /// Receives if there is a message.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.0.take(None) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(TryRecvError::Empty),
            Err(()) => Err(TryRecvError::Closed),
        }
    }

    /// Receives, waiting at most `timeout`.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, TryRecvError> {
        self.0.receive(Some(crate::api::now() + timeout.into()))
    }

    /// Closes the channel.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Sender(self.0.clone())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.0.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
