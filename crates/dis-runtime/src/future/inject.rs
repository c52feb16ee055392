//! The queue of a kind that all workers share: wake-ups from foreign threads, and what does not fit into a ring. Linked through
//! the tasks, so it never allocates.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::future::meta::meta;
use crate::future::ring::Raw;
use crate::lock::Locked;

pub(crate) struct Inject {
    list: Locked<List>,
    len: AtomicUsize,
}

struct List {
    first: Raw,
    last: Raw,
}

// SAFETY: the pointers are to tasks that are in this queue, and in no other.
unsafe impl Send for List {}

impl Inject {
    pub(crate) fn new() -> Inject {
        Inject { list: Locked::new(List { first: ptr::null_mut(), last: ptr::null_mut() }), len: AtomicUsize::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Appends tasks.
    pub(crate) fn push(&self, tasks: &[Raw]) {
        let mut list = self.list.lock();
        for &task in tasks {
            meta(task).next.set(ptr::null_mut());
            match list.last.is_null() {
                true => list.first = task,
                false => meta(list.last).next.set(task),
            }
            list.last = task;
        }
        self.len.store(self.len.load(Ordering::Relaxed) + tasks.len(), Ordering::Release);
    }

    /// Takes the first ones, at most `out.len()`; how many.
    pub(crate) fn take(&self, out: &mut [Raw]) -> usize {
        if self.len() == 0 {
            return 0;
        }
        let mut list = self.list.lock();
        let mut count = 0;
        for slot in out {
            let first = list.first;
            if first.is_null() {
                break;
            }
            list.first = meta(first).next.replace(ptr::null_mut());
            if list.first.is_null() {
                list.last = ptr::null_mut();
            }
            *slot = first;
            count += 1;
        }
        self.len.store(self.len.load(Ordering::Relaxed) - count, Ordering::Release);
        count
    }
}
