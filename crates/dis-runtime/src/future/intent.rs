//! Changing what a future is for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use dis_core::api::SchedError;
use dis_core::executor::Job;
use dis_core::intent::Intent;
use dis_core::isolation::Right;

use crate::future::OWN;
use crate::future::join::JoinHandle;
use crate::future::meta::{FutureId, Meta};
use crate::future::own::Own;
use crate::future::spawn::current_meta;
use crate::runtime::Inner;
use crate::spawn::SpawnError;

impl<T> JoinHandle<T> {
    /// Declares the future to be for something else from now on: it moves to the other lane the next time it is polled.
    ///
    /// # Errors
    /// [`SpawnError::Refused`] if the scheduler refuses the intent; also if the future has no scheduler task of its own and the intent
    /// needs one (Realtime, shares, an affinity): spawn it so in the first place.
    pub fn set_intent(&self, intent: &Intent) -> Result<(), SpawnError> {
        self.meta().permit(Right::SetIntent).map_err(SpawnError::Refused)?;
        set(self.meta(), intent)
    }
}

/// As [`JoinHandle::set_intent`] for the future that is being polled. It moves at its next await that waits.
///
/// # Errors
/// As there; [`SpawnError::OutsideTask`] outside of spawned futures.
pub fn set_intent(intent: &Intent) -> Result<(), SpawnError> {
    set(current_meta().ok_or(SpawnError::OutsideTask)?, intent)
}

fn set(meta: &Meta, intent: &Intent) -> Result<(), SpawnError> {
    if let Some(own) = &meta.own {
        return crate::join::redeclare(&meta.rt, own.task(), intent).map_err(SpawnError::Refused);
    }
    let kind = lane_kind(meta, intent)?;
    meta.kind.store(kind, Ordering::Release);
    Ok(())
}

fn lane_kind(meta: &Meta, intent: &Intent) -> Result<u8, SpawnError> {
    let why = "a future without a scheduler task of its own cannot get promises later; spawn it with that intent";
    meta.rt.futures.kind_of(&meta.rt, intent)?.ok_or(SpawnError::Refused(SchedError::NotSupported(why)))
}

/// Runs `future` with another intent, then goes on with the one before. The whole spawned future that awaits this changes its intent
/// for that time, and moves to the other lane and back: two polls more. The children that it spawns meanwhile inherit it.
///
/// # Errors
/// As for [`set_intent`]; `future` is dropped then.
pub async fn with_intent<F: Future>(intent: Intent, future: F) -> Result<F::Output, SpawnError> {
    let meta = current_meta().ok_or(SpawnError::OutsideTask)?;
    let before = Before { rt: meta.rt.clone(), id: meta.id.get(), kind: meta.kind.load(Ordering::Acquire) };
    if before.kind == OWN {
        let why = "with_intent: a future with a scheduler task of its own keeps its intent until set_intent";
        return Err(SpawnError::Refused(SchedError::NotSupported(why)));
    }
    meta.kind.store(lane_kind(meta, &intent)?, Ordering::Release);
    crate::future::yield_now().await;
    let output = future.await;
    drop(before);
    crate::future::yield_now().await;
    Ok(output)
}

/// Restores the kind even if the future is dropped in the middle; not if it is dropped elsewhere, where the kind means nothing.
struct Before {
    rt: Arc<Inner>,
    id: FutureId,
    kind: u8,
}

impl Drop for Before {
    fn drop(&mut self) {
        let same = |meta: &&Meta| Arc::ptr_eq(&meta.rt, &self.rt) && meta.id.get() == self.id;
        if let Some(meta) = current_meta().filter(same) {
            meta.kind.store(self.kind, Ordering::Release);
        }
    }
}

/// In a spawned Realtime future: its job is done, it waits for the next release. Answers the job that begins then, as
/// [`next_period`](crate::next_period) does for closures. Nothing else of the future goes on meanwhile, whatever else it awaits.
///
/// # Errors
/// [`SchedError::InvalidState`] elsewhere, or while it serves a call.
pub async fn next_period() -> Result<Job, SchedError> {
    NextPeriod(None).await?;
    crate::job()
}

/// Asked for of whom, and how many waits for a release were over then.
struct NextPeriod(Option<(Arc<Own>, u64)>);

impl Future for NextPeriod {
    type Output = Result<(), SchedError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let own = current_meta().and_then(|meta| meta.own.as_ref());
        let realtime = crate::api::here().is_some_and(|(klt, me)| me.is_realtime() && !crate::api::serves(klt, me));
        let Some(own) = own.filter(|_| realtime) else { return Poll::Ready(Err(SchedError::InvalidState)) };
        match self.0.take().filter(|(asked, _)| Arc::ptr_eq(asked, own)) {
            Some((own, before)) if own.periods() != before => return Poll::Ready(Ok(())),
            asked => self.0 = Some(asked.unwrap_or_else(|| (own.clone(), own.periods()))),
        }
        own.ask_for_period(true);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for NextPeriod {
    fn drop(&mut self) {
        if let Some((own, before)) = &self.0
            && own.periods() == *before
        {
            // Given up. Whoever else waits in the same future asks again, as it has woken itself.
            own.ask_for_period(false);
        }
    }
}
