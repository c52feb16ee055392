//! Why a call has no reply.

use std::fmt;

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not in time.
    TimedOut,
    /// The server has ended, or serves no more.
    Closed,
    /// The server went on to the next call without a reply.
    Unanswered,
    /// The server waits for the caller, perhaps through other calls and [mutexes](crate::sync::Mutex): the two would wait for ever.
    Circle,
    /// The caller is no task of the server's runtime, or it unwinds.
    NoTask,
}

/// There is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallError<Q> {
    /// Why.
    pub failure: Failure,
    /// The request, if the server has not begun with it.
    pub request: Option<Q>,
}

/// All that could call have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<Q> fmt::Display for CallError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            Failure::TimedOut => "no reply in time",
            Failure::Closed => "the server serves no more",
            Failure::Unanswered => "the server went on without a reply",
            Failure::Circle => "the server waits for its caller: both would wait for ever",
            Failure::NoTask => "the caller is no task of the server's runtime, or it unwinds",
        })
    }
}

impl<Q: fmt::Debug> std::error::Error for CallError<Q> {}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody is left who could call")
    }
}

impl std::error::Error for Closed {}
