//! Waiting for futures that were spawned, and ending them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use async_task::FallibleTask;
use dis_core::isolation::Right;

use crate::JoinError;
use crate::future::block_on;
use crate::future::guarded::{Outcome, poll_quietly};
use crate::future::meta::{FutureId, Meta};

/// Waits for a spawned future. Dropping it detaches the future, which goes on; its result is dropped when it ends.
#[must_use = "dropping it detaches the task; `drop(…)` says that this is meant"]
pub struct JoinHandle<T> {
    task: Option<FallibleTask<Outcome<T>, Meta>>,
    /// In the task's memory, which `task` keeps.
    meta: NonNull<Meta>,
}

// SAFETY: the metadata is Sync, and the task Send and Sync where its result is Send.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: as above; shared access changes atomics only.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: async_task::Task<Outcome<T>, Meta>) -> Self {
        let meta = NonNull::from(task.metadata());
        JoinHandle { task: Some(task.fallible()), meta }
    }

    pub(crate) fn meta(&self) -> &Meta {
        // SAFETY: see the field; `task` is given up only by `drop`.
        unsafe { self.meta.as_ref() }
    }

    /// The future's id.
    pub fn id(&self) -> FutureId {
        self.meta().id.get()
    }

    /// Whether the future has ended.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }

    /// Ends the future: it is dropped instead of polled the next time. One whose poll does not end goes on until it does.
    /// Returns at once. The result is [`JoinError::Aborted`], unless the future ends first. A task whose domain has not the right to do that
    /// ends nothing, which is logged ([`Runtime::denials`](crate::Runtime::denials)).
    pub fn abort(&self) {
        abort(self.meta());
    }

    /// A handle that can only abort.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { id: self.id(), task: self.meta().waker().map(|waker| (waker, self.meta)) }
    }

    /// Waits for the end in a closure task or on an ordinary thread, and takes the result. In futures `.await` the handle.
    ///
    /// # Errors
    /// [`JoinError::Panic`] with the payload, or [`JoinError::Aborted`].
    pub fn join(self) -> Result<T, JoinError> {
        block_on(self)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// Answers [`JoinError::Aborted`] if it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.task.as_mut() else { return Poll::Ready(Err(JoinError::Aborted)) };
        poll_quietly(task, cx).map(|outcome| outcome.map_or(Err(JoinError::Aborted), Outcome::take))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).field("finished", &self.is_finished()).finish()
    }
}

/// Ends a spawned future, see [`JoinHandle::abort`].
#[derive(Clone)]
pub struct AbortHandle {
    id: FutureId,
    /// The waker keeps the memory in which the metadata is.
    task: Option<(Waker, NonNull<Meta>)>,
}

// SAFETY: the metadata is Sync.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl AbortHandle {
    /// The future's id.
    pub fn id(&self) -> FutureId {
        self.id
    }

    /// See [`JoinHandle::abort`].
    pub fn abort(&self) {
        if let Some((_, meta)) = &self.task {
            // SAFETY: see the field.
            abort(unsafe { meta.as_ref() });
        }
    }
}

/// What a handle may do.
fn abort(meta: &Meta) {
    if meta.permit(Right::Kill).is_ok() {
        meta.abort();
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AbortHandle").field(&self.id).finish()
    }
}
