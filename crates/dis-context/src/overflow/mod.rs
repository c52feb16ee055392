//! Stack overflow: from a SIGSEGV in a guard to a message that names the task.
//!
//! [`install`] puts a handler for SIGSEGV and SIGBUS in front of those that exist (the standard library has one for the
//! stacks of its own threads). A fault in the guard of a stack of any [`StackPool`](crate::StackPool) is ours, and so is
//! a signal (such as one that preempts) that finds too little room for its frame on such a stack: the handler asks the registered [`Callback`] for the name of the task, writes one line to standard error and aborts with SIGABRT:
//!
//! ```text
//! task 'render' overflowed its stack (64 KiB); recurse less, or spawn it with a larger stack
//! ```
//!
//! Every other fault goes to the handler that was there before, or has its default effect. The overflowing stack has no
//! room for the handler, so each thread that runs tasks needs an alternate signal stack: [`AltStack`]. (Threads made by
//! `std::thread` have one of the standard library's, which is small; without any the kernel kills the process silently.)

mod altstack;
mod handler;
mod message;

use std::fmt;
use std::io;

pub use altstack::AltStack;

use crate::Fault;

/// Names the task that owned the stack and says what to do.
///
/// Gets where the fault is and a buffer to copy the name into (128 bytes). It runs in a signal handler on the alternate
/// stack and interrupts arbitrary code: it may only do async-signal-safe things, so no allocation, no locks, no
/// formatting machinery that allocates, no thread-locals with destructors. It must not panic.
pub type Callback = fn(fault: &Fault, name: &mut [u8]) -> Verdict;

/// What happens after an overflow.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Write the message, then abort. The name is the first `usize` bytes of the buffer; 0 if it is not known.
    Abort(usize),
    /// Write the message, restore the signal mask of the interrupted code, then call this function, which never returns:
    /// for instance to mark the task as dead and to [`jump`](crate::jump) to the scheduler.
    ///
    /// It runs on the alternate stack. The overflowing task stopped at an arbitrary point: its locks stay locked, its values are not
    /// dropped, and its thread-locals may be half-changed.
    Diverge(usize, fn(fault: Fault) -> !),
}

/// What [`install`] needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct OverflowConfig<'a> {
    /// Names the task; without it the message gives the number of the stack.
    pub callback: Option<Callback>,
    /// Signals that must not interrupt the handler: those used to preempt tasks, because the handler runs on the
    /// alternate stack of the kernel thread and cannot be switched away from.
    pub block: &'a [libc::c_int],
}

/// Why the handler could not be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowError {
    /// It is installed already; the first configuration stays.
    AlreadyInstalled,
    /// A number in [`OverflowConfig::block`] is not a signal.
    BadSignal(libc::c_int),
    /// The kernel refuses.
    System {
        /// Which call failed.
        call: &'static str,
        /// Its error number.
        errno: i32,
    },
}

impl OverflowError {
    /// The error of the system call that just failed.
    fn last(call: &'static str) -> Self {
        Self::System { call, errno: io::Error::last_os_error().raw_os_error().unwrap_or(0) }
    }
}

impl fmt::Display for OverflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AlreadyInstalled => {
                write!(f, "the overflow handler is installed already; install it once per process")
            }
            Self::BadSignal(signal) => {
                write!(f, "{signal} is not a signal that can be blocked; correct OverflowConfig::block")
            }
            Self::System { call, errno } => write!(
                f,
                "{call} failed: {}; check memory limits, and that no seccomp filter forbids it",
                io::Error::from_raw_os_error(errno)
            ),
        }
    }
}

impl std::error::Error for OverflowError {}

/// Installs the handler, once per process, in front of those that exist for SIGSEGV and SIGBUS.
///
/// A handler that somebody installs later sits in front of this one and has to chain in turn.
///
/// # Errors
/// [`OverflowError::AlreadyInstalled`] the second time, [`BadSignal`](OverflowError::BadSignal) for a number that is no
/// signal, [`System`](OverflowError::System) if the kernel refuses.
pub fn install(config: OverflowConfig<'_>) -> Result<(), OverflowError> {
    handler::install(config)
}
