//! What stands between code of the user's and `async_task`, which ends the process where a panic reaches it.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::JoinError;
use crate::future::block_on::polls_by;
use crate::task::{Abort, drop_quietly, quietly};

/// A future whose panics become its result; those of its destructors end here.
pub(crate) struct Guarded<F> {
    /// Empty once it has ended.
    future: ManuallyDrop<F>,
    ended: bool,
}

impl<F> Guarded<F> {
    pub(crate) fn new(future: F) -> Guarded<F> {
        Guarded { future: ManuallyDrop::new(future), ended: false }
    }

    /// Drops the future, where it is, unless that has been done; whether it was done now.
    pub(crate) fn end(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.ended, true);
        if first {
            // SAFETY: once, as `ended` says; where it was pinned.
            quietly(|| unsafe { ManuallyDrop::drop(&mut self.future) });
        }
        first
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, JoinError>;

    /// Not after it was ready, or has been ended.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        debug_assert!(!self.ended);
        // SAFETY: pinned with `self`, and not moved out of its place.
        let future = unsafe { self.map_unchecked_mut(|this| &mut *this.future) };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(match payload.downcast::<Abort>() {
                Ok(_) => JoinError::Aborted,
                Err(payload) => JoinError::Panic(payload),
            })),
        }
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a future ended. A panic of the value's destructor, where nobody collects it, ends there.
pub(crate) struct Outcome<T>(Option<Result<T, JoinError>>);

impl<T> Outcome<T> {
    pub(crate) fn new(result: Result<T, JoinError>) -> Outcome<T> {
        Outcome(Some(result))
    }

    pub(crate) fn take(mut self) -> Result<T, JoinError> {
        self.0.take().unwrap_or(Err(JoinError::Aborted))
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        if let Some(result) = self.0.take() {
            drop_quietly(result);
        }
    }
}

/// Polls what `async_task` wakes, by a waker that does not panic: those of spawned futures and of `block_on` do not, others are wrapped,
/// which allocates.
pub(crate) fn poll_quietly<F: Future + Unpin>(future: &mut F, cx: &mut Context<'_>) -> Poll<F::Output> {
    if polls_by(cx.waker()) {
        return Pin::new(future).poll(cx);
    }
    let waker = Waker::from(Arc::new(Quiet(ManuallyDrop::new(cx.waker().clone()))));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

struct Quiet(ManuallyDrop<Waker>);

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        quietly(|| self.0.wake_by_ref());
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: once.
        quietly(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}
