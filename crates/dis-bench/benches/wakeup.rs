//! The wake-up of an interactive task each millisecond, while every CPU is held by two tasks that never yield.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, GO, compare, go_parameters, parameters};
use dis_bench::measure::{monotonic_ns, never_yield, percentile};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::{Intent, Runtime, Timestamp};

const PERIOD_NS: u64 = 1_000_000;

/// Parameters: number of workers, number of tasks that never yield, milliseconds.
fn read(p: &[String]) -> (usize, usize, Duration) {
    (parameter(p, 0) as usize, parameter(p, 1) as usize, Duration::from_millis(parameter(p, 2)))
}

/// How late each wake-up was. The period stays on its grid; a wake-up that misses whole periods is one late wake-up.
struct Grid {
    next: u64,
    late: Vec<u64>,
}

impl Grid {
    fn new() -> Grid {
        Grid { next: monotonic_ns() + 5 * PERIOD_NS, late: Vec::with_capacity(1 << 16) }
    }

    /// Notes that the wake-up meant for `self.next` came just now.
    fn woken(&mut self) {
        let now = monotonic_ns();
        self.late.push(now.saturating_sub(self.next));
        while self.next <= now {
            self.next += PERIOD_NS;
        }
    }

    fn values(mut self) -> Values {
        self.late.sort_unstable();
        let mut values = value("count", self.late.len() as f64);
        for (name, p) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            values.insert(name.into(), percentile(&self.late, p) as f64);
        }
        values
    }
}

/// Sleeps are to end when they are due, for all alike; threads inherit it.
fn no_timer_slack() {
    // SAFETY: a call without memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

fn dis(p: &[String]) -> Values {
    no_timer_slack();
    let (workers, hogs, time) = read(p);
    let rt = Runtime::builder().workers(workers).build().expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..hogs {
        let stop = stop.clone();
        rt.spawn_fn(Intent::batch(), move || never_yield(&stop)).expect("a task");
    }
    let ends = stop.clone();
    let interactive = rt.spawn_fn(Intent::interactive(1_000), move || {
        let mut grid = Grid::new();
        while !ends.load(Ordering::Relaxed) {
            dis_runtime::sleep_until(Timestamp::from_nanos(grid.next));
            grid.woken();
        }
        grid
    });
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    interactive.expect("a task").join().expect("no panic").values()
}

/// Ordinary threads; `setup` prepares the interactive one.
fn threads(p: &[String], setup: fn() -> bool) -> Values {
    no_timer_slack();
    let (_, hogs, time) = read(p);
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..hogs {
        let stop = stop.clone();
        std::thread::spawn(move || never_yield(&stop));
    }
    let ends = stop.clone();
    let interactive = std::thread::spawn(move || {
        if !setup() {
            return value("refused", 1.0);
        }
        let mut grid = Grid::new();
        while !ends.load(Ordering::Relaxed) {
            let until = libc::timespec {
                tv_sec: (grid.next / 1_000_000_000) as i64,
                tv_nsec: (grid.next % 1_000_000_000) as i64,
            };
            // SAFETY: `until` is valid; the rest of the time is not asked for.
            unsafe {
                libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, std::ptr::null_mut());
            }
            grid.woken();
        }
        grid.values()
    });
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    interactive.join().expect("no panic")
}

fn eevdf(p: &[String]) -> Values {
    threads(p, || true)
}

fn fifo(p: &[String]) -> Values {
    threads(p, || {
        let parameters = libc::sched_param { sched_priority: 50 };
        // SAFETY: `parameters` is valid.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) == 0 }
    })
}

fn tokio(p: &[String]) -> Values {
    no_timer_slack();
    let (workers, hogs, time) = read(p);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_time().build();
    let rt = rt.expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    let grid = Arc::new(Mutex::new(Grid::new()));
    let (mine, ends) = (grid.clone(), stop.clone());
    rt.spawn(async move {
        while !ends.load(Ordering::Relaxed) {
            let next = mine.lock().expect("no panic").next;
            tokio::time::sleep(Duration::from_nanos(next.saturating_sub(monotonic_ns()))).await;
            // What comes after the end of the others is no wake-up under load.
            if !ends.load(Ordering::Relaxed) {
                mine.lock().expect("no panic").woken();
            }
        }
    });
    std::thread::sleep(Duration::from_millis(3));
    for _ in 0..hogs {
        let stop = stop.clone();
        rt.spawn(async move { never_yield(&stop) });
    }
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    let grid = std::mem::replace(&mut *grid.lock().expect("no panic"), Grid::new());
    std::mem::forget(rt);
    grid.values()
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis", run: dis },
    Candidate { name: "threads, EEVDF, same nice", run: eevdf },
    Candidate { name: "threads, SCHED_FIFO", run: fifo },
    Candidate { name: "tokio, multi_thread", run: tokio },
];

const COLUMNS: [(&str, &str); 4] = [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let title = "wake-up each 1 ms while every CPU is held by two tasks that never yield, µs late";
    let mut report = Report::begin("wakeup", title, &options);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let case = Case {
        name: "hogs",
        parameters: parameters(&[cpus, 2 * cpus, 2_000]),
        go: go_parameters("wakeup", &[2 * cpus, cpus, 2_000]),
        without: &[],
    };
    let runner = Runner { limit: Duration::from_secs(15) };
    let rounds = options.rounds(8);
    compare(&options, &mut report, &runner, CANDIDATES, &[case], rounds, |report, who, _, values| {
        if values.contains_key("refused") {
            report.say(who, "p50", "not permitted");
        } else if values.get("count").is_none_or(|&count| count < 20.0) {
            let count = values.get("count").copied().unwrap_or(0.0);
            report.say(who, "p50", &format!("starved: {count} wake-ups in 2 s"));
        } else {
            for (name, column) in COLUMNS {
                if let Some(&ns) = values.get(name) {
                    report.push(who, column, ns / 1000.0);
                }
            }
        }
    });
    let ratio = |who: &str| report.median("dis", "p99").zip(report.median(who, "p99")).map(|(d, o)| d / o);
    let (eevdf, go) = (ratio("threads, EEVDF, same nice"), ratio(GO));
    report.check("p99 against EEVDF threads: ratio", eevdf, 0.1);
    report.check("p50, µs", report.median("dis", "p50"), 50.0);
    if let Some(go) = go {
        report.note(format!("p99 against Go: ratio {go:.4}"));
    }
    report.note("a round is 2 s; the medians over the rounds are of each round's percentiles");
    report.finish(&options);
}
