//! What the kernel counts by thread arrives at the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::sync::Event;
use dis_runtime::{Intent, JoinHandle, Runtime, TaskStats, yield_now};

/// CPU time of the calling thread, ns.
fn thread_time() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Computes for so much CPU time, asking for it rarely; system calls instead if `calls`.
fn work(ns: u64, calls: bool) {
    let end = thread_time() + ns;
    while thread_time() < end {
        for i in 0..100_000u64 {
            if calls {
                if i % 1000 == 0 {
                    let _ = std::fs::read("/proc/self/status");
                }
            } else {
                std::hint::black_box(i);
            }
        }
    }
}

/// Runs `body` in a task, then asks for its counters, from outside the task, while it still lives; and inside it before.
fn measured(rt: &Arc<Runtime>, body: impl FnOnce() + Send + 'static) -> (TaskStats, TaskStats, u64) {
    let (done, asked) = (Arc::new(Event::manual()), Arc::new(Event::manual()));
    let (done2, asked2, rt2) = (done.clone(), asked.clone(), rt.clone());
    let task = rt.spawn_fn(Intent::batch(), move || {
        let start = thread_time();
        body();
        let used = thread_time() - start;
        let own = rt2.task_stats(dis_runtime::current().unwrap()).unwrap();
        drop(rt2);
        done2.set();
        asked2.wait();
        (own, used)
    });
    let task = task.unwrap();
    done.wait();
    // The scheduler's own count is as of its last decision: wait for the one that lets the task wait.
    while task.stats().unwrap().blocks == 0 {
        std::thread::yield_now();
    }
    let seen = task.stats().unwrap();
    asked.set();
    let (own, used) = task.join().unwrap();
    (own, seen, used)
}

fn runtime() -> Arc<Runtime> {
    Arc::new(Runtime::builder().workers(1).build().unwrap())
}

#[test]
fn computing_is_user_time() {
    let (own, seen, used) = measured(&runtime(), || work(100_000_000, false));
    println!("own {own:?}\nseen {seen:?}\nused {used}");
    for stats in [own, seen] {
        let (user, all) = (stats.user_time, stats.user_time + stats.system_time);
        // The kernel divides by samples, and interrupts of a busy machine count as the task's system time.
        assert!(all >= used && stats.system_time < user, "{stats:?}, used {used}");
        // What came before and after the measurement in the task is small, and the kernel's time is part of ours.
        assert!(all >= used && all < used * 2, "{stats:?}, used {used}");
    }
    assert!(seen.cpu_time + 5_000_000 >= used, "{seen:?}, used {used}");
    assert!(seen.user_time + seen.system_time >= own.user_time + own.system_time);
}

#[test]
fn system_calls_are_system_time() {
    let (own, seen, used) = measured(&runtime(), || work(150_000_000, true));
    println!("own {own:?}\nseen {seen:?}\nused {used}");
    for stats in [own, seen] {
        assert!(stats.system_time > 0, "{stats:?}, used {used}");
        assert!(stats.user_time + stats.system_time >= used, "{stats:?}, used {used}");
    }
}

#[test]
fn fresh_memory_is_page_faults() {
    const BYTES: usize = 10 << 20;
    let touch = || {
        // SAFETY: a private mapping of our own, written within its bounds, then unmapped.
        unsafe {
            let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let block = libc::mmap(std::ptr::null_mut(), BYTES, read_write, private, -1, 0);
            assert_ne!(block, libc::MAP_FAILED);
            libc::madvise(block, BYTES, libc::MADV_NOHUGEPAGE);
            for page in (0..BYTES).step_by(4096) {
                block.cast::<u8>().add(page).write_volatile(1);
            }
            libc::munmap(block, BYTES);
        }
    };
    let (own, seen, _) = measured(&runtime(), touch);
    assert!(own.page_faults >= 2000 && seen.page_faults >= own.page_faults, "{own:?} {seen:?}");
    let (idle, ..) = measured(&runtime(), || ());
    assert!(idle.page_faults < 1000, "{idle:?}");
}

/// A task that never stops is seen from outside to use more and more.
#[test]
fn a_hog_is_seen_while_it_runs() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let hog = rt.spawn_fn(Intent::batch(), move || while !flag.load(Ordering::Relaxed) {}).unwrap();
    for goal in [1_000_000, 5_000_000, 20_000_000] {
        while hog.stats().unwrap().user_time < goal {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
}

/// The scheduler never asks about a task that is alone, and still knows what it has had.
#[test]
fn the_scheduler_counts_a_hog_that_is_alone() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let hog = rt.spawn_fn(Intent::batch(), move || while !flag.load(Ordering::Relaxed) {}).unwrap();
    let cpu_time = || hog.scheduler_stats().unwrap().cpu_time;
    for goal in [1_000_000, 50_000_000] {
        while cpu_time() < goal {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let before = cpu_time();
    assert!(rt.stats().total_cpu_time >= before);
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
}

/// What tasks of one thread use there together is charged to none of them; one that is alone there again is charged again.
#[test]
fn tasks_that_share_a_thread_are_charged_for_what_is_certain() {
    // SAFETY: the closures keep nothing in thread-locals.
    let builder = unsafe { Runtime::builder().workers(1).share_beyond(1) };
    let rt = Arc::new(builder.build().unwrap());
    let (begun, asked, alone) = (Arc::new(AtomicU64::new(0)), Arc::new(Event::manual()), Arc::new(Event::manual()));
    let spawn = |long: bool| -> JoinHandle<Option<(TaskStats, TaskStats)>> {
        let (begun, asked, alone) = (begun.clone(), asked.clone(), alone.clone());
        let own = || dis_runtime::current().unwrap();
        let (spawner, rt) = (&rt, rt.clone());
        spawner
            .spawn_fn(Intent::batch(), move || {
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < 2 {
                    yield_now();
                }
                work(30_000_000, false);
                if !long {
                    asked.wait();
                    return None;
                }
                let shared = rt.task_stats(own())?;
                asked.set();
                alone.wait();
                work(30_000_000, false);
                Some((shared, rt.task_stats(own())?))
            })
            .unwrap()
    };
    let (long, short) = (spawn(true), spawn(false));
    let used = |stats: TaskStats| stats.user_time + stats.system_time;
    assert!(short.join().unwrap().is_none());
    alone.set();
    let (shared, end) = long.join().unwrap().unwrap();
    println!("{} ns while it shared, {} ns in the end", used(shared), used(end));
    assert!(used(shared) < 29_000_000);
    assert!((29_000_000..60_000_000).contains(&used(end)));
}
