//! Futures that must not leave their thread: they live within one call of [`block_on_local`], in one task or thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_task::{FallibleTask, Runnable};

use crate::future::block_on;
use crate::future::guarded::{Guarded, Outcome, poll_quietly};
use crate::spawn::SpawnError;
use crate::{JoinError, api};

/// How many are polled before the outer future is polled again.
const IN_A_ROW: usize = 61;

thread_local! {
    /// The set of the `block_on_local` that an ordinary thread is in.
    static LOCAL: Cell<*const Local> = const { Cell::new(ptr::null()) };
}

/// What wakers, on any thread, and the set share.
#[derive(Default)]
struct Shared {
    ready: Mutex<Ready>,
    /// Something has come while the set is dropped.
    came: Condvar,
}

#[derive(Default)]
struct Ready {
    queue: VecDeque<Runnable>,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn push(&self, runnable: Runnable) {
        let mut ready = self.lock();
        ready.queue.push_back(runnable);
        let waker = ready.waker.take();
        self.came.notify_one();
        drop(ready);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was woken first; waits for it.
    fn wait(&self) -> Option<Runnable> {
        let ready = self.lock();
        let ready = self.came.wait_while(ready, |ready| ready.queue.is_empty());
        ready.unwrap_or_else(|e| e.into_inner()).queue.pop_front()
    }
}

/// The futures of one call of [`block_on_local`].
pub(crate) struct Local {
    shared: Arc<Shared>,
    /// A waker of each that has not ended.
    alive: Rc<RefCell<HashMap<u64, Waker>>>,
    spawned: Cell<u64>,
}

impl Local {
    fn pop(&self) -> Option<Runnable> {
        self.shared.lock().queue.pop_front()
    }
}

impl Drop for Local {
    /// Drops all futures, here: whoever wakes one later finds that it has ended.
    fn drop(&mut self) {
        while !self.alive.borrow().is_empty() {
            let wakers: Vec<Waker> = self.alive.borrow().values().cloned().collect();
            wakers.into_iter().for_each(Waker::wake);
            // All of them are in the queue, or about to be: another thread may have woken one just before.
            drop(self.shared.wait());
            while let Some(runnable) = self.pop() {
                drop(runnable);
            }
        }
    }
}

/// The place in which the set of the calling task, or thread, is named.
fn place() -> &'static Cell<*const Local> {
    match api::here() {
        Some((_, me)) => &me.local,
        // SAFETY: used by this thread only, and at once.
        None => LOCAL.with(|local| unsafe { &*ptr::from_ref(local) }),
    }
}

/// As [`block_on`]; moreover `future` may call [`spawn_local`]. Futures so spawned are polled here, by the calling task or thread and
/// with its intent, while this waits, and are dropped when `future` has ended.
pub fn block_on_local<F: Future>(future: F) -> F::Output {
    struct Entered<'a>(&'a Local, *const Local);
    impl Drop for Entered<'_> {
        fn drop(&mut self) {
            debug_assert!(ptr::eq(place().get(), self.0));
            place().set(self.1);
        }
    }
    let local = Local { shared: Arc::default(), alive: Rc::default(), spawned: Cell::new(0) };
    let _entered = Entered(&local, place().replace(&local));
    let mut future = pin!(future);
    block_on(poll_fn(|cx| {
        local.shared.lock().waker = Some(cx.waker().clone());
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(value);
        }
        for _ in 0..IN_A_ROW {
            match local.pop() {
                Some(runnable) => _ = runnable.run(),
                None => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}

/// Spawns a future that stays on this thread, in the innermost [`block_on_local`] that the calling task, or thread, is in.
///
/// # Errors
/// [`SpawnError::OutsideTask`] outside of one.
pub fn spawn_local<F>(future: F) -> Result<LocalHandle<F::Output>, SpawnError>
where
    F: Future + 'static,
    F::Output: 'static,
{
    // SAFETY: `block_on_local` takes the name away before it ends.
    let local = unsafe { place().get().as_ref() }.ok_or(SpawnError::OutsideTask)?;
    let number = local.spawned.get();
    local.spawned.set(number + 1);
    let gone = Gone(local.alive.clone(), number);
    let shared = local.shared.clone();
    let schedule = move |runnable| shared.push(runnable);
    let future = Guarded::new(future);
    let future = async move {
        let _gone = gone;
        Outcome::new(future.await)
    };
    // SAFETY: the future is polled and dropped on this thread only: by `block_on_local`, which does not end before it is dropped, or by
    // `Local::drop`. The handle stays here as well. The schedule function is Send, Sync and 'static.
    let (runnable, task) = unsafe { async_task::spawn_unchecked(future, schedule) };
    local.alive.borrow_mut().insert(number, runnable.waker());
    runnable.schedule();
    Ok(LocalHandle { task: Some(task.fallible()), here: PhantomData })
}

/// In a future: takes it out of the list of those that are alive.
struct Gone(Rc<RefCell<HashMap<u64, Waker>>>, u64);

impl Drop for Gone {
    fn drop(&mut self) {
        let waker = self.0.borrow_mut().remove(&self.1);
        drop(waker);
    }
}

/// Waits for a future of [`spawn_local`]. Dropping it detaches the future.
#[must_use = "dropping it detaches the task; `let _ =` says that this is meant"]
pub struct LocalHandle<T> {
    task: Option<FallibleTask<Outcome<T>>>,
    /// Not to be sent.
    here: PhantomData<Rc<()>>,
}

impl<T> LocalHandle<T> {
    /// Whether the future has ended.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }

    /// Ends the future, and waits until it has been dropped.
    pub async fn cancel(mut self) {
        if let Some(task) = self.task.take() {
            let mut cancel = pin!(task.cancel());
            drop(poll_fn(|cx| poll_quietly(&mut cancel, cx)).await);
        }
    }
}

impl<T> Future for LocalHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = self.task.as_mut() else { return Poll::Ready(Err(JoinError::Aborted)) };
        poll_quietly(task, cx).map(|outcome| outcome.map_or(Err(JoinError::Aborted), Outcome::take))
    }
}

impl<T> Drop for LocalHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for LocalHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHandle").field("finished", &self.is_finished()).finish()
    }
}
