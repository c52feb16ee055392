//! A worker that computes looks whether the thread that serves tokio's sockets and timers waits for its CPU.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dis_runtime::{Builder, CpuMask, Intent, Runtime};

/// The process may use one CPU only from now on; which.
fn one_cpu() -> usize {
    // SAFETY: the set is valid for its length.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let cpu = libc::sched_getcpu() as usize;
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set), 0);
        cpu
    }
}

/// Makes the reactor the least of all threads (SCHED_IDLE): then Linux never lets it preempt the worker when it wakes.
fn make_least(name: &str) {
    let of = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let comm = fs::read_to_string(path.join("comm")).ok()?;
        (comm.trim() == name).then(|| path.file_name()?.to_str()?.parse::<i32>().ok())?
    };
    let tid = fs::read_dir("/proc/self/task").unwrap().find_map(of).expect("the reactor's thread");
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is valid.
    assert_eq!(unsafe { libc::sched_setscheduler(tid, libc::SCHED_IDLE, &parameters) }, 0);
}

/// How many timers of tokio's end, one after the other, while a poll that never yields holds the only worker; how often the worker
/// found the reactor waiting, and how often that then ran.
fn ends(rt: Builder, cpu: usize, name: &str) -> (u64, (u64, u64)) {
    let rt = rt.name(name).workers(1).cpus(CpuMask::single(cpu)).build().unwrap();
    make_least(&format!("{name}-tokio"));
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let ends = stop.clone();
    let hog = rt.spawn(Intent::batch(), async move {
        while !ends.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let counts = count.clone();
    let timers = rt.spawn(Intent::interactive(500), async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            counts.fetch_add(1, Ordering::Relaxed);
        }
    });
    thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    hog.unwrap().join().unwrap();
    timers.unwrap().abort();
    let text = rt.prometheus();
    let counter = |name| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap();
    (count.load(Ordering::Relaxed), (counter("dis_reactor_waits_total "), counter("dis_reactor_runs_total ")))
}

/// How much less the reactor waits is for `examples/http-service/compare.py` to show; here, that its waits are found, and that the worker
/// lets it run then.
#[test]
fn a_worker_that_computes_finds_the_reactor_waiting_and_lets_it_run() {
    let cpu = one_cpu();
    let (without, never) = ends(Runtime::builder().tokio_look_every(Duration::ZERO), cpu, "w");
    assert_eq!(never, (0, 0));
    // Other processes on this CPU hold up the reactor too.
    for round in 0..5 {
        let (with, (found, run)) = ends(Runtime::builder().tokio(), cpu, &format!("l{round}"));
        eprintln!(
            "{without} timers ended without looking, {with} with; {found} waits found, {run} ended while the worker waited"
        );
        if found > 10 && run * 5 > found && with > 0 {
            return;
        }
    }
    panic!("a worker did not find the reactor waiting, or did not let it run");
}
