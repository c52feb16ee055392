//! Futures as tasks: spawning, joining, aborting, waking, time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, JoinError, Runtime, SpawnError, future, spawn_fn};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn spawned_futures_answer() {
    let rt = runtime(2);
    let sum = rt.block_on(async {
        let tasks: Vec<_> = (0..1000u64)
            .map(|n| {
                future::spawn(Intent::batch(), async move {
                    future::yield_now().await;
                    n
                })
                .unwrap()
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 499_500);
}

#[test]
fn every_class_has_lanes_and_too_many_latencies_share() {
    let rt = runtime(2);
    let mut intents = vec![Intent::batch(), Intent::background(), Intent::system()];
    intents.extend((1..40).map(|n| Intent::interactive(n * 1000)));
    let tasks: Vec<_> = intents.into_iter().map(|intent| rt.spawn(intent, async { 1 }).unwrap()).collect();
    assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<u32>(), 42);
}

#[test]
fn a_closure_task_may_wait_for_futures_and_a_future_for_closure_tasks() {
    let rt = runtime(1);
    let outer = rt.spawn_fn(Intent::batch(), || {
        let inner = future::spawn(Intent::batch(), async {
            // Waits in the middle of a poll: others of the lane go on.
            spawn_fn(Intent::batch(), || 20).unwrap().join().unwrap()
        });
        let other = future::spawn(Intent::batch(), async { 1 }).unwrap();
        inner.unwrap().join().unwrap() + other.join().unwrap()
    });
    assert_eq!(outer.unwrap().join().unwrap(), 21);
}

#[test]
fn a_panic_arrives_and_harms_nobody() {
    let rt = runtime(1);
    let bad = rt.spawn(Intent::batch(), async {
        future::yield_now().await;
        panic!("this is meant");
    });
    let bad = bad.unwrap().join().map(|_: ()| ()).unwrap_err();
    assert!(bad.is_panic() && !bad.is_cancelled());
    assert_eq!(*bad.into_panic().downcast::<&str>().unwrap(), "this is meant");
    assert_eq!(rt.spawn(Intent::batch(), async { 3 }).unwrap().join().unwrap(), 3);
}

/// Says when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_aborted_future_is_dropped_and_its_handle_says_so() {
    let rt = runtime(1);
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(dropped.clone());
    let task = rt
        .spawn(Intent::batch(), async move {
            let _flag = flag;
            std::future::pending::<()>().await;
        })
        .unwrap();
    let handle = task.abort_handle();
    assert_eq!(handle.id(), task.id());
    std::thread::sleep(Duration::from_millis(5));
    assert!(!task.is_finished());
    handle.abort();
    handle.abort();
    assert!(matches!(task.join(), Err(JoinError::Aborted)));
    assert!(dropped.load(Ordering::SeqCst));
    handle.abort();
}

#[test]
fn a_future_may_abort_itself_and_still_end() {
    let rt = runtime(1);
    let task = rt.block_on(async {
        let slot = Arc::new(std::sync::Mutex::new(None::<future::AbortHandle>));
        let own = slot.clone();
        let task = future::spawn(Intent::batch(), async move {
            while own.lock().unwrap().is_none() {
                future::yield_now().await;
            }
            own.lock().unwrap().as_ref().unwrap().abort();
            7
        })
        .unwrap();
        *slot.lock().unwrap() = Some(task.abort_handle());
        task.await
    });
    assert_eq!(task.unwrap(), 7);
}

#[test]
fn a_detached_future_goes_on() {
    let rt = runtime(2);
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    drop(rt.spawn(Intent::background(), async move {
        future::sleep(Duration::from_millis(2)).await;
        flag.store(true, Ordering::SeqCst);
    }));
    while !done.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn wake_ups_come_from_foreign_threads() {
    let rt = runtime(2);
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let mut thread = None::<(std::thread::JoinHandle<()>, Arc<AtomicBool>)>;
            rt.spawn(
                Intent::interactive(1000 * (1 + n % 3)),
                poll_fn(move |cx| {
                    let (_, done) = thread.get_or_insert_with(|| {
                        let done = Arc::new(AtomicBool::new(false));
                        let (waker, flag) = (cx.waker().clone(), done.clone());
                        let thread = std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_micros(300 * n));
                            flag.store(true, Ordering::SeqCst);
                            waker.wake();
                        });
                        (thread, done)
                    });
                    if done.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                }),
            )
            .unwrap()
        })
        .collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn a_waker_may_outlive_the_runtime() {
    let rt = runtime(1);
    let slot = Arc::new(std::sync::Mutex::new(None::<Waker>));
    let put = slot.clone();
    let task = rt.spawn(
        Intent::batch(),
        poll_fn(move |cx| {
            *put.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        }),
    );
    let task = task.unwrap();
    while slot.lock().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert!(rt.shutdown(Duration::from_secs(10)));
    slot.lock().unwrap().take().unwrap().wake();
    assert!(task.join().unwrap_err().is_cancelled());
}

#[test]
fn sleeps_are_not_too_short_and_come_in_order() {
    let rt = runtime(1);
    let order = rt.block_on(async {
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let begin = Instant::now();
        let tasks: Vec<_> = [5u64, 1, 3, 4, 2]
            .map(|ms| {
                let order = order.clone();
                future::spawn(Intent::interactive(1000), async move {
                    future::sleep(Duration::from_millis(15 * ms)).await;
                    assert!(begin.elapsed() >= Duration::from_millis(15 * ms));
                    order.lock().unwrap().push(ms);
                })
                .unwrap()
            })
            .into();
        for task in tasks {
            task.await.unwrap();
        }
        order
    });
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_timeout_gives_up_what_does_not_come() {
    let rt = runtime(1);
    rt.block_on(async {
        assert_eq!(future::timeout(Duration::from_secs(10), async { 1 }).await, Ok(1));
        let never = std::future::pending::<()>();
        assert_eq!(future::timeout(Duration::from_millis(2), never).await, Err(future::Elapsed));
        let mut ticks = future::interval(Duration::from_millis(1));
        let first = ticks.tick().await;
        assert_eq!(ticks.tick().await.since(first).as_nanos(), 1_000_000);
    });
}

/// Computes until told to stop, without ever coming to an await.
async fn hog(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_poll_that_never_ends_stops_neither_its_own_class_nor_another() {
    let rt = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    // One that is polled at once, and more that wait behind it.
    let hogs: Vec<_> = (0..3).map(|_| rt.spawn(Intent::batch(), hog(stop.clone())).unwrap()).collect();
    for intent in [Intent::batch(), Intent::interactive(1_000), Intent::batch()] {
        let task = rt.spawn(intent, async {
            for _ in 0..100 {
                future::yield_now().await;
            }
            future::sleep(Duration::from_millis(1)).await;
            5
        });
        assert_eq!(task.unwrap().join().unwrap(), 5);
    }
    assert!(hogs.iter().all(|hog| !hog.is_finished()));
    let found = rt.overruns();
    let first = found.iter().find(|overrun| overrun.id == hogs[0].id()).expect("it has overrun");
    assert!(!first.ended && first.held >= Duration::from_millis(4) && first.location.file().ends_with("futures.rs"));
    stop.store(true, Ordering::Relaxed);
    let ids: Vec<_> = hogs.iter().map(|hog| hog.id()).collect();
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    let over = |id: future::FutureId| rt.overruns().iter().any(|overrun| overrun.id == id && overrun.ended);
    while !over(ids[0]) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let lanes = rt.lane_stats();
    assert!(lanes.iter().map(|lane| lane.displaced).sum::<u64>() > 0 && lanes.iter().all(|lane| lane.ready == 0));
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn whoever_asks_hears_of_overruns_and_of_each_future() {
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = heard.clone();
    let rt = Runtime::builder().workers(1).on_overrun(move |overrun| {
        assert!(overrun.ended && overrun.held >= Duration::from_millis(1));
        hears.fetch_add(1, Ordering::SeqCst);
    });
    let rt = rt.build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stops = stop.clone();
    let line = line!() + 1;
    let hog = rt.spawn(Intent::interactive(1_000), async move {
        // A poll that has lost its lane while it waited for a CPU is not to blame, and nobody hears of it: this one computes.
        let begun = cpu_time();
        while !stops.load(Ordering::Relaxed) || cpu_time() - begun < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
    });
    let hog = hog.unwrap();
    let idle = rt.spawn(Intent::interactive(1_000), async {
        future::yield_now().await;
        std::future::pending::<()>().await;
    });
    let idle = idle.unwrap();
    while rt.overruns().is_empty() || rt.future_stats().iter().all(|stats| stats.polls < 2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let stats = rt.future_stats();
    assert_eq!((stats.len(), rt.live_futures()), (2, 2));
    let of = |id| stats.iter().find(|stats| stats.id == id).unwrap();
    assert_eq!((of(hog.id()).polls, of(hog.id()).location.line()), (0, line));
    assert!(of(idle.id()).polls >= 2 && of(idle.id()).longest <= of(idle.id()).busy);
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    while heard.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The class in which the caller is scheduled now.
fn class(rt: &Runtime) -> Option<dis_runtime::IntentClass> {
    let id = future::current().unwrap();
    rt.future_stats().into_iter().find(|stats| stats.id == id).unwrap().class
}

#[test]
fn an_intent_can_be_changed_scoped_and_inherited() {
    use dis_runtime::IntentClass::{Background, Batch, Interactive};
    let rt = Arc::new(runtime(2));
    let inner = rt.clone();
    let task = rt.spawn(Intent::batch(), async move {
        let rt = &*inner;
        assert_eq!(class(rt), Some(Batch));
        let short = Interactive { target_latency_us: 500 };
        let scoped = future::with_intent(Intent::interactive(500), async {
            let other = inner.clone();
            let child = future::spawn_child(async move { class(&other) }).unwrap();
            (class(rt), child.await.unwrap())
        });
        assert_eq!(scoped.await, Ok((Some(short), Some(short))));
        assert_eq!(class(rt), Some(Batch));
        future::set_intent(&Intent::background()).unwrap();
        future::yield_now().await;
        assert_eq!(class(rt), Some(Background));
        let refused = future::set_intent(&Intent::batch().with_cpu_share(100, 0));
        assert!(matches!(refused, Err(SpawnError::Refused(_))));
        assert_eq!(class(rt), Some(Background));
    });
    task.unwrap().join().unwrap();
    assert!(matches!(future::set_intent(&Intent::batch()), Err(SpawnError::OutsideTask)));
}

#[test]
fn a_realtime_future_has_periods() {
    let rt = runtime(2);
    let task = rt.spawn(Intent::realtime(5_000, 5_000, 500), async {
        let mut last = dis_runtime::job().unwrap();
        for _ in 0..5 {
            let job = future::next_period().await.unwrap();
            assert!(job.number > last.number && job.release > last.release);
            assert_eq!(job.release.since(last.release).as_nanos() % 5_000_000, 0);
            last = job;
        }
    });
    task.unwrap().join().unwrap();
    let other = rt.spawn(Intent::batch(), async { future::next_period().await.is_err() });
    assert!(other.unwrap().join().unwrap());
    let changed = rt.spawn(Intent::batch().with_cpu_share(0, 500), std::future::pending::<()>()).unwrap();
    changed.set_intent(&Intent::batch().with_cpu_share(0, 300)).unwrap();
    changed.abort();
    assert!(changed.join().unwrap_err().is_cancelled());
}

#[test]
fn a_poll_that_blocks_in_the_kernel_stops_nobody() {
    let rt = runtime(1);
    let (reader, writer) = std::io::pipe().unwrap();
    let blocked = rt.spawn(Intent::batch(), async move {
        let mut byte = [0];
        std::io::Read::read_exact(&mut &reader, &mut byte).unwrap();
        byte[0]
    });
    let task = rt.spawn(Intent::batch(), async move {
        std::io::Write::write_all(&mut &writer, &[9]).unwrap();
    });
    task.unwrap().join().unwrap();
    assert_eq!(blocked.unwrap().join().unwrap(), 9);
}

#[test]
fn a_hog_does_not_stop_what_it_woke_itself() {
    let rt = runtime(1);
    let answered = Arc::new(AtomicBool::new(false));
    let flag = answered.clone();
    let hog = rt.spawn(Intent::interactive(5_000), async move {
        drop(future::spawn_child(async move { flag.store(true, Ordering::SeqCst) }));
        while !answered.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    });
    hog.unwrap().join().unwrap();
}

#[test]
fn the_end_of_the_runtime_drops_futures() {
    let rt = runtime(2);
    let dropped: Vec<_> = (0..100).map(|_| Arc::new(AtomicBool::new(false))).collect();
    let tasks: Vec<_> = dropped
        .iter()
        .map(|dropped| {
            let flag = Flag(dropped.clone());
            rt.spawn(Intent::batch(), async move {
                let _flag = flag;
                std::future::pending::<()>().await
            })
            .unwrap()
        })
        .collect();
    assert!(rt.shutdown(Duration::from_secs(10)));
    assert!(dropped.iter().all(|dropped| dropped.load(Ordering::SeqCst)));
    assert!(tasks.into_iter().all(|task| task.join().unwrap_err().is_cancelled()));
}

#[test]
fn a_future_with_promises_of_its_own_has_a_task_of_its_own() {
    let rt = runtime(2);
    let capped = Intent::batch().with_cpu_share(0, 500);
    let task = rt.spawn(capped, async {
        future::sleep(Duration::from_millis(1)).await;
        future::yield_now().await;
        11
    });
    assert_eq!(task.unwrap().join().unwrap(), 11);
    let refused = rt.spawn(Intent::realtime(1_000, 2_000, 100), async {});
    assert!(matches!(refused, Err(SpawnError::Refused(_))), "{refused:?}");
}

#[test]
fn polls_have_more_stack_than_closures() {
    fn deep(n: usize) -> usize {
        let frame = std::hint::black_box([n as u8; 1024]);
        if n == 0 { usize::from(frame[1023]) } else { 1 + deep(n - 1) }
    }
    let rt = Runtime::builder().workers(1).stack_size(32 * 1024).build().unwrap();
    assert_eq!(rt.spawn(Intent::batch(), async { deep(700) }).unwrap().join().unwrap(), 700);
    let own = Intent::batch().with_cpu_share(0, 900);
    assert_eq!(rt.spawn(own, async { deep(700) }).unwrap().join().unwrap(), 700);
}

#[test]
fn a_spawn_needs_a_runtime() {
    assert!(matches!(future::spawn(Intent::batch(), async {}), Err(SpawnError::OutsideTask)));
    assert_eq!(future::block_on(async { 1 }), 1);
}

/// Wakes itself from many places at once.
#[test]
fn no_wake_up_is_lost_between_workers() {
    let rt = runtime(2);
    struct Ping(Arc<(AtomicUsize, std::sync::Mutex<Option<Waker>>)>, usize);
    impl Future for Ping {
        type Output = ();
        fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
            *self.0.1.lock().unwrap() = Some(cx.waker().clone());
            if self.0.0.load(Ordering::SeqCst) >= self.1 { Poll::Ready(()) } else { Poll::Pending }
        }
    }
    for (waiter, waker) in [(0, 0), (0, 1), (1, 0)] {
        let intents = [Intent::batch(), Intent::interactive(1_000)];
        let shared = Arc::new((AtomicUsize::new(0), std::sync::Mutex::new(None::<Waker>)));
        let wait = {
            let shared = shared.clone();
            rt.spawn(intents[waiter].clone(), async move {
                for n in 1..=2000 {
                    Ping(shared.clone(), n).await;
                }
            })
        };
        let wake = rt.spawn(intents[waker].clone(), async move {
            for n in 1..=2000 {
                shared.0.store(n, Ordering::SeqCst);
                if let Some(waker) = shared.1.lock().unwrap().take() {
                    waker.wake();
                }
                future::yield_now().await;
            }
        });
        wake.unwrap().join().unwrap();
        wait.unwrap().join().unwrap();
    }
}

#[test]
fn what_a_displaced_poll_wakes_is_polled_while_it_goes_on() {
    let rt = runtime(1);
    let task = rt.spawn(Intent::interactive(1_000), async {
        // Somebody waits, so the poll loses its lane.
        drop(future::spawn_child(std::future::pending::<()>()));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        // And goes on with waking others: with computing, and then with waiting in the kernel, for them.
        for wait in [std::thread::yield_now as fn(), || std::thread::sleep(Duration::from_millis(1))] {
            let answered = Arc::new(AtomicUsize::new(0));
            for _ in 0..10 {
                let answered = answered.clone();
                drop(future::spawn_child(async move { answered.fetch_add(1, Ordering::SeqCst) }));
            }
            while answered.load(Ordering::SeqCst) < 10 {
                wait();
            }
        }
    });
    task.unwrap().join().unwrap();
}

#[test]
fn a_set_gives_results_in_the_order_of_their_ends() {
    let rt = runtime(2);
    rt.block_on(async {
        let mut set = future::JoinSet::new();
        assert!(set.join_next().await.is_none());
        for ms in [30u64, 1, 15] {
            set.spawn(Intent::interactive(1_000), async move {
                future::sleep(Duration::from_millis(ms)).await;
                ms
            })
            .unwrap();
        }
        assert_eq!(set.len(), 3);
        let mut seen = Vec::new();
        while let Some(result) = set.join_next().await {
            seen.push(result.unwrap());
        }
        assert_eq!(seen, [1, 15, 30]);
        let aborted = set.spawn(Intent::batch(), std::future::pending()).unwrap();
        set.spawn(Intent::batch(), async { std::panic::resume_unwind(Box::new("meant")) }).unwrap();
        assert!(set.join_next().await.unwrap().unwrap_err().is_panic());
        aborted.abort();
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        set.spawn(Intent::batch(), std::future::pending()).unwrap();
        set.shutdown().await;
        assert!(set.is_empty());
        set.spawn(Intent::batch(), std::future::pending()).unwrap();
    });
    // The set was dropped.
    while rt.live_futures() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn local_futures_stay_where_they_are() {
    use std::cell::Cell;
    use std::rc::Rc;
    fn run() -> u32 {
        let (sum, dropped) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        struct Count(Rc<Cell<u32>>, std::thread::ThreadId);
        impl Drop for Count {
            fn drop(&mut self) {
                assert_eq!(std::thread::current().id(), self.1);
                self.0.set(self.0.get() + 1);
            }
        }
        let total = future::block_on_local(async {
            let handles: Vec<_> = (1..=100)
                .map(|n| {
                    let (sum, count) = (sum.clone(), Count(dropped.clone(), std::thread::current().id()));
                    future::spawn_local(async move {
                        let _count = count;
                        future::yield_now().await;
                        future::sleep(Duration::from_micros(200)).await;
                        sum.set(sum.get() + n);
                        n
                    })
                    .unwrap()
                })
                .collect();
            let mut total = 0;
            for handle in handles {
                total += handle.await.unwrap();
            }
            let bad = future::spawn_local(async { std::panic::resume_unwind(Box::new("meant")) }).unwrap();
            assert!(bad.await.map(|_: ()| ()).unwrap_err().is_panic());
            // One that is woken from elsewhere when all is over.
            let count = Count(dropped.clone(), std::thread::current().id());
            drop(future::spawn_local(async move {
                let _count = count;
                let mut slept = false;
                poll_fn(move |cx| {
                    let waker = cx.waker().clone();
                    if !std::mem::replace(&mut slept, true) {
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_millis(5));
                            waker.wake();
                        });
                    }
                    Poll::<()>::Pending
                })
                .await
            }));
            future::yield_now().await;
            total
        });
        assert_eq!((total, sum.get(), dropped.get()), (5050, 5050, 101));
        total
    }
    assert!(matches!(future::spawn_local(async {}), Err(SpawnError::OutsideTask)));
    assert_eq!(run(), 5050);
    let rt = runtime(2);
    let tasks: Vec<_> = (0..4).map(|_| rt.spawn_fn(Intent::interactive(2_000), run).unwrap()).collect();
    assert!(tasks.into_iter().all(|task| task.join().unwrap() == 5050));
    std::thread::sleep(Duration::from_millis(20));
}
