//! Futures: spawning and joining, yielding, ping-pong, a tree of a million, and what a parked one costs, beside tokio, smol, Go.
//!
//! The same generic code runs on each; only spawning and yielding are the runtime's own. Channels are tokio's for all of them: they
//! are futures that know no runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, compare, go_parameters, parameters};
use dis_bench::measure::resident_bytes;
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::{Intent, Runtime, future};
use tokio::sync::{mpsc, oneshot};

/// What a case needs of a runtime.
trait On: Send + Sync + 'static {
    fn spawn<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static;

    fn yield_now() -> impl Future<Output = ()> + Send;
}

struct Dis;

impl On for Dis {
    fn spawn<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let task = future::spawn_child(future).expect("a task");
        async { task.await.expect("no panic") }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }
}

struct Tokio;

impl On for Tokio {
    fn spawn<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let task = tokio::spawn(future);
        async { task.await.expect("no panic") }
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
}

struct Smol;

static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

impl On for Smol {
    fn spawn<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        EXECUTOR.spawn(future)
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }
}

const SINGLE: u64 = 0;
const FLAT: u64 = 1;
const YIELD: u64 = 2;
const PING: u64 = 3;
const SKYNET: u64 = 4;
const PARKED: u64 = 5;

/// Runs the case `kind` with `n`, twice; the second time counts.
async fn measure<R: On>(kind: u64, n: u64) -> f64 {
    let mut ns = 0.0;
    for _ in 0..if kind == PARKED { 1 } else { 2 } {
        let begun = Instant::now();
        let (count, bytes) = match kind {
            SINGLE => (single::<R>(n).await, None),
            FLAT => (flat::<R>(n).await, None),
            YIELD => (yields::<R>(n).await, None),
            PING => (ping::<R>(n).await, None),
            SKYNET => {
                assert_eq!(skynet::<R>(0, n).await, n * (n - 1) / 2);
                (1, None)
            }
            _ => parked::<R>(n).await,
        };
        ns = bytes.unwrap_or(begun.elapsed().as_nanos() as f64) / count as f64;
    }
    ns
}

async fn single<R: On>(tasks: u64) -> u64 {
    let mut sum = 0;
    for i in 0..tasks {
        sum += R::spawn(async move { i }).await;
    }
    assert_eq!(sum, tasks * (tasks - 1) / 2);
    tasks
}

async fn flat<R: On>(tasks: u64) -> u64 {
    let handles: Vec<_> = (0..tasks).map(|i| R::spawn(async move { i })).collect();
    let mut sum = 0;
    for handle in handles {
        sum += handle.await;
    }
    assert_eq!(sum, tasks * (tasks - 1) / 2);
    tasks
}

async fn yields<R: On>(tasks: u64) -> u64 {
    let each = 2_000_000 / tasks;
    let yielding = || async move {
        for _ in 0..each {
            R::yield_now().await;
        }
    };
    let handles: Vec<_> = (0..tasks).map(|_| R::spawn(yielding())).collect();
    for handle in handles {
        handle.await;
    }
    each * tasks
}

/// Messages to another task, and back.
async fn ping<R: On>(messages: u64) -> u64 {
    let (there, mut from_us) = mpsc::channel::<u64>(1);
    let (back, mut from_them) = mpsc::channel::<u64>(1);
    let other = R::spawn(async move {
        while let Some(n) = from_us.recv().await {
            back.send(n).await.expect("somebody listens");
        }
    });
    let first = R::spawn(async move {
        for n in 0..messages {
            there.send(n).await.expect("somebody listens");
            assert_eq!(from_them.recv().await, Some(n));
        }
    });
    first.await;
    other.await;
    messages
}

/// The sum of the numbers of the leaves of a tree in which each node has ten children.
fn skynet<R: On>(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        let part = leaves / 10;
        let children: Vec<_> = (0..10).map(|i| R::spawn(skynet::<R>(first + i * part, part))).collect();
        let mut sum = 0;
        for child in children {
            sum += child.await;
        }
        sum
    })
}

/// Bytes per task that waits for a message, the future included, which is as large for all.
async fn parked<R: On>(tasks: u64) -> (u64, Option<f64>) {
    let mut handles = Vec::with_capacity(tasks as usize);
    let mut senders = Vec::with_capacity(tasks as usize);
    let channels: Vec<_> = (0..tasks).map(|_| oneshot::channel::<u64>()).collect();
    let before = resident_bytes();
    let spawned = Instant::now();
    for (sender, receiver) in channels {
        senders.push(sender);
        handles.push(R::spawn(async move { receiver.await.unwrap_or(0) }));
        R::yield_now().await;
    }
    // Until all have been polled.
    while spawned.elapsed() < Duration::from_millis(1500) {
        R::yield_now().await;
    }
    let bytes = resident_bytes() - before;
    for sender in senders {
        sender.send(1).expect("somebody listens");
    }
    let mut sum = 0;
    for handle in handles {
        sum += handle.await;
    }
    assert_eq!(sum, tasks);
    (tasks, Some(bytes as f64))
}

/// Parameters: the case, its number, workers.
fn read(p: &[String]) -> (u64, u64, usize) {
    (parameter(p, 0), parameter(p, 1), parameter(p, 2) as usize)
}

fn dis(p: &[String], intent: Intent) -> Values {
    let (kind, n, workers) = read(p);
    let rt = Runtime::builder().workers(workers).build().expect("a runtime");
    let root = rt.spawn(intent, measure::<Dis>(kind, n)).expect("a task");
    value("ns", root.join().expect("no panic"))
}

fn dis_batch(p: &[String]) -> Values {
    dis(p, Intent::batch())
}

fn dis_interactive(p: &[String]) -> Values {
    dis(p, Intent::interactive(2_000))
}

fn tokio_on(rt: tokio::runtime::Runtime, p: &[String]) -> Values {
    let (kind, n, _) = read(p);
    value("ns", rt.block_on(async { tokio::spawn(measure::<Tokio>(kind, n)).await.expect("no panic") }))
}

fn tokio_multi(p: &[String]) -> Values {
    let workers = read(p).2;
    tokio_on(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime"), p)
}

fn tokio_current(p: &[String]) -> Values {
    tokio_on(tokio::runtime::Builder::new_current_thread().build().expect("a runtime"), p)
}

fn smol(p: &[String]) -> Values {
    let (kind, n, workers) = read(p);
    for _ in 0..workers {
        std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
    }
    value("ns", smol::block_on(EXECUTOR.spawn(measure::<Smol>(kind, n))))
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis, batch", run: dis_batch },
    Candidate { name: "dis, interactive", run: dis_interactive },
    Candidate { name: "tokio, multi_thread", run: tokio_multi },
    Candidate { name: "tokio, current_thread", run: tokio_current },
    Candidate { name: "smol", run: smol },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report =
        Report::begin("futures", "futures: ns per operation, ns for skynet, bytes per parked one", &options);
    let go = |name: &str, values: &[u64]| go_parameters(name, values);
    let case = |name, kind, n, workers: u64, go| Case {
        name,
        parameters: parameters(&[kind, n, workers]),
        go,
        without: if workers > 1 { &[("tokio, current_thread", "one worker")] } else { &[] },
    };
    let cases = [
        case(
            "spawn + join, 1 worker",
            SINGLE,
            200_000,
            1,
            Some(vec!["spawn".into(), "single".into(), "200000".into(), "1".into()]),
        ),
        case(
            "spawn + join, 2 workers",
            SINGLE,
            200_000,
            2,
            Some(vec!["spawn".into(), "single".into(), "200000".into(), "2".into()]),
        ),
        case(
            "spawn + join, flat 100k, 2 workers",
            FLAT,
            100_000,
            2,
            Some(vec!["spawn".into(), "flat".into(), "100000".into(), "2".into()]),
        ),
        case("yield, 1 task, 1 worker", YIELD, 1, 1, None),
        case("yield, 2 tasks, 1 worker", YIELD, 2, 1, None),
        case("yield, 100 tasks, 1 worker", YIELD, 100, 1, None),
        case("yield, 1000 tasks, 1 worker", YIELD, 1000, 1, None),
        case("yield, 1000 tasks, 2 workers", YIELD, 1000, 2, None),
        case("round trip, 1 worker", PING, 200_000, 1, go("channel", &[200_000, 1])),
        case("round trip, 2 workers", PING, 200_000, 2, go("channel", &[200_000, 2])),
        case("skynet 1M, 2 workers", SKYNET, 1_000_000, 2, go("skynet", &[1_000_000, 2])),
        case("parked 1M, 2 workers, bytes", PARKED, 1_000_000, 2, None),
    ];
    let runner = Runner { limit: Duration::from_secs(60) };
    compare(&options, &mut report, &runner, CANDIDATES, &cases, options.rounds(8), |report, who, case, values| {
        if let Some(&ns) = values.get("ns") {
            report.push(who, case.name, ns);
        }
    });
    let peers = |case: &str| match case {
        name if name.starts_with("spawn") => ("smol", 1.0),
        name if name.starts_with("yield") => ("tokio", 1.2),
        name if name.starts_with("round") => ("go", 1.0),
        _ => ("tokio", 1.0),
    };
    for case in &cases {
        let (peer, bound) = peers(case.name);
        let names = CANDIDATES.iter().map(|c| c.name).chain([dis_bench::compare::GO]);
        let rivals = names.filter(|who| who.starts_with(peer)).filter_map(|who| report.median(who, case.name));
        let best = rivals.min_by(f64::total_cmp);
        for who in ["dis, batch", "dis, interactive"] {
            let ratio = report.median(who, case.name).zip(best).map(|(ours, theirs)| ours / theirs);
            report.check(&format!("{who}, {}: ratio to the best of {peer}", case.name), ratio, bound);
        }
    }
    report.finish(&options);
}
