//! Quick figures: yield, spawn + join, wake-up under hogs, preemption. `measure yield TASKS`, `measure spawn WORKERS` and
//! `measure flat WORKERS` do one of them, for profilers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, sleep, spawn_fn, task, yield_now};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(what) = arguments.first() {
        let number = arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(1);
        match what.as_str() {
            "yield" => yields(number),
            "spawn" => spawn_join(number as usize, 100_000),
            "flat" => spawn_join_flat(number as usize, 100_000),
            _ => eprintln!("yield TASKS | spawn WORKERS | flat WORKERS"),
        }
        return;
    }
    for _ in 0..3 {
        yields(1);
    }
    yields(2);
    yields(1000);
    for workers in [1, 2] {
        spawn_join(workers, 100_000);
        spawn_join_flat(workers, 100_000);
    }
    spawn_from_outside();
    wake_under_hogs();
    hogs();
    parked();
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

fn yields(tasks: u64) {
    let rt = runtime(1);
    let total = 4_000_000 / tasks;
    let took = rt
        .spawn_fn(Intent::interactive(1000), move || {
            let start = Instant::now();
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    // SAFETY: the closure uses no thread-local.
                    unsafe { task(Intent::interactive(1000)).shared() }
                        .spawn(move || {
                            for _ in 0..total {
                                yield_now();
                            }
                        })
                        .unwrap()
                })
                .collect();
            all.into_iter().for_each(|t| t.join().unwrap());
            start.elapsed()
        })
        .unwrap()
        .join()
        .unwrap();
    println!("{} signals", rt.preemption_signals());
    println!("yield, {tasks} tasks: {:.1} ns", took.as_nanos() as f64 / (total * tasks) as f64);
}

fn spawn_join(workers: usize, n: u32) {
    let rt = runtime(workers);
    let took = rt
        .spawn_fn(Intent::batch(), move || {
            let start = Instant::now();
            for i in 0..n {
                assert_eq!(spawn_fn(Intent::batch(), move || i).unwrap().join().unwrap(), i);
            }
            start.elapsed()
        })
        .unwrap()
        .join()
        .unwrap();
    println!("spawn + join, one at a time, {workers} workers: {:.0} ns", took.as_nanos() as f64 / f64::from(n));
}

fn spawn_join_flat(workers: usize, n: u32) {
    let rt = runtime(workers);
    let took = rt
        .spawn_fn(Intent::batch(), move || {
            let start = Instant::now();
            let all: Vec<_> = (0..n).map(|i| spawn_fn(Intent::batch(), move || i).unwrap()).collect();
            for (i, task) in all.into_iter().enumerate() {
                assert_eq!(task.join().unwrap(), i as u32);
            }
            start.elapsed()
        })
        .unwrap()
        .join()
        .unwrap();
    println!("spawn + join, {n} flat, {workers} workers: {:.0} ns", took.as_nanos() as f64 / f64::from(n));
}

fn spawn_from_outside() {
    let rt = runtime(2);
    let n = 20_000;
    let start = Instant::now();
    for i in 0..n {
        assert_eq!(rt.spawn_fn(Intent::batch(), move || i).unwrap().join().unwrap(), i);
    }
    println!("spawn + join from a thread: {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(n));
}

fn wake_under_hogs() {
    let rt = runtime(2);
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let stop = stop.clone();
        rt.spawn_fn(Intent::batch(), move || while !stop.load(Ordering::Relaxed) {}).unwrap();
    }
    let mut late = rt
        .spawn_fn(Intent::interactive(1000), || {
            (0..2000)
                .map(|_| {
                    let before = Instant::now();
                    sleep(Duration::from_millis(1));
                    before.elapsed().as_nanos() as u64 - 1_000_000
                })
                .collect::<Vec<_>>()
        })
        .unwrap()
        .join()
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    late.sort_unstable();
    let at = |p: f64| late[((late.len() - 1) as f64 * p) as usize] as f64 / 1000.0;
    println!("wake-up under 4 hogs: p50 {:.0} p90 {:.0} p99 {:.0} max {:.0} us", at(0.5), at(0.9), at(0.99), at(1.0));
}

fn hogs() {
    let rt = runtime(1);
    let run = |n: u32| {
        let start = Instant::now();
        let all: Vec<_> = (0..n)
            .map(|_| {
                rt.spawn_fn(Intent::batch(), || {
                    let mut x = 1u64;
                    for i in 0..300_000_000u64 {
                        x = std::hint::black_box(x.wrapping_mul(3).wrapping_add(i));
                    }
                    x
                })
                .unwrap()
            })
            .collect();
        for task in all {
            task.join().unwrap();
        }
        start.elapsed() / n
    };
    let before = rt.preemption_signals();
    let alone = run(1);
    let signals_alone = rt.preemption_signals() - before;
    let two = run(2);
    println!(
        "cpu-bound: alone {alone:?} ({signals_alone} signals), two at once {two:?} each, {} signals",
        rt.preemption_signals() - before - signals_alone
    );
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn parked() {
    // SAFETY: the closures use no thread-local.
    let rt = unsafe { Runtime::builder().workers(2).share_beyond(1) }.build().unwrap();
    let before = resident();
    let n = 100_000;
    let start = Instant::now();
    let all: Vec<_> = (0..n).map(|_| rt.spawn_fn(Intent::interactive(5000), dis_runtime::park).unwrap()).collect();
    while rt.stats().context_switches < n as u64 {
        std::thread::sleep(Duration::from_millis(10));
    }
    println!(
        "{n} parked tasks: {} bytes each, {} ns each",
        (resident() - before) / n,
        start.elapsed().as_nanos() / n as u128
    );
    all.iter().for_each(|task| task.unpark());
    all.into_iter().for_each(|task| task.join().unwrap());
}
