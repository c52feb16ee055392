//! A future that ticks each millisecond while four futures that never yield hold two workers: `dis_runtime::future::interval`, and
//! `tokio::time::interval` within DIS, beside tokio, smol and Go.
//!
//! tokio's timers are for the next whole millisecond of its own count, and its thread sleeps for whole milliseconds: between due and
//! woken lies up to one of them whatever the scheduler does. So for those within DIS a row tells how long it took from the wake-up to the
//! poll, which is what the workers' load can lengthen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, GO, compare, go_parameters, parameters};
use dis_bench::measure::{never_yield, percentile};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::future::{self, WAIT_BOUNDS, WaitHistogram};
use dis_runtime::{Intent, Runtime};

const PERIOD: Duration = Duration::from_millis(1);

/// How late each tick was, ns.
#[derive(Default)]
struct Late(Vec<u64>);

impl Late {
    fn note(&mut self, late: Duration) {
        self.0.push(late.as_nanos() as u64);
    }

    fn values(mut self) -> Values {
        self.0.sort_unstable();
        let mut values = value("count", self.0.len() as f64);
        for (name, p) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            values.insert(name.into(), percentile(&self.0, p) as f64);
        }
        values
    }
}

/// Sleeps are to end when they are due, for all alike; threads inherit it.
fn no_timer_slack() {
    // SAFETY: a call without memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Parameters: workers, hogs, milliseconds.
fn read(p: &[String]) -> (usize, usize, Duration) {
    (parameter(p, 0) as usize, parameter(p, 1) as usize, Duration::from_millis(parameter(p, 2)))
}

fn dis(p: &[String], tokios: bool) -> Values {
    no_timer_slack();
    let (workers, hogs, time) = read(p);
    let rt = Runtime::builder().workers(workers).measure_waits(true);
    let rt = if tokios { rt.tokio() } else { rt }.build().expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..hogs {
        let stop = stop.clone();
        drop(rt.spawn(Intent::batch(), async move { never_yield(&stop) }).expect("a task"));
    }
    let ends = stop.clone();
    let ticks = rt.spawn(Intent::interactive(500), async move {
        let mut late = Late::default();
        if tokios {
            let mut ticks = tokio::time::interval(PERIOD);
            while !ends.load(Ordering::Relaxed) {
                late.note(ticks.tick().await.elapsed());
            }
        } else {
            let mut ticks = future::interval(PERIOD);
            while !ends.load(Ordering::Relaxed) {
                let due = ticks.tick().await;
                late.note(dis_runtime::now().since(due).into());
            }
        }
        late
    });
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    let mut values = ticks.expect("a task").join().expect("no panic").values();
    let lanes = rt.lane_stats();
    let interactive = lanes.iter().filter(|lane| lane.class.queue().name() == "interactive");
    let waits = interactive.filter_map(|lane| lane.waits).fold(WaitHistogram::default(), |sum, waits| sum + waits);
    let below: u64 =
        waits.buckets.iter().zip(WAIT_BOUNDS).filter(|bucket| bucket.1 <= BOUND).map(|bucket| bucket.0).sum();
    let all = waits.buckets.iter().sum::<u64>() + waits.beyond;
    values.insert("below".into(), 100.0 * below as f64 / all.max(1) as f64);
    values
}

/// The greatest bound of a bucket below 100 µs.
const BOUND: Duration = WAIT_BOUNDS[3];

fn dis_own(p: &[String]) -> Values {
    dis(p, false)
}

fn dis_tokio(p: &[String]) -> Values {
    dis(p, true)
}

/// Until something other than the executor's own threads says that it is over; ticks that never come are none.
fn until(time: Duration, stop: &AtomicBool, late: &std::sync::Mutex<Late>) -> Values {
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    std::mem::take(&mut *late.lock().expect("no panic")).values()
}

fn tokio(p: &[String]) -> Values {
    no_timer_slack();
    let (workers, hogs, time) = read(p);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_time().build();
    let rt = rt.expect("a runtime");
    let (stop, late) = (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::Mutex::new(Late::default())));
    let (ends, notes) = (stop.clone(), late.clone());
    rt.spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        while !ends.load(Ordering::Relaxed) {
            let due = ticks.tick().await;
            notes.lock().expect("no panic").note(due.elapsed());
        }
    });
    for _ in 0..hogs {
        let stop = stop.clone();
        rt.spawn(async move { never_yield(&stop) });
    }
    let values = until(time, &stop, &late);
    std::mem::forget(rt);
    values
}

static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

fn smol(p: &[String]) -> Values {
    no_timer_slack();
    let (workers, hogs, time) = read(p);
    let (stop, late) = (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::Mutex::new(Late::default())));
    for _ in 0..workers {
        std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
    }
    let (ends, notes) = (stop.clone(), late.clone());
    EXECUTOR
        .spawn(async move {
            let mut due = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                due += PERIOD;
                smol::Timer::at(due).await;
                notes.lock().expect("no panic").note(due.elapsed());
            }
        })
        .detach();
    for _ in 0..hogs {
        let stop = stop.clone();
        EXECUTOR.spawn(async move { never_yield(&stop) }).detach();
    }
    until(time, &stop, &late)
}

const DIS: &str = "dis, interval";
const DIS_TOKIO: &str = "dis, tokio::time";

const CANDIDATES: &[Candidate] = &[
    Candidate { name: DIS, run: dis_own },
    Candidate { name: DIS_TOKIO, run: dis_tokio },
    Candidate { name: "tokio, multi_thread", run: tokio },
    Candidate { name: "smol", run: smol },
];

const COLUMNS: [(&str, &str); 4] = [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let title = "a tick each 1 ms beside four futures that never yield on two workers, µs late";
    let mut report = Report::begin("interval", title, &options);
    let case = Case {
        name: "hogs",
        parameters: parameters(&[2, 4, 2_000]),
        go: go_parameters("wakeup", &[4, 2, 2_000]),
        without: &[],
    };
    let runner = Runner { limit: Duration::from_secs(15) };
    let rounds = options.rounds(8);
    compare(&options, &mut report, &runner, CANDIDATES, &[case], rounds, |report, who, _, values| {
        if values.get("count").is_none_or(|&count| count < 20.0) {
            let count = values.get("count").copied().unwrap_or(0.0);
            return report.say(who, "p50", &format!("starved: {count} ticks in 2 s"));
        }
        for (name, column) in COLUMNS {
            if let Some(&ns) = values.get(name) {
                report.push(who, column, ns / 1000.0);
            }
        }
        if let Some(&below) = values.get("below") {
            report.push(who, "woken to polled within 64 µs, %", below);
        }
    });
    report.check("DIS's interval, p99, µs", report.median(DIS, "p99"), 100.0);
    let within = report.median(DIS_TOKIO, "woken to polled within 64 µs, %");
    report.check(
        "tokio's timers in DIS, polled later than 64 µs after they woke, %",
        within.map(|within| 100.0 - within),
        1.0,
    );
    if let Some((ours, gos)) = report.median(DIS, "p99").zip(report.median(GO, "p99")) {
        report.note(format!("p99 against Go: ratio {:.4}", ours / gos));
    }
    report.note("a round is 2 s; the medians over the rounds are of each round's percentiles");
    report.finish(&options);
}
