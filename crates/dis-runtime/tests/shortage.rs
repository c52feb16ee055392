//! Tasks that cannot begin at once, for want of threads, and what may happen to them meanwhile.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::{Intent, JoinHandle, Runtime, sleep};

/// Runs one test of this file in a process of its own, which it may crash.
fn alone(test: &str) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
}

/// Set in such a process: without it the tests that are meant for one do nothing.
const CHILD: &str = "DIS_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

struct Counts(Arc<AtomicU64>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Far more dedicated tasks than there are spare threads.
fn crowd(rt: &Runtime, drops: &Arc<AtomicU64>) -> Vec<JoinHandle<()>> {
    (0..200)
        .map(|_| {
            let value = Counts(drops.clone());
            let task = rt.task(Intent::batch()).dedicated().spawn(move || {
                let _value = value;
                sleep(Duration::from_millis(1));
            });
            task.unwrap()
        })
        .collect()
}

#[test]
fn a_task_is_aborted_while_it_waits_for_a_thread() {
    alone("child_aborts_in_a_shortage");
}

#[test]
fn child_aborts_in_a_shortage() {
    if !is_child() {
        return;
    }
    for round in 0..10 {
        let rt = Runtime::builder().workers(1 + round % 2).build().unwrap();
        let drops = Arc::new(AtomicU64::new(0));
        let tasks = crowd(&rt, &drops);
        std::thread::sleep(Duration::from_micros(200));
        for (n, task) in tasks.into_iter().enumerate() {
            // Told to try again, it enters the queue again at any time.
            if n % 3 == 0 {
                task.unpark();
            }
            task.abort();
        }
        // Where the headers of those that were aborted lay.
        let _other: Vec<Box<[u8; 400]>> = (0..300).map(|_| Box::new([0x5a; 400])).collect();
        crowd(&rt, &drops).into_iter().for_each(|task| task.join().unwrap());
        assert!(rt.shutdown(Duration::from_secs(20)));
        assert_eq!(drops.load(Ordering::Relaxed), 400);
    }
}

#[test]
fn tasks_beyond_the_threads_wait_and_begin_when_others_end() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let begun = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..dis_runtime::MAX_KLTS + 200)
        .map(|_| {
            let begun = begun.clone();
            rt.spawn_fn(Intent::batch(), move || {
                begun.fetch_add(1, Ordering::Relaxed);
                dis_runtime::park();
            })
            .unwrap()
        })
        .collect();
    // Once is enough, whether they have parked, have begun, wait for a thread, or have not been looked at.
    tasks.iter().for_each(JoinHandle::unpark);
    let all = tasks.len() as u64;
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert_eq!(begun.load(Ordering::Relaxed), all);
    assert!(rt.threads() <= dis_runtime::MAX_KLTS);
}

/// The runtime says that it has no more threads; not even the lock of standard error may keep it.
#[test]
fn the_warning_keeps_nobody_waiting() {
    alone("child_is_warned");
}

#[test]
fn child_is_warned() {
    if !is_child() {
        return;
    }
    let _stderr = std::io::stderr().lock();
    let rt = Runtime::builder().workers(2).build().unwrap();
    let park = |_| rt.spawn_fn(Intent::batch(), dis_runtime::park).unwrap();
    let tasks: Vec<_> = (0..dis_runtime::MAX_KLTS + 1).map(park).collect();
    while rt.threads() < dis_runtime::MAX_KLTS {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Time to warn.
    std::thread::sleep(Duration::from_millis(50));
    tasks.iter().for_each(JoinHandle::unpark);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert!(rt.shutdown(Duration::from_secs(20)));
}

#[test]
fn tasks_that_are_woken_while_they_wait_for_a_thread_run_once() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let runs = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let runs = runs.clone();
            let task = rt.task(Intent::batch());
            // SAFETY: the closure keeps nothing in thread-locals.
            let task = if n % 2 == 0 { task.dedicated() } else { unsafe { task.shared() } };
            task.spawn(move || {
                runs.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_micros(200));
            })
            .unwrap()
        })
        .collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        tasks.iter().for_each(JoinHandle::unpark);
    }
    assert_eq!(runs.load(Ordering::Relaxed), 300);
}

#[test]
fn threads_that_cannot_be_had_now_can_be_had_later() {
    alone("child_without_threads");
}

/// Each thread needs a timer, and so a queued signal.
fn allow_timers(limit: libc::rlim_t) {
    // SAFETY: valid memory.
    unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_SIGPENDING, &mut now), 0);
        now.rlim_cur = limit.min(now.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_SIGPENDING, &now), 0);
    }
}

#[test]
fn child_without_threads() {
    if !is_child() {
        return;
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let before = rt.threads();
    allow_timers(0);
    let tasks: Vec<_> = (0..10)
        .map(|_| rt.task(Intent::batch()).dedicated().spawn(|| sleep(Duration::from_secs(1000))).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(rt.threads(), before);
    // Those that need no thread of their own run nevertheless.
    rt.spawn_fn(Intent::batch(), || ()).unwrap().join().unwrap();
    allow_timers(libc::RLIM_INFINITY);
    rt.task(Intent::interactive(1000)).dedicated().spawn(|| ()).unwrap().join().unwrap();
    assert!(rt.threads() < before + 30, "{} threads", rt.threads());
    drop(tasks);
    assert!(rt.shutdown(Duration::from_secs(20)));
}
