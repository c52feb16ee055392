//! Spawning a trivial task and waiting for its end, from inside a task.

use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, compare, parameters};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::{Intent, Runtime};

/// Parameters: 1 for flat or 0 for one at a time; number of tasks; number of workers.
fn read(p: &[String]) -> (bool, u64, usize) {
    (parameter(p, 0) == 1, parameter(p, 1), parameter(p, 2) as usize)
}

fn per_task(begun: Instant, tasks: u64) -> f64 {
    begun.elapsed().as_nanos() as f64 / tasks as f64
}

fn dis(p: &[String], intent: Intent) -> Values {
    let (flat, tasks, workers) = read(p);
    let rt = Runtime::builder().workers(workers).max_tasks(1 << 21).build().expect("a runtime");
    let root = rt.spawn_fn(intent.clone(), move || {
        let mut ns = 0.0;
        // The first pass warms up.
        for _ in 0..2 {
            let begun = Instant::now();
            let spawn = |i: u64| dis_runtime::spawn_fn(intent.clone(), move || i).expect("a task");
            let sum: u64 = if flat {
                let handles: Vec<_> = (0..tasks).map(spawn).collect();
                handles.into_iter().map(|handle| handle.join().expect("no panic")).sum()
            } else {
                (0..tasks).map(|i| spawn(i).join().expect("no panic")).sum()
            };
            ns = per_task(begun, tasks);
            assert_eq!(sum, tasks * (tasks - 1) / 2);
        }
        ns
    });
    value("ns", root.expect("a task").join().expect("no panic"))
}

fn dis_batch(p: &[String]) -> Values {
    dis(p, Intent::batch())
}

fn dis_interactive(p: &[String]) -> Values {
    dis(p, Intent::interactive(2_000))
}

fn tokio_on(rt: tokio::runtime::Runtime, p: &[String]) -> Values {
    let (flat, tasks, _) = read(p);
    let root = async move {
        let mut ns = 0.0;
        for _ in 0..2 {
            let begun = Instant::now();
            let mut sum = 0;
            if flat {
                let handles: Vec<_> = (0..tasks).map(|i| tokio::spawn(async move { i })).collect();
                for handle in handles {
                    sum += handle.await.expect("no panic");
                }
            } else {
                for i in 0..tasks {
                    sum += tokio::spawn(async move { i }).await.expect("no panic");
                }
            }
            ns = per_task(begun, tasks);
            assert_eq!(sum, tasks * (tasks - 1) / 2);
        }
        ns
    };
    value("ns", rt.block_on(async { tokio::spawn(root).await.expect("no panic") }))
}

fn tokio_multi(p: &[String]) -> Values {
    let workers = read(p).2;
    tokio_on(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime"), p)
}

fn may(p: &[String]) -> Values {
    let (flat, tasks, workers) = read(p);
    may::config().set_workers(workers).set_stack_size(0x1000);
    // SAFETY: the closures use no thread-local value and little stack.
    let spawn = |i: u64| unsafe { may::coroutine::spawn(move || i) };
    let root = move || {
        let mut ns = 0.0;
        for _ in 0..2 {
            let begun = Instant::now();
            let sum: u64 = if flat {
                let handles: Vec<_> = (0..tasks).map(spawn).collect();
                handles.into_iter().map(|handle| handle.join().expect("no panic")).sum()
            } else {
                (0..tasks).map(|i| spawn(i).join().expect("no panic")).sum()
            };
            ns = per_task(begun, tasks);
            assert_eq!(sum, tasks * (tasks - 1) / 2);
        }
        ns
    };
    // SAFETY: as above.
    value("ns", unsafe { may::coroutine::spawn(root) }.join().expect("no panic"))
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis, batch", run: dis_batch },
    Candidate { name: "dis, interactive", run: dis_interactive },
    Candidate { name: "tokio, multi_thread", run: tokio_multi },
    Candidate { name: "may", run: may },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report = Report::begin("spawn", "spawn and join of a trivial task from inside a task, ns", &options);
    let case = |name, flat: u64, tasks: u64, workers: u64| {
        let kind = if flat == 1 { "flat" } else { "single" };
        Case {
            name,
            parameters: parameters(&[flat, tasks, workers]),
            go: Some(vec!["spawn".into(), kind.into(), tasks.to_string(), workers.to_string()]),
            without: if flat == 1 { &[("may", "fails")] } else { &[] },
        }
    };
    let runner = Runner { limit: Duration::from_secs(60) };
    let many = options.rounds(16);
    let groups = [
        (many, vec![case("one at a time, 1 worker", 0, 20_000, 1), case("one at a time, 2 workers", 0, 20_000, 2)]),
        (many.div_ceil(2), vec![case("flat 100k, 2 workers", 1, 100_000, 2)]),
        (many.div_ceil(8), vec![case("flat 1M, 2 workers", 1, 1_000_000, 2)]),
    ];
    for (rounds, cases) in &groups {
        compare(&options, &mut report, &runner, CANDIDATES, cases, *rounds, |report, who, case, values| {
            if let Some(&ns) = values.get("ns") {
                report.push(who, case.name, ns);
            }
        });
        for case in cases {
            let tokio = report.median("tokio, multi_thread", case.name);
            for who in ["dis, batch", "dis, interactive"] {
                let ratio = report.median(who, case.name).zip(tokio).map(|(d, t)| d / t);
                report.check(&format!("{who}, {}: ratio to tokio multi_thread", case.name), ratio, 1.0);
            }
        }
    }
    report.note("may runs flat spawns out of memory maps: each of its stacks is one");
    report.finish(&options);
}
