//! Abort, panic, shutdown, overflow, idleness.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::sync::{Event, Mutex};
use dis_runtime::{Intent, JoinError, Runtime, SchedError, SpawnError, park, sleep, yield_now};

struct Drops(Arc<AtomicU64>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Spawns `body`, aborts it after a while, and checks that it ended so and dropped its values.
fn aborted(body: impl FnOnce() + Send + 'static) {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let drops = Arc::new(AtomicU64::new(0));
    let value = Drops(drops.clone());
    let task = rt
        .spawn_fn(Intent::batch(), move || {
            let _value = value;
            body();
        })
        .unwrap();
    std::thread::sleep(Duration::from_millis(20));
    task.abort();
    assert!(matches!(task.join(), Err(JoinError::Aborted)));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(rt.shutdown(Duration::from_secs(20)));
}

#[test]
fn abort_ends_a_sleeper() {
    aborted(|| sleep(Duration::from_secs(1000)));
}

#[test]
fn abort_ends_a_parked_task() {
    aborted(|| {
        loop {
            park();
        }
    });
}

#[test]
fn abort_ends_a_yielding_task() {
    aborted(|| {
        loop {
            yield_now();
        }
    });
}

#[test]
fn abort_ends_waits_for_event_and_mutex() {
    aborted(|| Event::manual().wait());
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock();
    let theirs = mutex.clone();
    aborted(move || drop(theirs.lock()));
    drop(guard);
    assert!(mutex.try_lock().is_some());
}

#[test]
fn abort_before_the_start_means_never() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let hog = {
        let stop = stop.clone();
        rt.spawn_fn(Intent::system(), move || while !stop.load(Ordering::Relaxed) {}).unwrap()
    };
    std::thread::sleep(Duration::from_millis(5));
    let ran = Arc::new(AtomicBool::new(false));
    let flag = ran.clone();
    let at = rt.now() + Duration::from_secs(1000).into();
    let task = rt.task(Intent::batch()).start_at(at).spawn(move || flag.store(true, Ordering::Relaxed)).unwrap();
    task.abort();
    assert!(task.is_finished());
    assert!(matches!(task.join(), Err(JoinError::Aborted)));
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    assert!(!ran.load(Ordering::Relaxed));
}

#[test]
fn shutdown_ends_whatever_can_be_ended() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    for i in 0..200u64 {
        rt.spawn_fn(Intent::batch(), move || {
            loop {
                match i % 3 {
                    0 => sleep(Duration::from_secs(100)),
                    1 => park(),
                    _ => yield_now(),
                }
            }
        })
        .unwrap();
    }
    std::thread::sleep(Duration::from_millis(30));
    assert!(rt.shutdown(Duration::from_secs(30)));
}

#[test]
fn a_closure_that_never_ran_is_dropped_where_its_destructor_may_wait() {
    struct Waits(Arc<Event>);
    impl Drop for Waits {
        fn drop(&mut self) {
            while !self.0.is_set() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    struct Sets(Arc<Event>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    // The order in which the tasks are aborted is not ours to choose: both.
    for first in [false, true] {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let event = Arc::new(Event::manual());
        let (waits, sets) = (Waits(event.clone()), Sets(event));
        let at = rt.now() + Duration::from_secs(1000).into();
        let mut waits = Some(waits);
        let mut unstarted = || {
            let waits = waits.take();
            let _ = rt.task(Intent::batch()).start_at(at).spawn(move || drop(waits)).unwrap();
        };
        if first {
            unstarted();
        }
        let parked = move || {
            let _sets = sets;
            loop {
                park();
            }
        };
        let _ = rt.task(Intent::interactive(1000)).spawn(parked).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        if !first {
            unstarted();
        }
        assert!(rt.shutdown(Duration::from_secs(20)));
    }
}

#[test]
fn a_runtime_that_is_dropped_early_ends_its_threads_when_its_tasks_have_ended() {
    let output = alone("child_early_drops");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn child_early_drops() {
    if !is_child() {
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    // In a task of its own.
    let rt = Runtime::builder().workers(1).build().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel::<Runtime>();
    let task = rt.spawn_fn(Intent::batch(), move || drop(receiver.recv().unwrap())).unwrap();
    sender.send(rt).unwrap();
    let _ = task.join();
    // While a task runs that does not call the runtime.
    let stop = Arc::new(AtomicBool::new(false));
    let rt = Runtime::builder().workers(1).build().unwrap();
    let flag = stop.clone();
    let hog = rt.spawn_fn(Intent::batch(), move || while !flag.load(Ordering::Relaxed) {}).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert!(!rt.shutdown(Duration::from_millis(10)));
    stop.store(true, Ordering::Relaxed);
    let _ = hog.join();
    while threads() > before {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn two_runtimes_live_side_by_side() {
    let a = Runtime::builder().workers(1).name("a").build().unwrap();
    let b = Runtime::builder().workers(2).name("b").build().unwrap();
    let inner = b.spawn_fn(Intent::batch(), || 20).unwrap();
    let outer = a.spawn_fn(Intent::interactive(1000), move || inner.join().unwrap() + 22).unwrap();
    assert_eq!(outer.join().unwrap(), 42);
}

#[test]
fn what_cannot_be_enforced_is_refused() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let limited = Intent::batch().with_memory_limit(1 << 20);
    assert!(matches!(rt.spawn_fn(limited.clone(), || ()), Err(SpawnError::Refused(SchedError::NotSupported(_)))));
    rt.task(limited).best_effort().spawn(|| ()).unwrap().join().unwrap();
    assert!(matches!(rt.spawn_fn(Intent::realtime(0, 1, 1), || ()), Err(SpawnError::Refused(_))));
    assert!(matches!(dis_runtime::spawn_fn(Intent::batch(), || ()), Err(SpawnError::OutsideTask)));
}

#[test]
fn realtime_jobs_count_on() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let task = rt.spawn_fn(Intent::realtime(5_000, 5_000, 1_000), || {
        let mut numbers = Vec::new();
        for _ in 0..10 {
            numbers.push(dis_runtime::next_period().unwrap().number);
        }
        numbers
    });
    let numbers = task.unwrap().join().unwrap();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(rt.spawn_fn(Intent::batch(), || dis_runtime::next_period().is_err()).unwrap().join().unwrap());
}

/// User and system time of the process so far.
fn cpu_time() -> Duration {
    // SAFETY: all-zero is valid, and the pointer is.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::from_micros(t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Runs one test of this file in a process of its own.
fn alone(test: &str) -> std::process::Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap()
}

/// Set in such a process: without it the tests that are meant for one do nothing.
const CHILD: &str = "DIS_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn an_idle_process_uses_no_cpu_and_a_lone_task_gets_no_signals() {
    let output = alone("child_idle_and_lone");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn child_idle_and_lone() {
    if !is_child() {
        return;
    }
    let rt = Runtime::builder().build().unwrap();
    rt.spawn_fn(Intent::batch(), || ()).unwrap().join().unwrap();
    let _parked = rt.spawn_fn(Intent::batch(), park).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let before = cpu_time();
    std::thread::sleep(Duration::from_millis(300));
    let used = cpu_time() - before;
    assert!(used < Duration::from_millis(3), "{used:?} while idle");

    let one = Runtime::builder().workers(1).build().unwrap();
    let signals = one
        .spawn_fn(Intent::batch(), || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
        })
        .map(|task| {
            std::thread::sleep(Duration::from_millis(10));
            let before = one.preemption_signals();
            task.join().unwrap();
            one.preemption_signals() - before
        });
    assert_eq!(signals.unwrap(), 0, "a task alone on its worker is not interrupted");
}

#[test]
fn a_stack_overflow_names_the_task() {
    let output = alone("child_overflow");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("task 'deep thought' overflowed its stack"), "{text}");
}

#[test]
fn child_overflow() {
    if !is_child() {
        return;
    }
    fn dig(n: u64) -> u64 {
        let frame = std::hint::black_box([n; 64]);
        if n == 0 { 0 } else { dig(n + 1) + frame[(n % 64) as usize] }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let task = rt.task(Intent::batch()).name("deep thought").spawn(|| dig(1)).unwrap();
    let _ = task.join();
}

#[test]
fn many_parked_tasks() {
    // SAFETY: the closure keeps nothing in thread-locals.
    let rt = unsafe { Runtime::builder().workers(2).share_beyond(64) }.build().unwrap();
    let tasks: Vec<_> = (0..20_000)
        .map(|i| {
            rt.spawn_fn(Intent::interactive(5000), move || {
                park();
                i
            })
            .unwrap()
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        task.unpark();
        assert_eq!(task.join().unwrap(), i);
    }
}
