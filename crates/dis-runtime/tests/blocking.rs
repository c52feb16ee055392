//! Tasks that block their kernel thread do not take the CPU with them, and are not interrupted. Each test that could pass
//! without the hand-over runs once without it, and sees that it fails then.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use dis_runtime::{BlockingWatch, CpuMask, Intent, JoinError, OsPolicy, Runtime, sleep, task, yield_now};

fn runtime(workers: usize, watch: bool) -> Runtime {
    let rt = Runtime::builder().workers(workers).watch_blocking(watch).build().unwrap();
    assert_eq!(rt.blocking_watch(), if watch { BlockingWatch::On } else { BlockingWatch::Off });
    rt
}

/// The machine's CPU of a worker, as an affinity.
fn cpu(rt: &Runtime, worker: usize) -> CpuMask {
    CpuMask::single(rt.cpus()[worker])
}

/// Waits in the kernel for something to read; how often the call was interrupted.
fn poll(file: &impl AsRawFd, interrupted: &AtomicU64) {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    while unsafe { libc::poll(&mut poll, 1, -1) } != 1 {
        interrupted.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sleeps in the kernel as a C library would; false if the call was interrupted.
fn nanosleep(duration: Duration) -> bool {
    let time = libc::timespec { tv_sec: 0, tv_nsec: duration.as_nanos() as libc::c_long };
    // SAFETY: valid; the rest is not wanted.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) == 0 }
}

fn gettid() -> i32 {
    // SAFETY: always succeeds.
    unsafe { libc::gettid() }
}

/// Waits until the thread whose id that will be has begun, and sleeps in the kernel.
fn until_asleep(tid: &AtomicI32) {
    loop {
        let path = format!("/proc/self/task/{}/stat", tid.load(Ordering::SeqCst));
        if std::fs::read_to_string(path).is_ok_and(|stat| stat.contains(") S ")) {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Computes for a while without calling the runtime.
fn compute(duration: Duration) {
    let end = dis_runtime::now() + duration.into();
    while dis_runtime::now() < end {
        std::hint::spin_loop();
    }
}

/// Whether `holds` does at one of ten times. While other processes keep a watcher from running, which is of the idle class, a call is
/// interrupted, or returns unseen; if nobody watched, that would be so each time.
fn soon(holds: impl FnMut(u32) -> bool) -> bool {
    (0..10).any(holds)
}

/// On each worker a task waits in `poll` while others come and go. Answers how often the polls were interrupted, and how often one was
/// displaced.
fn pollers(watch: bool) -> (u64, u64) {
    let rt = runtime(2, watch);
    let interrupted = Arc::new(AtomicU64::new(0));
    let mut writers = Vec::new();
    let mut pollers = Vec::new();
    let mut others = Vec::new();
    for worker in 0..2 {
        let (reader, writer) = std::io::pipe().unwrap();
        let count = interrupted.clone();
        let poller = rt.task(Intent::batch()).affinity(cpu(&rt, worker));
        pollers.push(poller.spawn(move || poll(&reader, &count)).unwrap());
        writers.push(writer);
        for intent in [Intent::interactive(1000), Intent::batch(), Intent::background()] {
            let other = rt.task(intent).affinity(cpu(&rt, worker));
            others.push(
                other
                    .spawn(|| {
                        for _ in 0..20 {
                            compute(Duration::from_micros(300));
                            sleep(Duration::from_micros(700));
                        }
                    })
                    .unwrap(),
            );
        }
    }
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(pollers.iter().all(|poller| !poller.is_finished()));
    let displacements = rt.displacements();
    drop(writers);
    let poll_hup = pollers.into_iter().map(|poller| poller.join());
    assert!(poll_hup.collect::<Result<Vec<_>, _>>().is_ok());
    (interrupted.load(Ordering::SeqCst), displacements)
}

#[test]
fn others_go_on_beside_tasks_that_block_and_do_not_interrupt_them() {
    let holds = soon(|_| {
        let ((with, displacements), (without, _)) = (pollers(true), pollers(false));
        println!(
            "{with} polls interrupted, {displacements} displacements; without the hand-over {without} interrupted"
        );
        with * 5 <= without && displacements >= 2
    });
    assert!(holds);
}

/// A task blocks alone on its worker, where nothing is watched, until 50 others have come; how often its call was interrupted.
fn alone(watch: bool) -> u64 {
    let rt = runtime(1, watch);
    let (reader, writer) = std::io::pipe().unwrap();
    let interrupted = Arc::new(AtomicU64::new(0));
    let (count, tid) = (interrupted.clone(), Arc::new(AtomicI32::new(0)));
    let begins = tid.clone();
    let poller = rt.spawn_fn(Intent::batch(), move || {
        begins.store(gettid(), Ordering::SeqCst);
        poll(&reader, &count);
    });
    let poller = poller.unwrap();
    for round in 0..50 {
        until_asleep(&tid);
        assert_eq!(rt.spawn_fn(Intent::batch(), move || round).unwrap().join().unwrap(), round);
    }
    assert!(watch == (rt.displacements() > 0));
    drop(writer);
    poller.join().unwrap();
    interrupted.load(Ordering::SeqCst)
}

/// It is found when another one comes. A kick that finds it awake, interrupted before, may interrupt it once more.
#[test]
fn a_task_that_blocks_alone_is_found_by_who_comes() {
    let holds = soon(|_| {
        let (with, without) = (alone(true), alone(false));
        println!("{with} interruptions, without the hand-over {without}");
        without > 10 && with * 5 <= without
    });
    assert!(holds);
}

/// Many short sleeps in the kernel between tasks that compute; how many of them were interrupted.
fn sleepers(watch: bool) -> (u64, u64) {
    const SLEEPS: u64 = 100;
    let rt = runtime(2, watch);
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            rt.spawn_fn(Intent::batch(), move || while !stop.load(Ordering::Relaxed) {}).unwrap()
        })
        .collect();
    let sleepers: Vec<_> = (0..4)
        .map(|n: u64| {
            let sleeper = move || {
                (0..SLEEPS).filter(|i| !nanosleep(Duration::from_micros(500 + 300 * (n + i % 5)))).count() as u64
            };
            rt.spawn_fn(if n.is_multiple_of(2) { Intent::batch() } else { Intent::interactive(1000) }, sleeper).unwrap()
        })
        .collect();
    let interrupted = sleepers.into_iter().map(|sleeper| sleeper.join().unwrap()).sum();
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    println!("watch {watch}: {interrupted} of {} sleeps interrupted, {} displacements", 4 * SLEEPS, rt.displacements());
    (interrupted, 4 * SLEEPS)
}

/// A timer may expire in the microseconds before the hand-over, so not quite never.
#[test]
fn sleeps_in_the_kernel_are_exact() {
    let holds = soon(|_| {
        let (interrupted, all) = sleepers(true);
        interrupted * 20 <= all
    });
    assert!(holds);
}

/// Tasks that only compute are never taken for blocked.
#[test]
fn who_computes_is_not_displaced() {
    let rt = runtime(2, true);
    let hogs: Vec<_> =
        (0..6).map(|_| rt.spawn_fn(Intent::batch(), || compute(Duration::from_millis(60))).unwrap()).collect();
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    assert_eq!(rt.displacements(), 0);
    assert!(rt.preemption_signals() > 0);
}

/// The owner of a std mutex is preempted while it holds it: those that wait are displaced, and others run.
#[test]
fn waiters_for_a_std_mutex_do_not_keep_the_worker() {
    let rt = runtime(1, true);
    let work = rt.spawn_fn(Intent::batch(), || {
        let shared = Arc::new(Mutex::new(0u64));
        let other = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let shared = shared.clone();
            tasks.push(dis_runtime::spawn_fn(Intent::batch(), move || {
                for _ in 0..10 {
                    let mut guard = shared.lock().unwrap();
                    let before = *guard;
                    compute(Duration::from_millis(2));
                    *guard = before + 1;
                }
            }));
        }
        let count = other.clone();
        tasks.push(dis_runtime::spawn_fn(Intent::interactive(1000), move || {
            for _ in 0..30 {
                sleep(Duration::from_millis(1));
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
        tasks.into_iter().for_each(|task| task.unwrap().join().unwrap());
        (*shared.lock().unwrap(), other.load(Ordering::Relaxed))
    });
    assert_eq!(work.unwrap().join().unwrap(), (40, 30));
    assert!(rt.displacements() > 0);
}

/// A task that computes on after its call, without calling the runtime, is a task of the scheduler's again soon.
#[test]
fn a_thread_without_a_role_is_caught() {
    let rt = runtime(1, true);
    let stop = Arc::new(AtomicBool::new(false));
    let go = Arc::new(AtomicBool::new(false));
    let flags = (stop.clone(), go.clone());
    let stray = rt.spawn_fn(Intent::batch(), move || {
        while !flags.1.load(Ordering::Relaxed) {
            nanosleep(Duration::from_millis(2));
        }
        while !flags.0.load(Ordering::Relaxed) {}
    });
    while rt.displacements() == 0 {
        rt.spawn_fn(Intent::batch(), || compute(Duration::from_micros(50))).unwrap().join().unwrap();
    }
    go.store(true, Ordering::Relaxed);
    let stray = Arc::new(stray.unwrap());
    let (seen, watched) = (stray.clone(), stop.clone());
    let watcher = rt.spawn_fn(Intent::batch(), move || {
        let start = seen.scheduler_stats().unwrap().cpu_time;
        while seen.scheduler_stats().unwrap().cpu_time < start + 20_000_000 {
            compute(Duration::from_micros(100));
        }
        watched.store(true, Ordering::Relaxed);
    });
    watcher.unwrap().join().unwrap();
    drop(stop);
}

/// What happens to a task that is blocked happens to it when its call has returned.
#[test]
fn a_blocked_task_is_aborted_when_its_call_returns() {
    let rt = runtime(1, true);
    let (mut rounds, mut waited) = (0, 0);
    // A call that the abort itself interrupts, as it finds the thread awake, does not show it.
    while rounds < 500 && waited < 20 {
        rounds += 1;
        let displacements = rt.displacements();
        let (reader, writer) = std::io::pipe().unwrap();
        let tid = Arc::new(AtomicI32::new(0));
        let begins = tid.clone();
        let task = rt.spawn_fn(Intent::batch(), move || {
            begins.store(gettid(), Ordering::SeqCst);
            poll(&reader, &AtomicU64::new(0));
            loop {
                sleep(Duration::from_millis(1));
            }
        });
        let task = task.unwrap();
        until_asleep(&tid);
        task.abort();
        // Who comes looks at the task that is there.
        rt.spawn_fn(Intent::batch(), || sleep(Duration::from_micros(500))).unwrap().join().unwrap();
        waited += i32::from(rt.displacements() > displacements && !task.is_finished());
        drop(writer);
        assert!(matches!(task.join(), Err(JoinError::Aborted)));
    }
    assert!(waited == 20, "{waited} of {rounds} waited for their calls");
}

/// A task may end right after its call, wake others, panic, be joined by a task on the same worker.
#[test]
fn a_task_ends_after_it_was_displaced() {
    let rt = runtime(1, true);
    let displaced = soon(|time| {
        // Longer each time, so that the watcher gets to see it.
        let call = Duration::from_micros(200) * (1 << time);
        let parent = rt.spawn_fn(Intent::batch(), move || {
            for round in 0..60u64 {
                let child = task(Intent::batch()).spawn(move || {
                    nanosleep(call);
                    if round % 3 == 0 {
                        std::panic::resume_unwind(Box::new(round));
                    }
                    round
                });
                let child = child.unwrap();
                let busy = dis_runtime::spawn_fn(Intent::batch(), || compute(Duration::from_micros(100))).unwrap();
                match child.join() {
                    Ok(value) => assert!(value == round && round % 3 != 0),
                    Err(JoinError::Panic(payload)) => assert_eq!(payload.downcast_ref::<u64>(), Some(&round)),
                    Err(JoinError::Aborted) => panic!("nobody aborts it"),
                }
                busy.join().unwrap();
            }
        });
        parent.unwrap().join().unwrap();
        rt.displacements() > 0
    });
    assert!(displaced);
}

#[test]
fn a_runtime_is_shut_down_beside_a_blocked_task() {
    let rt = runtime(1, true);
    let (reader, writer) = std::io::pipe().unwrap();
    let interrupted = Arc::new(AtomicU64::new(0));
    let count = interrupted.clone();
    let (begins, begun) = std::sync::mpsc::channel();
    let calls = move || {
        begins.send(()).unwrap();
        poll(&reader, &count)
    };
    let blocked = rt.spawn_fn(Intent::batch(), calls).unwrap();
    let parked = rt.spawn_fn(Intent::batch(), dis_runtime::park).unwrap();
    begun.recv().unwrap(); // One that has not begun could be ended at once.
    assert!(!rt.shutdown(Duration::from_millis(20)), "the call has not returned");
    assert!(parked.join().is_err(), "what can end has ended");
    assert!(!blocked.is_finished());
    drop(writer);
    assert!(blocked.join().is_ok());
}

/// With SCHED_FIFO a thread whose call returns gets the CPU although a task computes on there for ever.
#[test]
fn a_blocked_thread_comes_back_past_a_hog_under_fifo() {
    let rt = Runtime::builder().workers(1).fifo(2).build().unwrap();
    if rt.os_policy() != OsPolicy::Fifo(2) {
        return eprintln!("SCHED_FIFO is not permitted here");
    }
    let displaced = soon(|time| {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let blocked = rt.spawn_fn(Intent::batch(), move || {
            for _ in 0..20 {
                nanosleep(Duration::from_millis(3 << time));
                yield_now();
            }
            flag.store(true, Ordering::Relaxed);
        });
        let hog = rt.spawn_fn(Intent::batch(), move || while !stop.load(Ordering::Relaxed) {});
        blocked.unwrap().join().unwrap();
        hog.unwrap().join().unwrap();
        rt.displacements() > 0
    });
    assert!(displaced);
    let policy = rt.spawn_fn(Intent::batch(), || {
        let mut param = libc::sched_param { sched_priority: 0 };
        // SAFETY: `param` is valid.
        unsafe { libc::sched_getparam(0, &mut param) };
        param.sched_priority
    });
    assert_eq!(policy.unwrap().join().unwrap(), 2);
}

#[test]
fn blocking_closures_have_threads_of_their_own() {
    let rt = runtime(1, true);
    // All of them are blocked in the kernel until the last one comes, on one worker.
    let barrier = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let barrier = barrier.clone();
            rt.spawn_blocking(Intent::background(), move || {
                barrier.wait();
                (n, std::thread::current().id())
            })
        })
        .collect();
    let ends: Vec<_> = tasks.into_iter().map(|task| task.unwrap().join().unwrap()).collect();
    let threads: std::collections::HashSet<_> = ends.iter().map(|end| end.1).collect();
    assert!(ends.iter().enumerate().all(|(n, end)| end.0 == n));
    assert_eq!(threads.len(), 8);
}
