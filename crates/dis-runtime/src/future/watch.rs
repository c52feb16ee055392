//! Polls that take too long: noticed by the worker's timer, or when the poll waits.
//!
//! While a server polls, the timer of its thread is set for the end of the poll's slice, at most once a slice (a timer that is
//! set already serves several short polls). When it expires the handler compares: is this poll over its slice, and do others
//! wait on the lane? Then the server is displaced. Tasks of other classes and lanes preempt a poll anyway, by the core.

use std::sync::atomic::Ordering;

use dis_core::api::{Duration, Timestamp};
use dis_core::executor::Leave;

use crate::future::lane::Kind;
use crate::future::poller::Poller;
use crate::klt::Klt;
use crate::runtime::Inner;

/// What a task that is interrupted says to the core, and since when it is away.
#[inline]
pub(crate) fn before(klt: &'static Klt) -> (Leave, Option<Timestamp>) {
    match klt.poller() {
        None => (Leave::Ask, None),
        Some(poller) => {
            tell_now(klt, poller);
            look(klt, poller)
        }
    }
}

#[cold]
fn look(klt: &'static Klt, poller: &'static Poller) -> (Leave, Option<Timestamp>) {
    let rt = klt.rt();
    let now = rt.now();
    let Some(due) = poller.due().filter(|_| poller.serves()) else { return (Leave::Ask, Some(now)) };
    let (lane, kind) = (poller.lane(), poller.kind());
    let waited_for = lane.has_tasks() || kind.inject.len() > 0 || lane.timers.is_due(now);
    if now.as_nanos() >= due && waited_for && poller.displace(rt, false) {
        return (Leave::Yield, Some(now));
    }
    (Leave::Ask, Some(now))
}

/// How long a displaced poll may keep to itself that it has made others ready, ns.
const TELL_AFTER: u64 = 100_000;

/// A displaced poll has made others of its kind ready on the worker that it runs on. They are told soon, at the latest when the poll
/// leaves the CPU. Inside the runtime.
pub(crate) fn tell_later(klt: &'static Klt, poller: &Poller) {
    if !poller.owes.swap(true, Ordering::Relaxed) {
        let now = klt.rt().now();
        klt.arm(Some(now + Duration::from_nanos(TELL_AFTER)), now);
    }
}

/// What [`tell_later`] has put off. Inside the runtime, on the same worker.
pub(crate) fn tell_now(klt: &'static Klt, poller: &Poller) {
    if poller.owes.load(Ordering::Relaxed) && poller.owes.swap(false, Ordering::Relaxed) {
        let kind = poller.kind();
        kind.tell(klt.rt(), &kind.lanes[klt.worker().cpu]);
    }
}

/// The task goes on, as [`before`] said.
#[inline]
pub(crate) fn after(klt: &'static Klt, since: Option<Timestamp>) {
    if let (Some(since), Some(poller)) = (since, klt.poller()) {
        let now = klt.rt().now();
        poller.was_away(now.since(since).as_nanos());
        rearm(klt, poller, now);
    }
}

/// Sets the timer for the end of the present poll's slice, or for another one if that is over.
fn rearm(klt: &'static Klt, poller: &Poller, now: Timestamp) {
    let Some(due) = poller.due().filter(|_| poller.serves()) else { return };
    let due = if due > now.as_nanos() { due } else { now.as_nanos() + poller.kind().slice };
    klt.arm(Some(Timestamp::from_nanos(due)), now);
}

/// The running task is about to wait in the middle of a poll: others take its lane.
#[cold]
pub(crate) fn waits(klt: &'static Klt, poller: &'static Poller) -> Option<Timestamp> {
    poller.due()?;
    poller.displace(klt.rt(), true);
    Some(klt.rt().now())
}

/// It goes on.
#[cold]
pub(crate) fn waited(klt: &'static Klt, poller: &'static Poller, since: Option<Timestamp>) {
    if since.is_some() {
        poller.no_orphan();
        after(klt, since);
    }
}

/// The poll that runs on `klt`, whose worker `home` has taken over, waits in the kernel.
pub(crate) fn blocked(home: &'static Klt, klt: &Klt) {
    let rt = home.rt();
    if let Some(poller) = klt.poller() {
        tell_now(home, poller);
    }
    if let Some(poller) = klt.poller().filter(|poller| poller.due().is_some()) {
        poller.blocked_at(rt.now());
        poller.displace(rt, true);
    }
}

/// It has a worker again.
pub(crate) fn unblocked(klt: &'static Klt) {
    if let Some(poller) = klt.poller() {
        waited(klt, poller, poller.take_blocked());
    }
}

impl Klt {
    /// Something became ready on the lane in the middle of a poll of its own server: somebody must look when its slice is over.
    #[inline]
    pub(crate) fn watch_again(&'static self, poller: &Poller) {
        if !self.is_armed() {
            rearm(self, poller, self.rt().now());
        }
    }
}

/// Something became ready that any lane of the kind may take, and all of their servers are busy: makes a worker look whose
/// server is beyond its slice. Those that are not have their timers set.
pub(crate) fn look_from_outside(rt: &Inner, kind: &Kind) {
    let now = rt.now().as_nanos();
    for lane in &kind.lanes {
        // SAFETY: pollers live as long as the runtime.
        let server = unsafe { lane.server.load(Ordering::SeqCst).as_ref() };
        if server.and_then(Poller::due).is_some_and(|due| due <= now) {
            return rt.kick(lane.cpu);
        }
    }
}
