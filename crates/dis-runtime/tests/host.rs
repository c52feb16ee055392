//! The runtime and its host: policies of the operating system, tasks that outlive it, very many tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::{BuildError, Intent, OsPolicy, Runtime};

/// The calling thread's policy and priority.
fn policy() -> (i32, i32) {
    let mut param = libc::sched_param { sched_priority: -1 };
    // SAFETY: `param` is valid.
    let policy = unsafe {
        libc::sched_getparam(0, &mut param);
        libc::sched_getscheduler(0)
    };
    (policy & !libc::SCHED_RESET_ON_FORK, param.sched_priority)
}

/// Whether this process may use SCHED_FIFO with that priority, tried on another thread.
fn may_be_fifo(priority: i32) -> bool {
    let attempt = move || {
        let param = libc::sched_param { sched_priority: priority };
        // SAFETY: `param` is valid.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param) == 0 }
    };
    std::thread::spawn(attempt).join().unwrap()
}

/// The policies under which tasks of several classes run, one of them on a thread that is made after the start.
fn policies(rt: &Runtime) -> Vec<(i32, i32)> {
    let mut tasks = Vec::new();
    for intent in [Intent::system(), Intent::interactive(1000), Intent::batch(), Intent::background()] {
        for dedicated in [false, true] {
            let task = rt.task(intent.clone());
            let task = if dedicated { task.dedicated() } else { task };
            let body = || {
                dis_runtime::sleep(Duration::from_millis(5));
                policy()
            };
            tasks.push(task.spawn(body).unwrap());
        }
    }
    tasks.into_iter().map(|task| task.join().unwrap()).collect()
}

#[test]
fn workers_are_ordinary_threads_unless_asked() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(rt.os_policy(), OsPolicy::Ordinary);
    let own = policy();
    assert!(policies(&rt).iter().all(|policy| *policy == own));
}

#[test]
fn fifo_workers_if_permitted() {
    let rt = Runtime::builder().workers(2).fifo(7).build().unwrap();
    let (expected, permitted) = (policies(&rt), may_be_fifo(7));
    println!("SCHED_FIFO permitted: {permitted}; {:?}", rt.os_policy());
    if permitted {
        assert_eq!(rt.os_policy(), OsPolicy::Fifo(7));
        assert!(expected.iter().all(|policy| *policy == (libc::SCHED_FIFO, 7)), "{expected:?}");
    } else {
        assert_eq!(rt.os_policy(), OsPolicy::FifoRefused);
        assert!(expected.iter().all(|found| *found == policy()), "{expected:?}");
    }
    assert_eq!(policy().0, libc::SCHED_OTHER, "the builder's own thread keeps its policy");
    let impossible = Runtime::builder().workers(1).fifo(1000).build().unwrap();
    assert_eq!(impossible.os_policy(), OsPolicy::FifoRefused);
    assert_eq!(impossible.spawn_fn(Intent::batch(), policy).unwrap().join().unwrap(), policy());
}

/// Neither `drop` nor `shutdown` waits for ever for a task that cannot be ended. Its thread goes on, with all that it
/// uses, and its handle still gives its result.
#[test]
fn a_runtime_ends_although_a_hog_never_yields() {
    for dropped in [true, false] {
        let rt = Runtime::builder().workers(2).build().unwrap();
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (flag, count) = (stop.clone(), turns.clone());
        let hog = rt.spawn_fn(Intent::batch(), move || {
            while !flag.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            count.load(Ordering::Relaxed)
        });
        let hog = hog.unwrap();
        let parked = rt.spawn_fn(Intent::interactive(1000), dis_runtime::park).unwrap();
        while turns.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        if dropped {
            drop(rt);
        } else {
            assert!(!rt.shutdown(Duration::from_millis(50)), "the hog has not ended");
        }
        // What can be ended ends.
        while !parked.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let now = turns.load(Ordering::Relaxed);
        while turns.load(Ordering::Relaxed) < now + 1000 {
            std::thread::yield_now();
        }
        assert!(!hog.is_finished() && hog.stats().is_some());
        stop.store(true, Ordering::Relaxed);
        assert!(hog.join().unwrap() > 0);
    }
}

/// Resident bytes of the process.
#[cfg(not(debug_assertions))]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// In optimised builds only: it takes long otherwise.
#[cfg(not(debug_assertions))]
#[test]
fn a_hundred_thousand_parked_tasks() {
    const TASKS: usize = 100_000;
    // SAFETY: the closure keeps nothing in thread-locals.
    let rt = unsafe { Runtime::builder().workers(2).share_beyond(64) }.build().unwrap();
    let before = resident();
    let parked = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|i| {
            let parked = parked.clone();
            let body = move || {
                parked.fetch_add(1, Ordering::Relaxed);
                dis_runtime::park();
                i
            };
            rt.spawn_fn(Intent::interactive(5000), body).unwrap()
        })
        .collect();
    while parked.load(Ordering::Relaxed) < TASKS as u64 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let each = (resident() - before) / TASKS;
    println!("{TASKS} parked tasks: {each} resident bytes each, {} threads", rt.threads());
    assert_eq!(rt.live_tasks(), TASKS);
    assert!(each < 16 * 1024, "{each} bytes each");
    for (i, task) in tasks.into_iter().enumerate() {
        task.unpark();
        assert_eq!(task.join().unwrap(), i);
    }
}

#[test]
fn signals_that_faults_raise_do_not_preempt() {
    for signal in [libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGSYS]
    {
        let refused = Runtime::builder().workers(1).signal(signal).build();
        assert!(matches!(refused, Err(BuildError::BadSignal(n)) if n == signal), "{refused:?}");
    }
    for signal in [0, -1, libc::SIGKILL, libc::SIGSTOP, 32, 65] {
        assert!(matches!(Runtime::builder().workers(1).signal(signal).build(), Err(BuildError::BadSignal(_))));
    }
}

/// The handler of SIGSEGV is installed once, and may be interrupted by none of the signals that a later runtime may use.
#[test]
fn the_overflow_handler_blocks_every_preemption_signal() {
    let one = Runtime::builder().workers(1).build().unwrap();
    let other = Runtime::builder().workers(1).signal(libc::SIGUSR2).build().unwrap();
    other.spawn_fn(Intent::batch(), || ()).unwrap().join().unwrap();
    // SAFETY: all-zero is valid, and a null new action only asks.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGSEGV, std::ptr::null(), &mut action);
        action
    };
    for signal in [libc::SIGURG, libc::SIGUSR2] {
        // SAFETY: the set is valid.
        assert_eq!(unsafe { libc::sigismember(&action.sa_mask, signal) }, 1, "signal {signal}");
    }
    drop((one, other));
}
