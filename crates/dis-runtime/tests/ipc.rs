//! Calls between tasks: whose urgency and time a server works with, and that nobody is left waiting however a call ends.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::sync::{CallError, Client, Closed, Event, Failure, Mutex, Server, endpoint};
use dis_runtime::{
    Intent, JoinHandle, QueueType, Runtime, TaskBuilder, TraceKind, TraceReader, sleep, spawn_fn, yield_now,
};

const LONG: Duration = Duration::from_secs(60);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).trace(1 << 14).build().unwrap()
}

/// Computes for some time of the clock, which is more than that of the CPU if others come between.
fn burn(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        black_box(0);
    }
}

/// Computes for so much CPU time of the thread.
fn use_cpu(time: Duration) {
    let used = || {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `t` is valid.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    };
    let end = used() + time;
    while used() < end {
        black_box(0);
    }
}

/// A server that answers with what `answer` makes of a request.
fn serve<Q: Send + 'static, A: Send + 'static>(
    rt: &Runtime,
    intent: Intent,
    answer: impl FnMut(Q) -> A + Send + 'static,
) -> (Client<Q, A>, JoinHandle<()>) {
    let (client, mut server) = endpoint();
    (client, rt.spawn_fn(intent, move || server.serve(answer)).unwrap())
}

fn sharing(task: TaskBuilder<'_>, shared: bool) -> TaskBuilder<'_> {
    // SAFETY: the tasks of these tests keep nothing in thread-locals over a call.
    if shared { unsafe { task.shared() } } else { task }
}

fn failure<Q, A>(result: Result<A, CallError<Q>>) -> Option<Failure> {
    result.err().map(|error| error.failure)
}

/// Tasks that never wait, until told.
struct Hogs(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Hogs {
    fn start(rt: &Runtime, intent: Intent) -> Hogs {
        let stop = Arc::new(AtomicBool::new(false));
        let hog = |stop: Arc<AtomicBool>| {
            let end = Instant::now() + Duration::from_secs(10);
            move || while !stop.load(Ordering::Relaxed) && Instant::now() < end {}
        };
        let hogs = (0..2).map(|_| rt.spawn_fn(intent.clone(), hog(stop.clone())).unwrap()).collect();
        Hogs(stop, hogs)
    }

    fn stop(self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.into_iter().for_each(|hog| hog.join().unwrap());
    }
}

#[test]
fn calls_are_answered_until_the_clients_are_gone() {
    for shared in [false, true] {
        let rt = runtime(2);
        let (client, mut server) = endpoint::<u64, u64>();
        let task = rt.task(Intent::batch());
        let task = sharing(task, shared);
        let server = task.spawn(move || server.serve(|n| n * 3)).unwrap();
        let intents = [Intent::batch(), Intent::interactive(1000), Intent::background(), Intent::batch()];
        let callers: Vec<_> = intents
            .into_iter()
            .enumerate()
            .map(|(n, intent)| {
                let client = client.clone();
                let task = sharing(rt.task(intent), shared);
                let calls = move || {
                    for i in 0..500 {
                        let request = n as u64 * 1000 + i;
                        assert_eq!(client.call(request), Ok(request * 3));
                        if i % 50 == 0 {
                            yield_now();
                        }
                    }
                };
                task.spawn(calls).unwrap()
            })
            .collect();
        drop(client);
        callers.into_iter().for_each(|task| task.join().unwrap());
        server.join().unwrap();
    }
}

#[test]
fn a_server_runs_in_the_class_of_its_caller() {
    let rt = runtime(1);
    let (client, server) = serve(&rt, Intent::background(), |()| burn(Duration::from_millis(30)));
    let hogs = Hogs::start(&rt, Intent::batch());
    let mut reader = TraceReader::default();
    let caller = rt.spawn_fn(Intent::interactive(1000), move || client.call(())).unwrap();
    assert_eq!(caller.join().unwrap(), Ok(()));
    let events = rt.trace(&mut reader);
    hogs.stop();
    let runs = events.iter().filter(|event| event.kind == TraceKind::Run && event.task == server.id());
    let classes: Vec<_> = runs.filter_map(|event| event.class).collect();
    assert!(classes.contains(&QueueType::Interactive), "{classes:?}");
    // Before the call, and after it to see that it ends, it may have run by itself.
    server.join().unwrap();
}

#[test]
fn the_caller_pays() {
    let rt = runtime(1);
    let (backend, backend_task) = serve(&rt, Intent::system(), |()| use_cpu(Duration::from_millis(20)));
    let (client, server_task) = serve(&rt, Intent::system(), move |()| {
        use_cpu(Duration::from_millis(20));
        backend.call(()).unwrap();
    });
    let (done, go) = (Arc::new(Event::manual()), Arc::new(Event::manual()));
    let (told, end) = (done.clone(), go.clone());
    let caller = rt.spawn_fn(Intent::batch(), move || {
        client.call(()).unwrap();
        told.set();
        end.wait();
    });
    let caller = caller.unwrap();
    done.wait();
    let times = [caller.id(), server_task.id(), backend_task.id()].map(|id| match id {
        id if id == caller.id() => caller.scheduler_stats().unwrap().cpu_time,
        id if id == server_task.id() => server_task.scheduler_stats().unwrap().cpu_time,
        _ => backend_task.scheduler_stats().unwrap().cpu_time,
    });
    assert!(times[0] >= 40_000_000 && times[1] < 10_000_000 && times[2] < 10_000_000, "{times:?}");
    go.set();
    caller.join().unwrap();
    server_task.join().unwrap();
    backend_task.join().unwrap();
}

#[test]
fn what_limits_the_caller_limits_the_server() {
    let rt = runtime(1);
    let (client, server) = serve(&rt, Intent::system(), |()| use_cpu(Duration::from_millis(40)));
    let mut limited = Intent::batch();
    limited.qos.cpu_max = 100; // Thousandths.
    let caller = rt.spawn_fn(limited, move || {
        let start = Instant::now();
        client.call(()).unwrap();
        start.elapsed()
    });
    let took = caller.unwrap().join().unwrap();
    assert!(took >= Duration::from_millis(250), "40 ms of CPU time at a tenth of a CPU took {took:?}");
    server.join().unwrap();
}

/// A Background task is being served when an Interactive one calls, and Batch hogs want the CPU: the classic case.
#[test]
fn who_waits_for_a_turn_lends_its_urgency() {
    let rt = runtime(1);
    let served = Arc::new(Event::manual());
    let told = served.clone();
    let (client, server) = serve(&rt, Intent::background(), move |time| {
        told.set();
        use_cpu(time);
    });
    let other = client.clone();
    let low = rt.spawn_fn(Intent::background(), move || client.call(Duration::from_millis(300))).unwrap();
    served.wait();
    let hogs = Hogs::start(&rt, Intent::batch());
    let high = rt.spawn_fn(Intent::interactive(1000), move || other.call(Duration::ZERO)).unwrap();
    assert_eq!(high.join().unwrap(), Ok(()));
    let all = hogs.1.iter().all(|hog| !hog.is_finished());
    assert!(all, "the hogs kept it waiting until they gave up");
    hogs.stop();
    assert_eq!(low.join().unwrap(), Ok(()));
    server.join().unwrap();
}

#[test]
fn a_time_out_returns_and_a_late_reply_reaches_nobody() {
    let rt = runtime(2);
    let (client, server) = serve(&rt, Intent::batch(), |(number, time)| {
        sleep(time);
        number
    });
    let calls = rt.spawn_fn(Intent::batch(), move || {
        for number in 0..5 {
            let late = client.call_timeout((number, Duration::from_millis(30)), Duration::from_millis(3));
            // With its request, if a busy machine has kept the server from beginning.
            assert_eq!(late.map_err(|error| error.failure), Err(Failure::TimedOut));
            assert_eq!(client.call((100 + number, Duration::ZERO)), Ok(100 + number));
        }
        let busy = client.clone();
        let first = spawn_fn(Intent::batch(), move || busy.call((1, Duration::from_millis(100)))).unwrap();
        sleep(Duration::from_millis(20));
        let late = client.call_timeout((2, Duration::ZERO), Duration::from_millis(5));
        assert_eq!(late.unwrap_err().request, Some((2, Duration::ZERO)), "it had no turn");
        assert_eq!(first.join().unwrap(), Ok(1));
    });
    calls.unwrap().join().unwrap();
    server.join().unwrap();
}

#[test]
fn a_caller_that_is_aborted_ends_and_the_server_goes_on() {
    for computes in [false, true] {
        let rt = runtime(2);
        let (finished, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(Event::automatic()));
        let (count, told) = (finished.clone(), begun.clone());
        let (client, server) = serve(&rt, Intent::batch(), move |time: Duration| {
            told.set();
            if computes {
                burn(time)
            } else {
                sleep(time)
            }
            count.fetch_add(1, Ordering::Relaxed)
        });
        let other = client.clone();
        let caller = rt.spawn_fn(Intent::batch(), move || client.call(Duration::from_millis(60))).unwrap();
        begun.wait();
        caller.abort();
        assert!(caller.join().unwrap_err().is_cancelled());
        let next = rt.spawn_fn(Intent::batch(), move || other.call(Duration::ZERO)).unwrap();
        assert_eq!(next.join().unwrap(), Ok(1), "what was begun is brought to its end first");
        server.join().unwrap();
    }
}

#[test]
fn a_server_that_ends_in_mid_call_lets_its_callers_go() {
    let rt = runtime(2);
    for how in 0..4 {
        let (begun, (client, mut server)) = (Arc::new(Event::manual()), endpoint::<u32, u32>());
        let told = begun.clone();
        let serves = rt.spawn_fn(Intent::batch(), move || {
            assert_eq!(server.receive(), Ok(1));
            told.set();
            sleep(Duration::from_millis(10));
            match how {
                0 => panic!("the server's end, which is meant"),
                1 => drop(server),
                2 => loop {
                    yield_now();
                },
                _ => {
                    drop(server);
                    sleep(Duration::from_millis(50));
                }
            }
        });
        let serves = serves.unwrap();
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (client, begun) = (client.clone(), begun.clone());
                let call = move || {
                    begun.wait();
                    client.call(2)
                };
                rt.spawn_fn(Intent::batch(), call).unwrap()
            })
            .collect();
        let call = client.clone();
        let caller = rt.spawn_fn(Intent::batch(), move || call.call(1)).unwrap();
        begun.wait();
        if how == 2 {
            serves.abort();
        }
        let failed = caller.join().unwrap().unwrap_err();
        assert!(matches!(failed.failure, Failure::Closed | Failure::Unanswered), "{how}: {failed:?}");
        for other in others {
            assert_eq!(other.join().unwrap(), Err(CallError { failure: Failure::Closed, request: Some(2) }));
        }
        let _ = serves.join();
    }
}

#[test]
fn a_call_may_stay_unanswered() {
    let rt = runtime(1);
    let (client, mut server) = endpoint::<u32, u32>();
    let serves = rt.spawn_fn(Intent::batch(), move || {
        assert_eq!(server.receive(), Ok(1));
        assert_eq!(server.receive(), Ok(2));
        assert_eq!(server.reply(4), Err(Closed));
    });
    let calls = rt.spawn_fn(Intent::batch(), move || {
        assert_eq!(failure(client.call(1)), Some(Failure::Unanswered));
        assert_eq!(client.call(2), Ok(4));
    });
    calls.unwrap().join().unwrap();
    serves.unwrap().join().unwrap();
}

#[test]
fn circles_are_errors() {
    let rt = runtime(2);
    // A server that calls itself, and one that is called back.
    let (own, mut server) = endpoint::<u32, Option<Failure>>();
    let client = own.clone();
    let itself = rt.spawn_fn(Intent::batch(), move || {
        let Ok(1) = server.receive() else { panic!() };
        let failed = failure(own.call(2));
        drop(own);
        let _ = server.reply(failed);
    });
    let call = rt.spawn_fn(Intent::batch(), move || client.call(1)).unwrap();
    assert_eq!(call.join().unwrap(), Ok(Some(Failure::Circle)));
    itself.unwrap().join().unwrap();

    let (first, mut first_server) = endpoint::<u32, Option<Failure>>();
    let (second, mut second_server) = endpoint::<u32, Option<Failure>>();
    let back = first.clone();
    let one = rt.spawn_fn(Intent::batch(), move || first_server.serve(|n| second.call(n).unwrap())).unwrap();
    let two = rt.spawn_fn(Intent::batch(), move || {
        let n = second_server.receive().unwrap();
        let failed = failure(back.call(n));
        drop(back);
        let _ = second_server.reply(failed);
    });
    let call = rt.spawn_fn(Intent::batch(), move || first.call(1)).unwrap();
    assert_eq!(call.join().unwrap(), Ok(Some(Failure::Circle)));
    one.join().unwrap();
    two.unwrap().join().unwrap();
}

#[test]
fn a_circle_that_leads_through_a_mutex_ends_the_call_in_it() {
    let rt = runtime(2);
    let mutex = Arc::new(Mutex::new(7));
    let theirs = mutex.clone();
    let (backend, backend_task) = serve(&rt, Intent::batch(), move |()| *theirs.lock());
    let (client, server) = serve(&rt, Intent::batch(), move |()| backend.call(()).unwrap());
    let again = client.clone();
    let caller = rt.spawn_fn(Intent::batch(), move || {
        let guard = mutex.lock();
        // The client has the mutex, the backend waits for it.
        let failed = client.call(()).unwrap_err();
        drop(guard);
        failed
    });
    let failed = caller.unwrap().join().unwrap();
    assert_eq!(failed, CallError { failure: Failure::Circle, request: None });
    let next = rt.spawn_fn(Intent::batch(), move || again.call(())).unwrap();
    assert_eq!(next.join().unwrap(), Ok(7), "the servers have come to their ends meanwhile");
    server.join().unwrap();
    backend_task.join().unwrap();
}

#[test]
fn who_is_no_task_of_the_runtime_may_not_call() {
    let (rt, other) = (runtime(1), runtime(1));
    let (client, server) = serve(&rt, Intent::batch(), |n: u32| n);
    assert_eq!(
        rt.spawn_fn(Intent::batch(), {
            let c = client.clone();
            move || c.call(1)
        })
        .unwrap()
        .join()
        .unwrap(),
        Ok(1)
    );
    assert_eq!(client.call(1), Err(CallError { failure: Failure::NoTask, request: Some(1) }));
    let elsewhere = client.clone();
    let call = other.spawn_fn(Intent::batch(), move || elsewhere.call(2)).unwrap();
    assert_eq!(failure(call.join().unwrap()), Some(Failure::NoTask));
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_task_serves_one_endpoint() {
    let rt = runtime(1);
    let ((one, mut first), (two, mut second)) = (endpoint::<u32, u32>(), endpoint::<u32, u32>());
    drop((one, two));
    let task = rt.spawn_fn(Intent::batch(), move || {
        assert_eq!(first.receive(), Err(Closed));
        let _ = second.receive();
    });
    assert!(task.unwrap().join().unwrap_err().is_panic());
    fn is_send<T: Send>() {}
    is_send::<Server<u32, u32>>();
}

/// Servers that call servers, callers that lose patience or are aborted, everybody in a class of its own.
#[test]
fn nobody_is_lost_in_a_crowd() {
    let rounds: u64 = std::env::var("DIS_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    for round in 0..rounds {
        let rt = runtime(1 + round as usize % 2);
        let intents = [Intent::batch(), Intent::interactive(500), Intent::background(), Intent::system()];
        let intent = |n: u64| intents[(n % 4) as usize].clone();
        let task = |n: u64| sharing(rt.task(intent(n)), (round / 2) % 2 == 1);
        let mut servers = Vec::new();
        let mut next: Option<Client<u64, u64>> = None;
        for n in 0..3 {
            let (client, mut server) = endpoint::<u64, u64>();
            let inner = next.replace(client);
            let answer = move |x: u64| {
                if x % 7 == n {
                    sleep(Duration::from_micros(100));
                }
                match &inner {
                    Some(inner) if !x.is_multiple_of(3) => {
                        inner.call_timeout(x, Duration::from_micros(50 + x % 400)).unwrap_or(x + 1)
                    }
                    _ => x + 1,
                }
            };
            servers.push(task(n + round).spawn(move || server.serve(answer)).unwrap());
        }
        let client = next.unwrap();
        let callers: Vec<_> = (0..8u64)
            .map(|n| {
                let client = client.clone();
                let calls = move || {
                    let mut answered = 0;
                    for i in 0..200u64 {
                        let request = n * 10_000 + i;
                        let result = match (i + n) % 4 {
                            0 => client.call_timeout(request, Duration::from_micros(i)),
                            _ => client.call_timeout(request, LONG),
                        };
                        match result {
                            Ok(answer) => {
                                assert_eq!(answer, request + 1);
                                answered += 1;
                            }
                            Err(error) => assert_eq!(error.failure, Failure::TimedOut),
                        }
                    }
                    answered
                };
                task(n).spawn(calls).unwrap()
            })
            .collect();
        drop(client);
        for (n, caller) in callers.into_iter().enumerate() {
            if n % 4 == 3 {
                std::thread::sleep(Duration::from_millis(2));
                caller.abort();
                let _ = caller.join();
            } else {
                assert!(caller.join().unwrap() >= 100);
            }
        }
        servers.into_iter().rev().for_each(|server| server.join().unwrap());
    }
}

/// The job is the caller's, whatever the server is otherwise.
#[test]
fn a_server_ends_no_job_while_it_serves() {
    let rt = runtime(1);
    let (client, mut server) = endpoint::<(), [bool; 2]>();
    let serves = rt
        .spawn_fn(Intent::realtime(10_000, 10_000, 1_000), move || {
            let own = dis_runtime::next_period().is_ok();
            let mut called = server.receive();
            while called.is_ok() {
                let refused = dis_runtime::next_period().is_err() && dis_runtime::next_job(dis_runtime::now()).is_err();
                called = server.reply([own, refused]);
            }
            dis_runtime::next_period().is_ok()
        })
        .unwrap();
    let asks = rt.spawn_fn(Intent::realtime(20_000, 20_000, 2_000), move || client.call(())).unwrap();
    assert_eq!(asks.join().unwrap(), Ok([true, true]));
    assert!(serves.join().unwrap(), "on its own time it has jobs");
}
