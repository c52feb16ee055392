//! How long a CPU stands still when a task blocks in the kernel, how late the task comes back, and what watching for that costs where
//! nothing blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_bench::child::Values;
use dis_bench::compare::{Case, compare};
use dis_bench::measure::{monotonic_ns, per_op, percentile, pin_to};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::sync::Event;
use dis_runtime::{CpuMask, Intent, Runtime, yield_now};

/// Calls that block in a round, and how long each does, ns.
const CALLS: usize = 1_000;
const BLOCKED: u64 = 300_000;
const YIELDS: u64 = 2_000_000;
const HOPS: u64 = 20_000;
const CPU: usize = 0;

/// What both sides tell each other.
#[derive(Default)]
struct Scene {
    /// When the one that blocks did so; 0: the other has seen that it runs.
    blocked_at: AtomicU64,
    stop: AtomicBool,
}

/// Blocks again and again; how late it goes on each time.
fn blocker(scene: &Scene, mut back: impl FnMut()) -> Vec<u64> {
    let mut late = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let now = monotonic_ns();
        let due = now + BLOCKED;
        let time = libc::timespec { tv_sec: (due / 1_000_000_000) as _, tv_nsec: (due % 1_000_000_000) as _ };
        scene.blocked_at.store(now, Ordering::SeqCst);
        // SAFETY: the time is valid. Absolute, so that an interruption only makes it look again.
        while unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) }
            != 0
        {}
        back();
        late.push(monotonic_ns() - due);
        // The other one has seen it, or never ran.
        scene.blocked_at.store(0, Ordering::SeqCst);
    }
    scene.stop.store(true, Ordering::SeqCst);
    late
}

/// Computes; how long after each block it noticed that it has the CPU.
fn runner(scene: &Scene) -> Vec<u64> {
    let mut took = Vec::with_capacity(CALLS);
    while !scene.stop.load(Ordering::SeqCst) {
        let at = scene.blocked_at.load(Ordering::SeqCst);
        if at != 0 && scene.blocked_at.compare_exchange(at, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            took.push(monotonic_ns() - at);
        }
    }
    took
}

fn values(mut took: Vec<u64>, mut late: Vec<u64>) -> Values {
    took.sort_unstable();
    late.sort_unstable();
    let us = |sorted: &[u64], p| percentile(sorted, p) as f64 / 1000.0;
    Values::from([
        ("noticed".to_owned(), 100.0 * took.len() as f64 / CALLS as f64),
        ("next p50".to_owned(), us(&took, 0.5)),
        ("next p99".to_owned(), us(&took, 0.99)),
        ("back p50".to_owned(), us(&late, 0.5)),
        ("back p99".to_owned(), us(&late, 0.99)),
    ])
}

fn dis_block(watch: bool) -> Values {
    let rt = Runtime::builder().cpus(CpuMask::single(CPU)).watch_blocking(watch).build().expect("a runtime");
    let scene = Arc::new(Scene::default());
    let (ours, theirs) = (scene.clone(), scene);
    let runner = rt.spawn_fn(Intent::batch(), move || runner(&theirs)).expect("a task");
    let blocker = rt.spawn_fn(Intent::interactive(500), move || blocker(&ours, yield_now)).expect("a task");
    let late = blocker.join().expect("no panic");
    values(runner.join().expect("no panic"), late)
}

fn dis_watched(_: &[String]) -> Values {
    dis_block(true)
}

fn dis_unwatched(_: &[String]) -> Values {
    dis_block(false)
}

fn threads(_: &[String]) -> Values {
    let scene = Arc::new(Scene::default());
    let theirs = scene.clone();
    let runner = std::thread::spawn(move || {
        pin_to(CPU);
        runner(&theirs)
    });
    pin_to(CPU);
    // SAFETY: no memory is passed. As the runtime's threads have it.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let late = blocker(&scene, || {});
    values(runner.join().expect("no panic"), late)
}

/// Two tasks that yield to each other on one worker, then two that wake each other on two workers beside tasks that compute.
fn dis_cost(watch: bool) -> Values {
    let build = || Runtime::builder().watch_blocking(watch);
    let one = build().cpus(CpuMask::single(CPU)).build().expect("a runtime");
    let yields = || (0..YIELDS / 2).for_each(|_| yield_now());
    let spawn = || {
        // SAFETY: nothing is kept in thread-locals.
        unsafe { one.task(Intent::batch()).shared() }.spawn(yields).expect("a task")
    };
    let yielding = per_op(YIELDS, || [spawn(), spawn()].into_iter().for_each(|task| task.join().expect("no panic")));
    drop(one);
    let two = build().workers(2).build().expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            two.spawn_fn(Intent::batch(), move || while !stop.load(Ordering::Relaxed) {}).expect("a task")
        })
        .collect();
    let events = Arc::new([Event::automatic(), Event::automatic()]);
    let side = |me: usize| {
        let events = events.clone();
        let intent = Intent::interactive(500);
        let task = two.task(intent).affinity(CpuMask::single(two.cpus()[me]));
        let body = move || {
            for _ in 0..HOPS / 2 {
                events[me].wait();
                events[1 - me].set();
            }
        };
        task.spawn(body).expect("a task")
    };
    let hop = per_op(HOPS, || {
        let sides = [side(0), side(1)];
        events[0].set();
        sides.into_iter().for_each(|side| side.join().expect("no panic"));
    });
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().expect("no panic"));
    Values::from([
        ("yield".to_owned(), yielding),
        ("hop".to_owned(), hop / 1000.0),
        ("displaced".to_owned(), two.displacements() as f64),
    ])
}

fn cost_watched(_: &[String]) -> Values {
    dis_cost(true)
}

fn cost_unwatched(_: &[String]) -> Values {
    dis_cost(false)
}

const BLOCKERS: &[Candidate] = &[
    Candidate { name: "block: dis", run: dis_watched },
    Candidate { name: "block: dis, not watched", run: dis_unwatched },
    Candidate { name: "block: two threads on one CPU", run: threads },
];

const COSTS: &[Candidate] = &[
    Candidate { name: "cost: dis", run: cost_watched },
    Candidate { name: "cost: dis, not watched", run: cost_unwatched },
];

fn main() {
    let options = Options::from_args();
    // Of two tables, the one that has the candidate.
    let child = options.child.as_deref();
    let blocks = child.is_some_and(|child| child.first().is_some_and(|name| name.starts_with("block")));
    Runner::serve(child, if blocks { BLOCKERS } else { COSTS });
    let mut report = Report::begin("blocking", "tasks that block in the kernel", &options);
    let case = || Case { name: "", parameters: vec![], go: None, without: &[] };
    let runner = Runner { limit: Duration::from_secs(20) };
    let rounds = options.rounds(8);
    let columns = |report: &mut Report, who: &str, values: &Values, columns: &[(&str, &'static str)]| {
        for (name, column) in columns {
            if let Some(&value) = values.get(*name) {
                report.push(who, column, value);
            }
        }
    };
    compare(&options, &mut report, &runner, BLOCKERS, &[case()], rounds, |report, who, _, values| {
        let names = [
            ("next p50", "next task runs, p50, µs"),
            ("next p99", "next task runs, p99, µs"),
            ("noticed", "calls in which it did, %"),
            ("back p50", "goes on late, p50, µs"),
            ("back p99", "goes on late, p99, µs"),
        ];
        columns(report, who, &values, &names);
    });
    compare(&options, &mut report, &runner, COSTS, &[case()], rounds, |report, who, _, values| {
        let names = [
            ("yield", "yield, ns"),
            ("hop", "wake on the other CPU past a hog, µs"),
            ("displaced", "taken for blocked"),
        ];
        columns(report, who, &values, &names);
    });
    let next = report.median(BLOCKERS[0].name, "next task runs, p50, µs");
    report.check("from blocking to the next task's first instruction, p50, µs", next, 50.0);
    for column in ["yield, ns", "wake on the other CPU past a hog, µs"] {
        let ratio = report.median(COSTS[0].name, column).zip(report.median(COSTS[1].name, column));
        let ratio = ratio.map(|(with, without)| with / without);
        report.check(&format!("{column}: with the watch to without"), ratio, 1.1);
    }
    let wrong = report.median(COSTS[0].name, "taken for blocked");
    report.check("tasks that compute taken for blocked", wrong, 0.0);
    report.finish(&options);
}
