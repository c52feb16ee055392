//! Nothing is allocated or freed inside the runtime: the allocator's lock may belong to a preempted task.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::{CpuMask, Intent, Runtime, is_inside_runtime, sleep, spawn_fn, yield_now};

static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

/// A place for a breakpoint.
#[inline(never)]
fn violation(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

struct Watching;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_inside_runtime() {
            violation(&ALLOCATED);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_inside_runtime() {
            violation(&FREED);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn storm(tasks: u64) {
    let all: Vec<_> = (0..tasks)
        .map(|i| {
            let intent = if i % 2 == 0 { Intent::batch() } else { Intent::interactive(1000) };
            // Reservations are planned outside.
            let realtime = Intent::realtime(100_000, 50_000, 100 + i % 7);
            let intent = if i % 10 == 7 { realtime } else { intent };
            spawn_fn(intent, move || {
                match i % 3 {
                    0 => sleep(Duration::from_micros(300)),
                    1 => yield_now(),
                    _ => drop(vec![i; 100]),
                }
                i
            })
            .unwrap()
        })
        .collect();
    for (i, task) in all.iter().enumerate().step_by(50) {
        let _ = task.set_intent(&Intent::realtime(100_000, 50_000, 200));
        let _ = task.set_affinity(CpuMask::single(i % 2));
    }
    all.into_iter().for_each(|task| drop(task.join()));
}

#[test]
fn the_runtime_neither_allocates_nor_frees() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..5 {
        rt.spawn_fn(Intent::batch(), || storm(1500)).unwrap().join().unwrap();
    }
    let counts = (ALLOCATED.load(Ordering::Relaxed), FREED.load(Ordering::Relaxed));
    assert_eq!(counts, (0, 0), "allocated and freed inside the runtime");
}
