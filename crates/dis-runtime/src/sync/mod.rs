//! Primitives that park the task instead of the thread.
//!
//! All of them may be used by tasks (of any runtime) and by ordinary threads together. A task that is aborted while it
//! waits leaves the queue and unwinds. A wait costs nothing while it lasts; whoever ends it hands over directly, so that
//! no newcomer can overtake those who wait. Only a channel does not: a waiter that is told of a message, or of room, and
//! finds it gone to a newcomer waits anew, behind the others.

mod channel;
mod deadlock;
mod endpoint;
mod event;
mod mutex;
pub(crate) mod raw_mutex;
mod semaphore;
#[cfg(test)]
mod tests;
pub(crate) mod wait;

pub use channel::{Receiver, RecvError, SendError, Sender, TryRecvError, TrySendError, channel};
pub use endpoint::{CallError, Client, Closed, Failure, Server, endpoint};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use semaphore::Semaphore;
