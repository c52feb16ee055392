//! Many spawned futures that are waited for together.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use dis_core::intent::Intent;

use crate::JoinError;
use crate::future::join::JoinHandle;
use crate::future::{AbortHandle, spawn};
use crate::spawn::SpawnError;
use crate::task::{drop_quietly, quietly};

/// Spawned futures whose results come in the order in which they end. Dropping it aborts them.
#[derive(Debug)]
pub struct JoinSet<T> {
    handles: HashMap<u64, JoinHandle<T>>,
    next: u64,
    ended: Arc<Mutex<Ended>>,
}

/// The numbers of those that have ended, and who waits for one.
#[derive(Debug, Default)]
struct Ended {
    numbers: VecDeque<u64>,
    waker: Option<Waker>,
}

/// In a future of the set: tells of its end, however it ends.
struct Tell(Arc<Mutex<Ended>>, u64);

impl Drop for Tell {
    fn drop(&mut self) {
        let mut ended = self.0.lock().unwrap_or_else(|e| e.into_inner());
        ended.numbers.push_back(self.1);
        let waker = ended.waker.take();
        drop(ended);
        // Who waits may be anybody; a panic of its waker is not this future's.
        if let Some(waker) = waker {
            quietly(|| waker.wake());
        }
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        JoinSet { handles: HashMap::new(), next: 0, ended: Arc::default() }
    }

    /// Spawns a future as [`spawn`] does, and enters it.
    ///
    /// # Errors
    /// As for [`spawn`].
    #[track_caller]
    pub fn spawn<F>(&mut self, intent: Intent, future: F) -> Result<AbortHandle, SpawnError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let number = self.next;
        self.next += 1;
        let tell = Tell(self.ended.clone(), number);
        let handle = spawn(intent, async move {
            let _tell = tell;
            future.await
        });
        let handle = match handle {
            Ok(handle) => handle,
            Err(error) => {
                // As it was dropped it has told of its end.
                self.ended.lock().unwrap_or_else(|e| e.into_inner()).numbers.retain(|&ended| ended != number);
                return Err(error);
            }
        };
        let abort = handle.abort_handle();
        self.handles.insert(number, handle);
        Ok(abort)
    }

    /// How many have not been waited for.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether all have been waited for.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// The result of the next one that ends; `None` if the set is empty. Nothing is lost if this is dropped before it is ready.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        if self.handles.is_empty() {
            return None;
        }
        let number = poll_fn(|cx| {
            let mut ended = self.ended.lock().unwrap_or_else(|e| e.into_inner());
            match ended.numbers.front() {
                Some(&number) => Poll::Ready(number),
                None => {
                    let before = ended.waker.replace(cx.waker().clone());
                    drop(ended);
                    drop_quietly(before);
                    Poll::Pending
                }
            }
        })
        .await;
        // It has ended but for some instructions.
        let handle = self.handles.get_mut(&number)?;
        let result = handle.await;
        self.ended.lock().unwrap_or_else(|e| e.into_inner()).numbers.pop_front();
        self.handles.remove(&number);
        Some(result)
    }

    /// Aborts all; their results, that they were aborted or what was faster, are still to be waited for.
    pub fn abort_all(&self) {
        self.handles.values().for_each(JoinHandle::abort);
    }

    /// Aborts all and waits until they have been dropped.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }
}

impl<T: Send + 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.handles.values().for_each(JoinHandle::abort);
    }
}
