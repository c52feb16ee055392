//! Which servers of a kind are parked, and whether somebody looks around for them.
//!
//! A server without tasks searches other lanes, if not too many do so already, and then parks: it publishes that, and looks a
//! last time. Whoever makes a task ready publishes the task, and looks for a parked server afterwards; it wakes none while one searches,
//! since that one will find the task. So of both at least one sees the other. The one that finds a task while it is the last to search
//! wakes another one in its place, if there is more. The same in tokio's scheduler; the model is `tests/model_lanes.rs`, of this very code.

use crate::atomics::{AtomicBool, AtomicUsize, Ordering, fence};

/// See the module. Lanes are named by their workers.
pub(crate) struct Idle {
    parked: AtomicUsize,
    /// How many servers search, or have been woken to do so.
    searching: AtomicUsize,
    servers: Box<[Server]>,
}

#[derive(Default)]
struct Server {
    parked: AtomicBool,
    /// It was woken to search, and is counted for that.
    searches: AtomicBool,
}

impl Idle {
    pub(crate) fn new(lanes: usize) -> Idle {
        Idle {
            parked: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            servers: (0..lanes).map(|_| Server::default()).collect(),
        }
    }

    /// Takes the right to wake the server of `lane`, if it is parked. `search`: the caller has counted it as searching.
    pub(crate) fn claim(&self, lane: usize, search: bool) -> bool {
        let server = &self.servers[lane];
        if !server.parked.load(Ordering::SeqCst) || !server.parked.swap(false, Ordering::SeqCst) {
            return false;
        }
        self.parked.fetch_sub(1, Ordering::SeqCst);
        if search {
            server.searches.store(true, Ordering::Release);
        }
        true
    }

    /// Whether a server is parked.
    #[inline]
    pub(crate) fn any_parked(&self) -> bool {
        self.parked.load(Ordering::SeqCst) > 0
    }

    /// Whether all servers have tasks: momentary.
    #[inline]
    pub(crate) fn all_serve(&self) -> bool {
        self.parked.load(Ordering::Relaxed) == 0 && self.searching.load(Ordering::Relaxed) == 0
    }

    /// Whether one should be woken if there is a task for it. The task was published by a sequentially consistent step before.
    #[inline]
    pub(crate) fn wants_another(&self) -> bool {
        self.any_parked() && self.searching.load(Ordering::SeqCst) == 0
    }

    /// Takes the right to wake one of `lanes`, to search.
    pub(crate) fn claim_any(&self, mut lanes: impl Iterator<Item = usize>) -> Option<usize> {
        if self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return None;
        }
        let found = lanes.find(|&lane| self.claim(lane, true));
        if found.is_none() {
            self.searching.fetch_sub(1, Ordering::SeqCst);
        }
        found
    }

    /// The server of `lane` is about to park. It looks for tasks after this.
    pub(crate) fn parks(&self, lane: usize) {
        self.parked.fetch_add(1, Ordering::SeqCst);
        self.servers[lane].parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The server of `lane` goes on, whether somebody has woken it or not.
    pub(crate) fn goes_on(&self, lane: usize) {
        if self.servers[lane].parked.swap(false, Ordering::SeqCst) {
            self.parked.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether the server of `lane` was woken to search: then it is counted, and has to end that.
    #[inline]
    pub(crate) fn was_to_search(&self, lane: usize) -> bool {
        let searches = &self.servers[lane].searches;
        searches.load(Ordering::Relaxed) && searches.swap(false, Ordering::Acquire)
    }

    /// A server may search, unless enough do so.
    pub(crate) fn begin_search(&self) -> bool {
        let limit = self.servers.len().div_ceil(2);
        let more = |n: usize| (n < limit).then_some(n + 1);
        self.searching.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// It has ended its search; true if it was the last one.
    pub(crate) fn end_search(&self) -> bool {
        self.searching.fetch_sub(1, Ordering::SeqCst) == 1
    }
}
