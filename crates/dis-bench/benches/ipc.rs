//! A request and its reply between two tasks on one worker.

use std::time::{Duration, Instant};

use dis_bench::child::{Values, parameter, value};
use dis_bench::compare::{Case, compare, go_parameters, parameters};
use dis_bench::{Candidate, Options, Report, Runner};
use dis_runtime::sync::{channel, endpoint};
use dis_runtime::{Intent, Runtime, TaskBuilder};

/// Times all but the first tenth of the trips.
fn time(trips: u64, mut trip: impl FnMut(u64)) -> f64 {
    (0..trips / 10).for_each(&mut trip);
    let begun = Instant::now();
    (trips / 10..trips).for_each(&mut trip);
    begun.elapsed().as_nanos() as f64 / (trips - trips / 10) as f64
}

fn runtime() -> Runtime {
    Runtime::builder().workers(1).build().expect("a runtime")
}

fn task(rt: &Runtime, shared: bool) -> TaskBuilder<'_> {
    let task = rt.task(Intent::interactive(1_000));
    // SAFETY: the closures use no thread-local value.
    if shared { unsafe { task.shared() } } else { task }
}

fn dis(p: &[String], shared: bool) -> Values {
    let (trips, rt) = (parameter(p, 0), runtime());
    let (client, mut server) = endpoint::<u64, u64>();
    let serves = task(&rt, shared).spawn(move || server.serve(|n| n + 1)).expect("a task");
    let driver = task(&rt, shared).spawn(move || time(trips, |n| assert_eq!(client.call(n), Ok(n + 1))));
    let ns = driver.expect("a task").join().expect("no panic");
    serves.join().expect("no panic");
    value("ns", ns)
}

fn dis_call(p: &[String]) -> Values {
    dis(p, true)
}

/// Each with a kernel thread of its own, so that a switch goes through the kernel.
fn dis_own(p: &[String]) -> Values {
    dis(p, false)
}

fn dis_channel(p: &[String]) -> Values {
    let (trips, rt) = (parameter(p, 0), runtime());
    let ((there, arrives), (back, returns)) = (channel::<u64>(1), channel::<u64>(1));
    let echo = task(&rt, true).spawn(move || {
        while let Ok(n) = arrives.recv() {
            back.send(n + 1).expect("somebody waits");
        }
    });
    let driver = task(&rt, true).spawn(move || {
        time(trips, |n| {
            there.send(n).expect("somebody waits");
            assert_eq!(returns.recv().ok(), Some(n + 1));
        })
    });
    let ns = driver.expect("a task").join().expect("no panic");
    echo.expect("a task").join().expect("no panic");
    value("ns", ns)
}

/// The same, each side sending and receiving in one step.
fn dis_exchange(p: &[String]) -> Values {
    let (trips, rt) = (parameter(p, 0), runtime());
    let ((there, arrives), (back, returns)) = (channel::<u64>(1), channel::<u64>(1));
    let echo = task(&rt, true).spawn(move || {
        let mut next = arrives.recv();
        while let Ok(n) = next {
            next = back.send_and_recv(n + 1, &arrives).expect("somebody waits");
        }
    });
    let driver = task(&rt, true).spawn(move || {
        let ns = time(trips, |n| assert_eq!(there.send_and_recv(n, &returns), Ok(Ok(n + 1))));
        drop(there);
        ns
    });
    let ns = driver.expect("a task").join().expect("no panic");
    echo.expect("a task").join().expect("no panic");
    value("ns", ns)
}

/// The usual way to ask a task there: a request with the sender of a oneshot channel for the reply.
fn tokio(p: &[String]) -> Values {
    let trips = parameter(p, 0);
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (there, mut arrives) = tokio::sync::mpsc::channel::<(u64, tokio::sync::oneshot::Sender<u64>)>(1);
    rt.spawn(async move {
        while let Some((n, back)) = arrives.recv().await {
            back.send(n + 1).expect("somebody waits");
        }
    });
    let driver = rt.spawn(async move {
        let mut begun = Instant::now();
        for n in 0..trips {
            if n == trips / 10 {
                begun = Instant::now();
            }
            let (back, returns) = tokio::sync::oneshot::channel();
            there.send((n, back)).await.expect("somebody waits");
            assert_eq!(returns.await, Ok(n + 1));
        }
        begun.elapsed().as_nanos() as f64 / (trips - trips / 10) as f64
    });
    value("ns", rt.block_on(driver).expect("no panic"))
}

const CANDIDATES: &[Candidate] = &[
    Candidate { name: "dis, call and reply", run: dis_call },
    Candidate { name: "dis, call and reply, own threads", run: dis_own },
    Candidate { name: "dis, two channels", run: dis_channel },
    Candidate { name: "dis, two channels, send_and_recv", run: dis_exchange },
    Candidate { name: "tokio, mpsc and oneshot", run: tokio },
];

fn main() {
    let options = Options::from_args();
    Runner::serve(options.child.as_deref(), CANDIDATES);
    let mut report = Report::begin("ipc", "a request and its reply between two tasks on one worker, ns", &options);
    let cases = [Case {
        name: "round trip",
        parameters: parameters(&[100_000]),
        go: go_parameters("channel", &[100_000, 1]),
        without: &[],
    }];
    let runner = Runner { limit: Duration::from_secs(30) };
    let rounds = options.rounds(12);
    compare(&options, &mut report, &runner, CANDIDATES, &cases, rounds, |report, who, case, values| {
        if let Some(&ns) = values.get("ns") {
            report.push(who, case.name, ns);
        }
    });
    report.note("go: two channels that hold nothing; only dis's calls pass on urgency and budget");
    report.finish(&options);
}
