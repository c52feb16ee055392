//! A task keeps its thread, whatever happens to it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::{CpuMask, Intent, JoinHandle, Runtime, sleep, spawn_fn, yield_now};

thread_local! {
    static LOCAL: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn thread_locals_and_thread_id_stay_over_yields_sleeps_and_preemptions() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let intents = [Intent::batch(), Intent::interactive(500), Intent::background(), Intent::batch()];
    let tasks: Vec<_> = intents
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
        .map(|(i, intent)| {
            let task = move || {
                let id = std::thread::current().id();
                let address = || LOCAL.with(|local| std::ptr::from_ref(local).addr());
                let first = address();
                for round in 0..30 {
                    LOCAL.with(|local| {
                        let mut local = local.borrow_mut();
                        local.push(round);
                        spin(Duration::from_micros(300));
                        assert_eq!(local.pop(), Some(round));
                    });
                    match (round + i as u64) % 3 {
                        0 => yield_now(),
                        1 => sleep(Duration::from_micros(200)),
                        _ => {}
                    }
                    assert_eq!(address(), first, "the address of a thread-local changed");
                    assert_eq!(std::thread::current().id(), id, "the thread changed");
                }
            };
            rt.spawn_fn(intent, task).unwrap()
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

/// From its first instruction on, whichever CPU would be the better choice.
#[test]
fn a_task_runs_where_its_affinity_says_from_its_spawn_on() {
    let rt = Runtime::builder().build().unwrap();
    for &cpu in rt.cpus() {
        let seen = || {
            // SAFETY: no preconditions.
            let here = |_| (unsafe { libc::sched_getcpu() } as usize, dis_runtime::yield_now()).0;
            (0..200).map(here).collect::<Vec<_>>()
        };
        let task = rt.spawn_fn(Intent::batch().with_affinity(CpuMask::single(cpu)), seen).unwrap();
        let seen = task.join().unwrap();
        assert!(seen.iter().all(|&seen| seen == cpu), "CPU {cpu}: {seen:?}");
    }
}

#[test]
fn affinity_holds_and_moves_a_running_task() {
    let rt = Runtime::builder().build().unwrap();
    let cpus = rt.cpus().to_vec();
    if cpus.len() < 2 {
        return;
    }
    // SAFETY: no preconditions.
    let cpu = || unsafe { libc::sched_getcpu() } as usize;
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicU64::new(u64::MAX));
    let (stop2, seen2) = (stop.clone(), seen.clone());
    let task = rt
        .task(Intent::batch().with_affinity(CpuMask::single(cpus[0])))
        .spawn(move || {
            while !stop2.load(Ordering::Relaxed) {
                seen2.store(cpu() as u64, Ordering::Relaxed);
            }
        })
        .unwrap();
    for target in [cpus[0], cpus[1], cpus[0], cpus[1]] {
        task.set_affinity(CpuMask::single(target)).unwrap();
        let start = Instant::now();
        loop {
            seen.store(u64::MAX, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
            if seen.load(Ordering::Relaxed) == target as u64 {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "never moved to CPU {target}");
        }
        for _ in 0..5 {
            seen.store(u64::MAX, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
            let at = seen.load(Ordering::Relaxed);
            assert!(at == u64::MAX || at == target as u64, "ran on CPU {at} instead of {target}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    task.join().unwrap();
}

/// A runtime whose tasks share kernel threads when there are more of them.
fn sharing(workers: usize, beyond: usize) -> Runtime {
    // SAFETY: no test relies on thread-locals across cooperative points.
    unsafe { Runtime::builder().workers(workers).share_beyond(beyond) }.build().unwrap()
}

#[test]
fn more_tasks_than_identities_share_them() {
    let rt = sharing(2, 3);
    let tasks: Vec<JoinHandle<u32>> = (0..20)
        .map(|i| {
            rt.spawn_fn(Intent::batch(), move || {
                for _ in 0..20 {
                    spin(Duration::from_micros(100));
                    yield_now();
                }
                i
            })
            .unwrap()
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join().unwrap(), i as u32);
    }
    assert!(rt.threads() < 20, "{} threads", rt.threads());
}

#[test]
fn a_dedicated_task_shares_its_thread_with_nobody() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let id = |dedicated: bool| {
        move |rt: &Runtime| {
            let task = rt.task(Intent::interactive(500));
            // SAFETY: the closure keeps nothing in thread-locals.
            let task = if dedicated { task.dedicated() } else { unsafe { task.shared() } };
            task.spawn(|| {
                let id = std::thread::current().id();
                for _ in 0..50 {
                    sleep(Duration::from_micros(500));
                }
                id
            })
            .unwrap()
        }
    };
    let (own, shared): (Vec<_>, Vec<_>) = (0..8).map(|_| (id(true)(&rt), id(false)(&rt))).unzip();
    let own: Vec<_> = own.into_iter().map(|task| task.join().unwrap()).collect();
    let shared: Vec<_> = shared.into_iter().map(|task| task.join().unwrap()).collect();
    for (i, id) in own.iter().enumerate() {
        assert!(!shared.contains(id) && !own[i + 1..].contains(id));
    }
    // One that is preempted in mid-run keeps the thread to itself until it sleeps; not all of them can be.
    assert!(distinct(shared.iter().copied()) < shared.len(), "tasks of a worker that are declared so share a thread");
}

#[test]
fn a_chain_of_joins_stays_on_one_thread() {
    fn depth(n: u32) -> u32 {
        if n == 0 { 0 } else { 1 + spawn_fn(Intent::batch(), move || depth(n - 1)).unwrap().join().unwrap() }
    }
    let rt = Runtime::builder().workers(1).build().unwrap();
    let before = rt.threads();
    assert_eq!(rt.spawn_fn(Intent::batch(), || depth(50)).unwrap().join().unwrap(), 50);
    assert!(rt.threads() <= before + 2);
}

fn distinct(threads: impl IntoIterator<Item = std::thread::ThreadId>) -> usize {
    threads.into_iter().collect::<std::collections::HashSet<_>>().len()
}

/// Yields for a while; answers the thread.
fn polite() -> std::thread::ThreadId {
    (0..20).for_each(|_| yield_now());
    std::thread::current().id()
}

#[test]
fn few_tasks_have_threads_of_their_own_and_a_crowd_shares_the_one_that_is_there() {
    let rt = sharing(1, 8);
    let run = |tasks: u64| {
        let root = rt.spawn_fn(Intent::batch(), move || {
            let begun = Arc::new(AtomicU64::new(0));
            let child = || {
                let begun = begun.clone();
                spawn_fn(Intent::batch(), move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    while begun.load(Ordering::Relaxed) < tasks {
                        yield_now();
                    }
                    polite()
                })
            };
            let all: Vec<_> = (0..tasks).map(|_| child().unwrap()).collect();
            distinct(all.into_iter().map(|task| task.join().unwrap()))
        });
        root.unwrap().join().unwrap()
    };
    assert_eq!(run(5), 5);
    // The root's, and another one if the root was preempted in the middle of something.
    assert!(run(200) <= 2);
    assert_eq!(run(5), 5);
}

#[test]
fn nobody_joins_one_that_was_preempted_in_mid_run() {
    let rt = sharing(1, 8);
    let crowd: Vec<_> = (0..12)
        .map(|_| {
            // SAFETY: it only waits.
            let task = unsafe { rt.task(Intent::interactive(5_000)).shared() };
            task.spawn(dis_runtime::park).unwrap()
        })
        .collect();
    let hog = |time: Duration| {
        let child = move || {
            spin(time);
            let children: Vec<_> = (0..4).map(|_| spawn_fn(Intent::batch(), polite).unwrap()).collect();
            while !children.iter().all(JoinHandle::is_finished) {
                yield_now();
            }
            let here = std::thread::current().id();
            children.into_iter().map(|task| task.join().unwrap()).filter(|&id| id == here).count()
        };
        rt.spawn_fn(Intent::batch(), child).unwrap()
    };
    // Alone it is never preempted, so all four join it.
    assert_eq!(hog(Duration::ZERO).join().unwrap(), 4);
    let other = rt.spawn_fn(Intent::batch(), || spin(Duration::from_millis(60))).unwrap();
    assert_eq!(hog(Duration::from_millis(60)).join().unwrap(), 0);
    other.join().unwrap();
    for task in crowd {
        task.unpark();
        task.join().unwrap();
    }
}
