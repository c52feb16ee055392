//! Realtime budgets: who overruns is stopped and counted, and nobody is charged for what the kernel gave to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, current, default_limits, next_period, yield_now};

/// CPU time of the calling thread, ns.
fn thread_time() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Computes until the calling thread has used `ns`.
fn compute(ns: u64) {
    let start = thread_time();
    while thread_time() - start < ns {}
}

/// A task that never ends its job is stopped when its budget is gone, again and again; else this would never end.
#[test]
fn an_overrun_is_stopped_and_counted() {
    overrun(|| ());
}

/// It makes no difference whether it gives way.
#[test]
fn an_overrun_that_yields_is_stopped_and_counted() {
    overrun(yield_now);
}

fn overrun(between: fn()) {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let body = move || {
        while !flag.load(Ordering::Relaxed) {
            between();
        }
    };
    let liar = rt.spawn_fn(Intent::realtime(10_000, 10_000, 1_000), body).unwrap();
    let start = Instant::now();
    while liar.stats().unwrap().overruns < 5 {
        assert!(start.elapsed() < Duration::from_secs(120), "it is not stopped");
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Relaxed);
    liar.join().unwrap();
}

/// Ordinary threads on the worker's CPU take most of it: jobs that need half of their wcet are charged for more than their
/// budget, but do not count as overruns, as the kernel's count says otherwise.
#[test]
fn what_other_threads_take_is_no_overrun() {
    let mut limits = default_limits();
    limits.budget_borrowing = false;
    let rt = Arc::new(Runtime::builder().workers(1).limits(limits).build().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let cpu = rt.cpus()[0];
    let hogs: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                // SAFETY: a valid set of the size given.
                unsafe {
                    let mut set: libc::cpu_set_t = std::mem::zeroed();
                    libc::CPU_SET(cpu, &mut set);
                    libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
                }
                while !stop.load(Ordering::Relaxed) {}
            })
        })
        .collect();
    const WCET: u64 = 8_000_000;
    let rt2 = rt.clone();
    let task = rt.spawn_fn(Intent::realtime(40_000, 40_000, WCET / 1_000), move || {
        let charged = || rt2.task_stats(current().unwrap()).unwrap().cpu_time;
        let mut taken = 0;
        // Until others have taken what would be many budgets, had it been charged.
        while taken < 10 * WCET {
            let before = (charged(), thread_time());
            compute(WCET / 2);
            next_period().unwrap();
            taken += (charged() - before.0).saturating_sub(thread_time() - before.1);
        }
        rt2.task_stats(current().unwrap()).unwrap().overruns
    });
    let overruns = task.unwrap().join().unwrap();
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    assert_eq!(overruns, 0);
}
