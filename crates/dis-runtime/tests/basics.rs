//! The first end-to-end slice: closures, cooperation and preemption on real workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, JoinError, Runtime, sleep, spawn_fn, yield_now};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Computes without calling the runtime until `stop`.
fn hog(stop: &AtomicBool, count: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_closure_returns_its_value() {
    let rt = runtime(2);
    assert_eq!(rt.spawn_fn(Intent::batch(), || 6 * 7).unwrap().join().unwrap(), 42);
    assert_eq!(rt.live_tasks(), 0);
    assert!(rt.shutdown(Duration::from_secs(5)));
}

#[test]
fn tasks_take_turns_and_spawn_others() {
    let rt = runtime(1);
    let total = rt
        .spawn_fn(Intent::batch(), || {
            let children: Vec<_> = (0..10u64)
                .map(|i| {
                    spawn_fn(Intent::interactive(1000), move || {
                        for _ in 0..100 {
                            yield_now();
                        }
                        i
                    })
                    .unwrap()
                })
                .collect();
            children.into_iter().map(|child| child.join().unwrap()).sum::<u64>()
        })
        .unwrap();
    assert_eq!(total.join().unwrap(), 45);
}

#[test]
fn two_hogs_share_one_worker() {
    let rt = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = (0..2).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let hogs: Vec<_> = counts
        .iter()
        .map(|count| {
            let (stop, count) = (stop.clone(), count.clone());
            rt.spawn_fn(Intent::batch(), move || hog(&stop, &count)).unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(600));
    stop.store(true, Ordering::Relaxed);
    for hog in hogs {
        hog.join().unwrap();
    }
    let (a, b) = (counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed));
    assert!(a.min(b) * 3 > a.max(b), "{a} against {b}");
}

#[test]
fn a_sleeper_wakes_beside_hogs() {
    let rt = runtime(2);
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            rt.spawn_fn(Intent::batch(), move || hog(&stop, &AtomicU64::new(0))).unwrap()
        })
        .collect();
    let sleeper = rt
        .spawn_fn(Intent::interactive(1000), || {
            let mut late = Vec::new();
            for _ in 0..200 {
                let before = Instant::now();
                sleep(Duration::from_millis(1));
                late.push(before.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            late.sort();
            late
        })
        .unwrap();
    let late = sleeper.join().unwrap();
    println!("late: p50 {:?} p99 {:?} max {:?}", late[100], late[198], late[199]);
    stop.store(true, Ordering::Relaxed);
    for hog in hogs {
        hog.join().unwrap();
    }
}

#[test]
fn a_panic_arrives_at_the_joiner() {
    let rt = runtime(1);
    let task = rt.spawn_fn(Intent::batch(), || -> u32 { panic!("on purpose") }).unwrap();
    match task.join() {
        Err(JoinError::Panic(payload)) => assert_eq!(*payload.downcast_ref::<&str>().unwrap(), "on purpose"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rt.spawn_fn(Intent::batch(), || 1).unwrap().join().unwrap(), 1);
}
