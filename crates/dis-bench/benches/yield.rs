//! A cooperative yield through the whole scheduler, on one worker.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, compare, go_parameters, parameters};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::{Intent, Runtime};

/// Counts the yields of all tasks; each in a cache line of its own.
struct Counts(Vec<Line>);

#[repr(align(64))]
#[derive(Default)]
struct Line(AtomicU64);

impl Counts {
    fn new(tasks: u64) -> Arc<Counts> {
        Arc::new(Counts((0..tasks).map(|_| Line::default()).collect()))
    }

    #[inline]
    fn count(&self, task: u64) {
        let line = &self.0[task as usize].0;
        line.store(line.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

/// Times the yields of all tasks, from the first task's point of view, while all of them run.
struct Timer {
    counts: Arc<Counts>,
    task: u64,
    each: u64,
    begun: Option<(Instant, u64)>,
}

impl Timer {
    fn new(counts: &Arc<Counts>, task: u64, each: u64) -> Timer {
        Timer { counts: counts.clone(), task, each, begun: None }
    }

    /// Called before each yield.
    #[inline]
    fn before(&mut self, k: u64) {
        self.counts.count(self.task);
        if self.task == 0 && k == self.each / 10 {
            self.begun = Some((Instant::now(), self.counts.sum()));
        }
    }

    fn end(self) -> Option<f64> {
        let (begun, before) = self.begun?;
        Some(begun.elapsed().as_nanos() as f64 / (self.counts.sum() - before) as f64)
    }

    /// The whole task, for stackful peers.
    fn run(mut self, yield_now: impl Fn()) -> Option<f64> {
        for k in 0..self.each {
            self.before(k);
            yield_now();
        }
        self.end()
    }

    /// The whole task, for futures.
    async fn run_async<F: Future<Output = ()>>(mut self, yield_now: impl Fn() -> F) -> Option<f64> {
        for k in 0..self.each {
            self.before(k);
            yield_now().await;
        }
        self.end()
    }
}

fn dis(p: &[String], intent: Intent, share: bool) -> Values {
    let (tasks, each) = (parameter(p, 0), parameter(p, 1));
    let mut builder = Runtime::builder().workers(1);
    if share {
        // SAFETY: the closures use no thread-local value.
        builder = unsafe { builder.share_beyond(1) };
    }
    let rt = builder.build().expect("a runtime");
    let counts = Counts::new(tasks);
    let root = rt.spawn_fn(intent.clone(), move || {
        let spawn = |task| {
            let timer = Timer::new(&counts, task, each);
            dis_runtime::spawn_fn(intent.clone(), move || timer.run(dis_runtime::yield_now)).expect("a task")
        };
        let handles: Vec<_> = (0..tasks).map(spawn).collect();
        handles.into_iter().filter_map(|handle| handle.join().expect("no panic")).sum::<f64>()
    });
    value("ns", root.expect("a task").join().expect("no panic"))
}

fn dis_interactive(p: &[String]) -> Values {
    dis(p, Intent::interactive(2_000), true)
}

fn dis_batch(p: &[String]) -> Values {
    dis(p, Intent::batch(), true)
}

/// Each with a kernel thread of its own, so that a yield goes through the kernel.
fn dis_own(p: &[String]) -> Values {
    dis(p, Intent::batch(), false)
}

fn may(p: &[String]) -> Values {
    let (tasks, each) = (parameter(p, 0), parameter(p, 1));
    may::config().set_workers(1).set_stack_size(0x1000);
    let counts = Counts::new(tasks);
    let spawn = |task| {
        let timer = Timer::new(&counts, task, each);
        // SAFETY: the closure uses no thread-local value and little stack.
        unsafe { may::coroutine::spawn(move || timer.run(may::coroutine::yield_now)) }
    };
    let handles: Vec<_> = (0..tasks).map(spawn).collect();
    value("ns", handles.into_iter().filter_map(|handle| handle.join().expect("no panic")).sum())
}

fn tokio_on(rt: tokio::runtime::Runtime, p: &[String]) -> Values {
    let (tasks, each) = (parameter(p, 0), parameter(p, 1));
    let counts = Counts::new(tasks);
    let ns = rt.block_on(async {
        let root = tokio::spawn(async move {
            let spawn = |task| tokio::spawn(Timer::new(&counts, task, each).run_async(tokio::task::yield_now));
            let handles: Vec<_> = (0..tasks).map(spawn).collect();
            let mut ns = 0.0;
            for handle in handles {
                ns += handle.await.expect("no panic").unwrap_or(0.0);
            }
            ns
        });
        root.await.expect("no panic")
    });
    value("ns", ns)
}

fn tokio_multi(p: &[String]) -> Values {
    tokio_on(tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime"), p)
}

fn tokio_current(p: &[String]) -> Values {
    tokio_on(tokio::runtime::Builder::new_current_thread().build().expect("a runtime"), p)
}

fn smol(p: &[String]) -> Values {
    let (tasks, each) = (parameter(p, 0), parameter(p, 1));
    let counts = Counts::new(tasks);
    let executor = smol::LocalExecutor::new();
    let ns = smol::block_on(executor.run(async {
        let spawn = |task| executor.spawn(Timer::new(&counts, task, each).run_async(smol::future::yield_now));
        let handles: Vec<_> = (0..tasks).map(spawn).collect();
        let mut ns = 0.0;
        for handle in handles {
            ns += handle.await.unwrap_or(0.0);
        }
        ns
    }));
    value("ns", ns)
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis, interactive, shared", run: dis_interactive },
    Candidate { name: "dis, batch, shared", run: dis_batch },
    Candidate { name: "dis, batch, own threads", run: dis_own },
    Candidate { name: "may", run: may },
    Candidate { name: "tokio, multi_thread", run: tokio_multi },
    Candidate { name: "tokio, current_thread", run: tokio_current },
    Candidate { name: "smol (LocalExecutor)", run: smol },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report = Report::begin("yield", "cooperative yield on one worker, ns", &options);
    let case = |name, tasks: u64| {
        let each = (300_000 / tasks).max(200);
        Case { name, parameters: parameters(&[tasks, each]), go: go_parameters("yield", &[tasks, each]), without: &[] }
    };
    let cases = [case("1 task", 1), case("2 tasks", 2), case("100 tasks", 100), case("1000 tasks", 1000)];
    let runner = Runner { limit: Duration::from_secs(20) };
    let rounds = options.rounds(24);
    compare(&options, &mut report, &runner, CANDIDATES, &cases, rounds, |report, who, case, values| {
        if let Some(&ns) = values.get("ns") {
            report.push(who, case.name, ns);
        }
    });
    for case in &cases {
        let may = report.median("may", case.name);
        for who in ["dis, interactive, shared", "dis, batch, shared"] {
            let dis = report.median(who, case.name);
            report.check(&format!("{who}, {}: ratio to may", case.name), dis.zip(may).map(|(d, m)| d / m), 1.0);
        }
    }
    report.note("may's tasks share their workers' threads, on an unsafe promise as DIS's shared ones do");
    report.finish(&options);
}
