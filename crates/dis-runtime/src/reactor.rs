//! tokio's reactor beside the workers.
//!
//! tokio's types for I/O and time register with the reactor of the runtime whose *context* the thread is in when they are made or
//! polled. So every thread that polls futures for a runtime is in the context of one tokio runtime: a poller, whose thread polls
//! nothing else, for good; `block_on` during each poll.
//!
//! That tokio runtime is the caller's own, or one of a single thread that does little but sleep in `epoll_wait`. When a socket is
//! ready or a timer of tokio's due, that thread wakes the future, and so its lane, which interrupts whoever stands in the way. It is
//! an ordinary thread of the system's, on any CPU, but asks for the shortest slice that Linux grants: since 6.12 (EEVDF,
//! `sched_attr::sched_runtime`) a thread with a shorter slice than the running one's preempts it when it wakes, without privileges.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::Notify;

use crate::builder::BuildError;
use crate::sys;

/// Which tokio runtime a runtime's futures use, if any.
#[derive(Debug, Clone, Default)]
pub(crate) enum Choice {
    #[default]
    None,
    Own,
    Foreign(Handle),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reactor {
    handle: Option<Handle>,
    own: Option<(Arc<Notify>, thread::JoinHandle<()>)>,
}

/// The shortest slice that Linux grants, ns.
const SLICE: u64 = 100_000;

impl Reactor {
    pub(crate) fn new(choice: Choice, name: &str, fifo: Option<i32>) -> Result<Reactor, BuildError> {
        match choice {
            Choice::None => Ok(Reactor { handle: None, own: None }),
            Choice::Foreign(handle) => Ok(Reactor { handle: Some(handle), own: None }),
            Choice::Own => Reactor::start(name, fifo),
        }
    }

    fn start(name: &str, fifo: Option<i32>) -> Result<Reactor, BuildError> {
        let failed = |error: io::Error| BuildError::Thread(format!("tokio's reactor: {error}"));
        let rt = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = rt.handle().clone();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let run = move || {
            sys::exact_timeouts();
            // Without either it has the latency of any thread.
            match fifo {
                // Above the workers, as all of them depend on it, and it never runs for long.
                Some(priority) => _ = sys::become_fifo((priority + 1).min(99)),
                None => _ = sys::ask_for_slice(SLICE),
            }
            rt.block_on(stopped.notified());
            rt.shutdown_background();
        };
        let thread = thread::Builder::new().name(format!("{name}-tokio")).spawn(run).map_err(failed)?;
        Ok(Reactor { handle: Some(handle), own: Some((stop, thread)) })
    }

    /// Puts the calling thread into the context of tokio's runtime until the guard is dropped.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.handle.as_ref().map(Handle::enter)
    }
}

impl Reactor {
    /// Tells its thread to end, as nothing polls any more: whoever keeps a handle keeps the rest of the runtime only. Who is in its
    /// context later finds a tokio runtime that has shut down.
    pub(crate) fn stop(&self) {
        if let Some((stop, _)) = &self.own {
            stop.notify_one();
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let Some((stop, thread)) = self.own.take() else { return };
        stop.notify_one();
        // The last reference to the runtime may be a waker that the reactor itself has dropped.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}
