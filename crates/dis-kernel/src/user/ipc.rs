//! System calls for messages: calls and replies, channels, notifications.
//!
//! A user task reaches no other by its name: it has a table of *handles*, given to it when it is spawned, and says by an index which it
//! means. A handle is a capability: what it is of, and what may be done with it. A child has those of its parent, but it is no server.
//! What is handed over is copied through the kernel's memory; both addresses are looked at before anything happens, so a
//! bad one costs nobody a message.

use alloc::sync::Arc;

use dis_core::api::{SchedError, Timestamp};

use super::calls::{BAD_ADDRESS, BAD_CALL, CLOSED, NO_HANDLE, code};
use super::space::Space;
use crate::channel::{self, Receiver, SendError, Sender};
use crate::ipc::Server;
use crate::notification::Notification;
use crate::task;

/// Most bytes of a message.
pub const MESSAGE: usize = 128;

/// A message to or from a user task: up to [`MESSAGE`] bytes.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    length: usize,
    bytes: [u8; MESSAGE],
}

impl Message {
    /// These bytes; `None` if they are too many.
    pub fn new(bytes: &[u8]) -> Option<Message> {
        let mut message = Message { length: bytes.len(), bytes: [0; MESSAGE] };
        message.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(message)
    }

    /// What it says.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn copy_in(space: &Space, from: u64, length: u64) -> Result<Message, i64> {
        let mut message = Message { length: 0, bytes: [0; MESSAGE] };
        message.length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = message.bytes.get_mut(..message.length).ok_or(BAD_CALL)?;
        space.copy_in(from, bytes).ok_or(BAD_ADDRESS)?;
        Ok(message)
    }

    fn copy_out(&self, space: &Space, to: u64) -> i64 {
        space.copy_out(to, self.bytes()).map_or(BAD_ADDRESS, |()| self.length as i64)
    }
}

/// Something that a user task may use, and how.
#[derive(Clone)]
pub enum Handle {
    /// It may call.
    Client(Arc<Server<Message, Message>>),
    /// It is the server, if it is the first with this handle.
    Server(Arc<Server<Message, Message>>),
    /// It may send.
    Sender(Sender<Message>),
    /// It may receive.
    Receiver(Receiver<Message>),
    /// It may notify.
    Notifier(Arc<Notification>),
    /// It may wait.
    Waiter(Arc<Notification>),
}

impl Handle {
    /// The server that whoever has this is, or would be.
    pub(super) fn server(&self) -> Option<&Arc<Server<Message, Message>>> {
        if let Handle::Server(server) = self { Some(server) } else { None }
    }
}

fn until(argument: u64) -> Option<Timestamp> {
    (argument != u64::MAX).then(|| Timestamp::from_nanos(argument))
}

/// Where something that comes is to go.
fn room(space: &Space, to: u64, length: usize) -> Result<(), i64> {
    if space.may_write(to, length) { Ok(()) } else { Err(BAD_ADDRESS) }
}

fn of_channel(error: SchedError) -> i64 {
    if error == channel::CLOSED { CLOSED } else { code(error) }
}

/// Calls 15 to 21; the first argument of each is a handle. Nothing that is on this stack while the task waits must be given back, as it may
/// be killed there.
pub(super) fn call(space: &Space, number: u64, arguments: [u64; 5]) -> Result<i64, i64> {
    let [handle, a, b, c, d] = arguments;
    let handle = usize::try_from(handle).ok().and_then(|place| space.handles().get(place));
    match (number, handle.ok_or(NO_HANDLE)?) {
        (15, Handle::Client(server)) => {
            let question = Message::copy_in(space, a, b)?;
            room(space, c, MESSAGE)?;
            let answer = server.call(question, until(d)).map_err(code)?;
            Ok(answer.copy_out(space, c))
        }
        (16, Handle::Server(server)) => {
            room(space, a, MESSAGE)?;
            // It may have come here before whoever has spawned it.
            server.attach(task::current()).map_err(code)?;
            Ok(server.receive().map_err(code)?.copy_out(space, a))
        }
        (17, Handle::Server(server)) => {
            let answer = Message::copy_in(space, a, b)?;
            room(space, c, MESSAGE)?;
            Ok(server.reply(answer).map_err(code)?.copy_out(space, c))
        }
        (18, Handle::Sender(sender)) => {
            let message = Message::copy_in(space, a, b)?;
            match sender.send(message, until(c)) {
                Ok(()) => Ok(0),
                Err(SendError { why, .. }) => Err(of_channel(why)),
            }
        }
        (19, Handle::Receiver(receiver)) => {
            room(space, a, MESSAGE)?;
            Ok(receiver.receive(until(b)).map_err(of_channel)?.copy_out(space, a))
        }
        (20, Handle::Notifier(notification)) => {
            notification.notify(a);
            Ok(0)
        }
        (21, Handle::Waiter(notification)) => {
            room(space, a, size_of::<u64>())?;
            let flags = notification.wait(until(b)).map_err(code)?;
            Ok(space.copy_out(a, &flags.to_le_bytes()).map_or(BAD_ADDRESS, |()| 0))
        }
        _ => Err(NO_HANDLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_was_made_and_not_longer_than_it_may_be() {
        assert_eq!(Message::new(b"four").unwrap().bytes(), b"four");
        assert_eq!(Message::new(&[7; MESSAGE]).unwrap().bytes(), [7; MESSAGE]);
        assert!(Message::new(&[7; MESSAGE + 1]).is_none());
    }
}
