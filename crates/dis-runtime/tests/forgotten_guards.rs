//! A guard that is never dropped keeps its mutex locked, and its task and runtime may go nevertheless.
//!
//! Freed memory is overwritten here and not used again, so that whoever looks at it is not lucky.

#[path = "common/alone.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use common::{alone, is_child};
use dis_runtime::sync::Mutex;
use dis_runtime::{Intent, Runtime, sleep, yield_now};

struct Scribbler;

// SAFETY: the system's allocator; memory is overwritten when it is nobody's any more, and leaked.
unsafe impl GlobalAlloc for Scribbler {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller gives it up.
        unsafe { ptr.write_bytes(0xa5, layout.size()) };
    }
}

#[global_allocator]
static ALLOCATOR: Scribbler = Scribbler;

const SHORT: Duration = Duration::from_millis(1);

fn runtime() -> Runtime {
    Runtime::builder().workers(1).max_tasks(64).build().unwrap()
}

fn passes(child: &str) {
    let output = alone(child);
    assert!(output.status.success(), "{} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mutex_outlives_its_owner_s_runtime() {
    passes("child_mutex_outlives_runtime");
}

#[test]
fn child_mutex_outlives_runtime() {
    if !is_child() {
        return;
    }
    let mutex = Arc::new(Mutex::new(0));
    let (rt, theirs) = (runtime(), mutex.clone());
    rt.spawn_fn(Intent::batch(), move || mem::forget(theirs.lock())).unwrap().join().unwrap();
    assert!(rt.shutdown(Duration::from_secs(1000)));
    assert!(mutex.lock_timeout(SHORT).is_none());
    let (rt, theirs) = (runtime(), mutex.clone());
    let task = rt.spawn_fn(Intent::system(), move || theirs.lock_timeout(SHORT).is_none());
    assert!(task.unwrap().join().unwrap());
}

#[test]
fn a_result_nobody_takes_may_forget_a_guard() {
    passes("child_result_forgets");
}

#[test]
fn child_result_forgets() {
    static MUTEX: Mutex<()> = Mutex::new(());
    struct Forgets;
    impl Drop for Forgets {
        fn drop(&mut self) {
            mem::forget(MUTEX.lock());
        }
    }
    if !is_child() {
        return;
    }
    let rt = runtime();
    drop(rt.spawn_fn(Intent::batch(), || {
        sleep(SHORT);
        Forgets
    }));
    while MUTEX.try_lock().is_some() || rt.live_tasks() > 0 {
        std::thread::yield_now();
    }
    // The next task frees what the one before has left.
    rt.spawn_fn(Intent::batch(), yield_now).unwrap().join().unwrap();
    let task = rt.spawn_fn(Intent::system(), || MUTEX.lock_timeout(SHORT).is_none());
    assert!(task.unwrap().join().unwrap());
}
