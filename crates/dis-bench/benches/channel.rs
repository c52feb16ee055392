//! A round trip between two tasks over two bounded channels.

use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, compare, go_parameters, parameters};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::sync::channel;
use dis_runtime::{CpuMask, Intent, Runtime};

/// Parameters: round trips, workers.
fn read(p: &[String]) -> (u64, usize) {
    (parameter(p, 0), parameter(p, 1) as usize)
}

/// Times all but the first tenth of the trips.
struct Timer {
    trips: u64,
    begun: Instant,
}

impl Timer {
    fn new(trips: u64) -> Timer {
        Timer { trips, begun: Instant::now() }
    }

    fn before(&mut self, trip: u64) {
        if trip == self.trips / 10 {
            self.begun = Instant::now();
        }
    }

    fn ns(&self) -> f64 {
        self.begun.elapsed().as_nanos() as f64 / (self.trips - self.trips / 10) as f64
    }
}

/// With two workers, each task is bound to one of them.
fn dis(p: &[String]) -> Values {
    let (trips, workers) = read(p);
    let rt = Runtime::builder().workers(workers).build().expect("a runtime");
    let (there, arrives) = channel::<u64>(1);
    let (back, returns) = channel::<u64>(1);
    let cpus = rt.cpus().to_vec();
    let echo = rt.task(Intent::interactive(1_000)).affinity(CpuMask::single(cpus[cpus.len() - 1]));
    let echo = echo.spawn(move || {
        while let Ok(n) = arrives.recv() {
            back.send(n).expect("somebody waits");
        }
    });
    let driver = rt.task(Intent::interactive(1_000)).affinity(CpuMask::single(cpus[0])).spawn(move || {
        let mut timer = Timer::new(trips);
        for i in 0..trips {
            timer.before(i);
            there.send(i).expect("somebody waits");
            assert_eq!(returns.recv().ok(), Some(i));
        }
        timer.ns()
    });
    let ns = driver.expect("a task").join().expect("no panic");
    echo.expect("a task").join().expect("no panic");
    value("ns", ns)
}

fn tokio(p: &[String]) -> Values {
    let (trips, workers) = read(p);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime");
    let (there, mut arrives) = tokio::sync::mpsc::channel::<u64>(1);
    let (back, mut returns) = tokio::sync::mpsc::channel::<u64>(1);
    rt.spawn(async move {
        while let Some(n) = arrives.recv().await {
            back.send(n).await.expect("somebody waits");
        }
    });
    let driver = rt.spawn(async move {
        let mut timer = Timer::new(trips);
        for i in 0..trips {
            timer.before(i);
            there.send(i).await.expect("somebody waits");
            assert_eq!(returns.recv().await, Some(i));
        }
        timer.ns()
    });
    value("ns", rt.block_on(driver).expect("no panic"))
}

fn may(p: &[String]) -> Values {
    let (trips, workers) = read(p);
    may::config().set_workers(workers).set_stack_size(0x1000);
    let (there, arrives) = may::sync::mpsc::channel::<u64>();
    let (back, returns) = may::sync::mpsc::channel::<u64>();
    let echo = move || {
        while let Ok(n) = arrives.recv() {
            back.send(n).expect("somebody waits");
        }
    };
    let driver = move || {
        let mut timer = Timer::new(trips);
        for i in 0..trips {
            timer.before(i);
            there.send(i).expect("somebody waits");
            assert_eq!(returns.recv().ok(), Some(i));
        }
        timer.ns()
    };
    // SAFETY: the closures use no thread-local value and little stack.
    let (_, driver) = unsafe { (may::coroutine::spawn(echo), may::coroutine::spawn(driver)) };
    value("ns", driver.join().expect("no panic"))
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis", run: dis },
    Candidate { name: "tokio, multi_thread", run: tokio },
    Candidate { name: "may", run: may },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report = Report::begin("channel", "round trip between two tasks over two channels, ns", &options);
    let case = |name, trips: u64, workers: u64| Case {
        name,
        parameters: parameters(&[trips, workers]),
        go: go_parameters("channel", &[trips, workers]),
        without: &[],
    };
    let cases = [case("1 worker", 50_000, 1), case("2 workers", 10_000, 2)];
    let runner = Runner { limit: Duration::from_secs(30) };
    let rounds = options.rounds(12);
    compare(&options, &mut report, &runner, CANDIDATES, &cases, rounds, |report, who, case, values| {
        if let Some(&ns) = values.get("ns") {
            report.push(who, case.name, ns);
        }
    });
    report.note("with 2 workers the tasks of dis are bound to different workers; the peers' may stay on one");
    report.finish(&options);
}
