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

use dis_core::api::Duration;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::Notify;

use crate::aside::Aside;
use crate::builder::BuildError;
use crate::sys;

/// Which tokio runtime a runtime's futures use, if any.
#[derive(Debug, Clone, Default)]
pub(crate) enum Choice {
    #[default]
    None,
    Own(Own),
    Foreign(Handle),
}

/// How a tokio runtime of this runtime's own is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    /// How often a worker that computes looks whether the reactor waits for its CPU.
    pub(crate) look_every: Option<Duration>,
    /// The priority of SCHED_FIFO that it asks for.
    pub(crate) fifo: Option<i32>,
}

impl Default for Own {
    fn default() -> Own {
        Own { look_every: Some(LOOK_EVERY), fifo: None }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reactor {
    handle: Option<Handle>,
    own: Option<(Arc<Notify>, thread::JoinHandle<()>)>,
    look_every: Option<Duration>,
    aside: Arc<Aside>,
}

/// The shortest slice that Linux grants, ns.
const SLICE: u64 = 100_000;

/// So many packets wait for the half of it on average, those that find the reactor waiting: 2 in 100. It costs 1 % of the CPU time.
const LOOK_EVERY: Duration = Duration::from_micros(300);

impl Reactor {
    pub(crate) fn new(choice: Choice, name: &str, fifo: Option<i32>) -> Result<Reactor, BuildError> {
        let without = |handle| Reactor { handle, own: None, look_every: None, aside: Arc::default() };
        match choice {
            Choice::None => Ok(without(None)),
            Choice::Foreign(handle) => Ok(without(Some(handle))),
            // Above the workers, as all of them depend on it, and it never runs for long.
            Choice::Own(own) => {
                Reactor::start(name, Own { fifo: fifo.map(|priority| (priority + 1).min(99)).or(own.fifo), ..own })
            }
        }
    }

    fn start(name: &str, Own { look_every, fifo }: Own) -> Result<Reactor, BuildError> {
        let failed = |error: io::Error| BuildError::Thread(format!("tokio's reactor: {error}"));
        let aside = Arc::new(Aside::default());
        let rests = aside.clone();
        let rt =
            Builder::new_current_thread().enable_all().on_thread_park(move || rests.rest()).build().map_err(failed)?;
        let handle = rt.handle().clone();
        let begins = aside.clone();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let run = move || {
            sys::exact_timeouts();
            // Without all of them it has the latency of any thread. Under SCHED_FIFO it does not wait.
            if fifo.is_none_or(|priority| sys::become_fifo(priority).is_err()) {
                let _ = sys::ask_for_slice(SLICE);
                let _ = begins.begin();
            }
            rt.block_on(stopped.notified());
            rt.shutdown_background();
        };
        let thread = thread::Builder::new().name(format!("{name}-tokio")).spawn(run).map_err(failed)?;
        Ok(Reactor { handle: Some(handle), own: Some((stop, thread)), look_every, aside })
    }

    /// How long a worker may run on without looking.
    #[inline]
    pub(crate) fn look_every(&self) -> Option<Duration> {
        self.look_every
    }

    /// Lets the reactor run first if it waits for that CPU of the machine. For a carrier.
    pub(crate) fn stand_aside(&self, cpu: usize) {
        if self.look_every.is_some() {
            self.aside.stand(cpu);
        }
    }

    /// How often that was so, and how often of these it ran until it rested.
    pub(crate) fn stood_aside(&self) -> (u64, u64) {
        (self.aside.times(), self.aside.runs())
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
