//! What preempting a task costs that never yields, and what it costs that task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_bench::child::Values;
use dis_bench::compare::{Case, compare};
use dis_bench::measure::{compute, monotonic_ns, never_yield, percentile, pin_to};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::sync::Event;
use dis_runtime::{CpuMask, Intent, Runtime, Timestamp};

/// Kicks a round.
const KICKS: usize = 400;
/// Chunks of work a round, and the steps of each: about 20 ms.
const CHUNKS: usize = 12;
const STEPS: u64 = 20_000_000;

/// The CPU that the preempted task has; the measuring thread takes another if there is one.
const CPU: usize = 0;

fn one_worker() -> Runtime {
    Runtime::builder().cpus(CpuMask::single(CPU)).build().expect("a runtime")
}

/// The 50th and 99th percentile of what `kick` makes happen: it answers the time at which it was done, and `seen` holds
/// the time at which it had its effect, or 0.
fn kicks(seen: &AtomicU64, kick: impl Fn() -> u64) -> Values {
    let mut took = Vec::with_capacity(KICKS);
    for _ in 0..KICKS {
        std::thread::sleep(Duration::from_micros(300));
        seen.store(0, Ordering::SeqCst);
        let before = kick();
        let begun = monotonic_ns();
        while seen.load(Ordering::SeqCst) == 0 && monotonic_ns() < begun + 100_000_000 {
            std::hint::spin_loop();
        }
        let at = seen.load(Ordering::SeqCst);
        took.push(at.saturating_sub(before));
    }
    took.sort_unstable();
    Values::from([
        ("p50".to_owned(), percentile(&took, 0.5) as f64 / 1000.0),
        ("p99".to_owned(), percentile(&took, 0.99) as f64 / 1000.0),
    ])
}

/// From another thread's `Event::set` to the first instruction of the Interactive task that waited.
fn dis_kick(_: &[String]) -> Values {
    let rt = one_worker();
    pin_to(CPU + 1);
    let (stop, event, seen) =
        (Arc::new(AtomicBool::new(false)), Arc::new(Event::automatic()), Arc::new(AtomicU64::new(0)));
    let hog = stop.clone();
    rt.spawn_fn(Intent::batch(), move || never_yield(&hog)).expect("a task");
    let (woken, at) = (event.clone(), seen.clone());
    let woken = rt.spawn_fn(Intent::interactive(1_000), move || {
        loop {
            woken.wait();
            at.store(monotonic_ns(), Ordering::SeqCst);
        }
    });
    let woken = woken.expect("a task");
    std::thread::sleep(Duration::from_millis(20));
    let values = kicks(&seen, || {
        let before = monotonic_ns();
        event.set();
        before
    });
    stop.store(true, Ordering::Relaxed);
    woken.abort();
    values
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: i32) {
    HANDLED.store(monotonic_ns(), Ordering::SeqCst);
}

fn install_handler() {
    // SAFETY: the handler does nothing but read the clock and store.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut());
    }
}

/// From `tgkill` to the first instruction of an empty handler in a thread that computes.
fn signal_kick(_: &[String]) -> Values {
    install_handler();
    let (stop, tid) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ends, mine) = (stop.clone(), tid.clone());
    std::thread::spawn(move || {
        pin_to(CPU);
        // SAFETY: a call without memory.
        mine.store(unsafe { libc::gettid() } as u64, Ordering::SeqCst);
        never_yield(&ends);
    });
    pin_to(CPU + 1);
    std::thread::sleep(Duration::from_millis(20));
    kicks(&HANDLED, || {
        let before = monotonic_ns();
        // SAFETY: a call without memory.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid.load(Ordering::SeqCst), libc::SIGURG) };
        before
    })
}

/// Milliseconds of each chunk of work: the best, and the median.
fn work() -> Values {
    let mut chunks: Vec<u64> = (0..CHUNKS)
        .map(|i| {
            let begun = monotonic_ns();
            std::hint::black_box(compute(i as u64, STEPS));
            monotonic_ns() - begun
        })
        .collect();
    chunks.sort_unstable();
    Values::from([
        ("best".to_owned(), chunks[0] as f64 / 1e6),
        ("median".to_owned(), percentile(&chunks, 0.5) as f64 / 1e6),
    ])
}

fn thread_work(_: &[String]) -> Values {
    pin_to(CPU);
    work()
}

/// The same with a timer that sends an empty signal each millisecond: what the machine itself takes.
fn signal_work(_: &[String]) -> Values {
    install_handler();
    pin_to(CPU);
    // SAFETY: the structures are valid and live on this stack; the timer ends with the process.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGURG;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer = std::mem::zeroed();
        libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer);
        let each = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let times = libc::itimerspec { it_interval: each, it_value: each };
        libc::timer_settime(timer, 0, &times, std::ptr::null_mut());
    }
    work()
}

fn dis_work(ticks: bool) -> Values {
    let rt = one_worker();
    let stop = Arc::new(AtomicBool::new(false));
    let ends = stop.clone();
    let ticker = ticks.then(|| {
        rt.spawn_fn(Intent::interactive(1_000), move || {
            let mut next = monotonic_ns();
            while !ends.load(Ordering::Relaxed) {
                next += 1_000_000;
                dis_runtime::sleep_until(Timestamp::from_nanos(next));
            }
        })
    });
    let before = rt.preemption_signals();
    let mut values = rt.spawn_fn(Intent::batch(), work).expect("a task").join().expect("no panic");
    values.insert("signals".into(), (rt.preemption_signals() - before) as f64);
    stop.store(true, Ordering::Relaxed);
    drop(ticker);
    values
}

fn dis_alone(_: &[String]) -> Values {
    dis_work(false)
}

fn dis_ticked(_: &[String]) -> Values {
    dis_work(true)
}

const KICKERS: &[Candidate] = &[
    Candidate { name: "kick: dis, event to first instruction", run: dis_kick },
    Candidate { name: "kick: plain signal to handler", run: signal_kick },
];

const WORKERS: &[Candidate] = &[
    Candidate { name: "work: thread, alone", run: thread_work },
    Candidate { name: "work: dis, alone", run: dis_alone },
    Candidate { name: "work: thread, empty signal each 1 ms", run: signal_work },
    Candidate { name: "work: dis, preempted each 1 ms", run: dis_ticked },
];

fn main() {
    let options = Options::from_args();
    // Of two tables, the one that has the candidate.
    let child = options.child.as_deref();
    let kicks = child.is_some_and(|child| child.first().is_some_and(|name| name.starts_with("kick")));
    Runner::serve(child, if kicks { KICKERS } else { WORKERS });
    let mut report = Report::begin("preempt", "preempting a task that never yields", &options);
    let case = || Case { name: "", parameters: vec![], go: None, without: &[] };
    let runner = Runner { limit: Duration::from_secs(20) };
    let rounds = options.rounds(12);
    compare(&options, &mut report, &runner, KICKERS, &[case()], rounds, |report, who, _, values| {
        for (name, column) in [("p50", "p50, µs"), ("p99", "p99, µs")] {
            if let Some(&us) = values.get(name) {
                report.push(who, column, us);
            }
        }
    });
    compare(&options, &mut report, &runner, WORKERS, &[case()], rounds, |report, who, _, values| {
        for (name, column) in [("best", "best chunk, ms"), ("median", "median chunk, ms"), ("signals", "signals")] {
            if let Some(&value) = values.get(name) {
                report.push(who, column, value);
            }
        }
    });
    let p50 = |i: usize| report.median(KICKERS[i].name, "p50, µs");
    let above = p50(0).zip(p50(1)).map(|(dis, signal)| dis - signal);
    // The best of all rounds: what else ran on the machine only adds.
    let best = |i: usize| report.samples(WORKERS[i].name, "best chunk, ms").map(|s| s.min());
    let percent = |i: usize| best(i).zip(best(0)).map(|(it, thread)| 100.0 * (it / thread - 1.0));
    let (alone, signal, ticked) = (percent(1), percent(2), percent(3));
    let signals = report.median(WORKERS[1].name, "signals");
    report.check("preemption above the plain signal, p50, µs", above, 10.0);
    report.check("overhead when preempted each 1 ms, percent", ticked, 3.0);
    report.check("overhead alone, percent (noise allowed: 1)", alone, 1.0);
    report.check("signals when alone", signals, 0.0);
    if let Some(signal) = signal {
        report.note(format!("an empty signal each 1 ms costs a plain thread {signal:.2} %: the machine's own part"));
    }
    report.finish(&options);
}
