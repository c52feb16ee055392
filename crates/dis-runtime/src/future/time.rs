//! Waiting for instants.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dis_core::api::Timestamp;

use crate::future::block_on::timers;
use crate::future::timers::{Node, Timers};

/// Waits for at least `duration`.
///
/// The timer belongs to the lane, task or thread that polls it, whose poller the scheduler wakes at the instant with the urgency
/// of its class, to the microsecond: there are no ticks.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(crate::now() + duration.into())
}

/// Waits until `at` on the clock of [`now`](crate::now).
pub fn sleep_until(at: Timestamp) -> Sleep {
    Sleep { at, set: None, node: Node::new() }
}

/// See [`sleep`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    at: Timestamp,
    /// The timers that the node is in, or was in last.
    set: Option<Arc<Timers>>,
    node: Node,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Timestamp {
        self.at
    }

    /// Changes when it ends.
    pub fn reset(self: Pin<&mut Self>, at: Timestamp) {
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        this.leave();
        this.at = at;
    }

    fn leave(&mut self) {
        if let Some(set) = self.set.take() {
            set.remove(&self.node);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    /// If it has to wait where nobody would wake it: on a thread that is neither in a task of a runtime nor in `block_on`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        if crate::now() >= this.at {
            this.leave();
            return Poll::Ready(());
        }
        let here = timers().expect("a DIS timer is polled outside of DIS tasks and of dis_runtime::future::block_on");
        if this.set.as_ref().is_some_and(|set| !Arc::ptr_eq(set, &here)) {
            this.leave();
        }
        let set = this.set.insert(here);
        // SAFETY: the node is pinned with `self`, and taken out by `drop` at the latest.
        unsafe { set.set(&this.node, this.at, cx.waker()) };
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.at).finish()
    }
}

/// Ticks every `period`, the first time at once.
///
/// # Panics
/// If the period is 0.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval has a period");
    Interval { next: crate::now(), period: period.into(), sleep: Box::pin(sleep_until(crate::now())) }
}

/// See [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Timestamp,
    period: dis_core::api::Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Interval {
    /// Waits for the next tick; answers when it was due. Ticks that were missed come at once, one after the other.
    pub async fn tick(&mut self) -> Timestamp {
        let due = self.next;
        self.sleep.as_mut().reset(due);
        self.sleep.as_mut().await;
        self.next = due + self.period;
        due
    }

    /// Drops the ticks that were missed: the next one is one period from now.
    pub fn reset(&mut self) {
        self.next = crate::now() + self.period;
    }
}

/// Waits for `future`, at most for `duration`; then the future is given up.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(duration) }
}

/// See [`timeout`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Timeout<F> {
    future: F,
    sleep: Sleep,
}

/// The time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Elapsed {}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: both fields are pinned with `self` and not moved.
        let (future, sleep) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), Pin::new_unchecked(&mut this.sleep))
        };
        if let Poll::Ready(value) = future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        sleep.poll(cx).map(|()| Err(Elapsed))
    }
}
