//! Memory of tasks that wait for something that does not come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_bench::child::{Values, parameter};
use dis_bench::compare::{Case, compare, go_parameters, parameters};
use dis_bench::measure::{page_table_bytes, resident_bytes};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::{Intent, Runtime};

/// What `tasks` tasks cost that `spawn` starts and that count themselves when they are about to park.
fn measure(tasks: u64, begun: &AtomicU64, spawn: impl FnOnce()) -> Values {
    let (resident, tables) = (resident_bytes(), page_table_bytes());
    spawn();
    while begun.load(Ordering::Relaxed) < tasks {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(20));
    let per_task = |now: u64, before: u64| now.saturating_sub(before) as f64 / tasks as f64;
    let mut values = Values::new();
    values.insert("resident".into(), per_task(resident_bytes(), resident));
    values.insert("tables".into(), per_task(page_table_bytes(), tables));
    values
}

fn dis(p: &[String], intent: Intent) -> Values {
    let tasks = parameter(p, 0);
    // SAFETY: the closures use no thread-local value.
    let builder = unsafe { Runtime::builder().workers(2).max_tasks(tasks as u32 + 16).share_beyond(1) };
    let rt = builder.build().expect("a runtime");
    let begun = Arc::new(AtomicU64::new(0));
    // The handles are the caller's, so their vector is there before the measuring begins.
    let mut handles: Vec<_> = (0..tasks).map(|_| None).collect();
    let values = measure(tasks, &begun, || {
        for handle in &mut handles {
            let begun = begun.clone();
            let closure = move || {
                begun.fetch_add(1, Ordering::Relaxed);
                loop {
                    dis_runtime::park();
                }
            };
            *handle = Some(rt.spawn_fn(intent.clone(), closure).expect("a task"));
        }
    });
    std::mem::forget((handles, rt));
    values
}

fn dis_batch(p: &[String]) -> Values {
    dis(p, Intent::batch())
}

fn dis_interactive(p: &[String]) -> Values {
    dis(p, Intent::interactive(2_000))
}

fn tokio(p: &[String]) -> Values {
    let tasks = parameter(p, 0);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let begun = Arc::new(AtomicU64::new(0));
    let never = Arc::new(tokio::sync::Notify::new());
    let mut handles: Vec<_> = (0..tasks).map(|_| None).collect();
    let values = measure(tasks, &begun, || {
        for handle in &mut handles {
            let (begun, never) = (begun.clone(), never.clone());
            *handle = Some(rt.spawn(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                never.notified().await;
            }));
        }
    });
    std::mem::forget((handles, rt));
    values
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis, batch", run: dis_batch },
    Candidate { name: "dis, interactive", run: dis_interactive },
    Candidate { name: "tokio, multi_thread", run: tokio },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report = Report::begin("parked", "memory of a parked task, bytes", &options);
    let tasks = 100_000;
    let case = Case {
        name: "100k tasks",
        parameters: parameters(&[tasks]),
        go: go_parameters("parked", &[tasks]),
        without: &[],
    };
    let runner = Runner { limit: Duration::from_secs(120) };
    let rounds = options.rounds(3);
    compare(&options, &mut report, &runner, CANDIDATES, &[case], rounds, |report, who, _, values| {
        for (name, column) in [("resident", "resident"), ("tables", "page tables")] {
            if let Some(&bytes) = values.get(name) {
                report.push(who, column, bytes);
            }
        }
    });
    for who in ["dis, batch", "dis, interactive"] {
        report.check(&format!("{who}, resident bytes"), report.median(who, "resident"), 5.0 * 1024.0);
    }
    report.note("the join handles (dis 32 bytes, tokio 8) are not counted: the caller holds them");
    report.note("dis: every task has a stack, of which it has touched one page; tokio: futures without a stack");
    report.finish(&options);
}
