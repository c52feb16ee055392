//! Tasks and futures of two runtimes that meet.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, future};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// A future that is never ready, and shows its waker.
async fn shown(slot: Arc<Mutex<Option<Waker>>>, polls: Arc<AtomicU64>) {
    poll_fn(move |cx| {
        *slot.lock().unwrap() = Some(cx.waker().clone());
        polls.fetch_add(1, Ordering::Relaxed);
        Poll::<()>::Pending
    })
    .await
}

/// Tasks of each runtime, preempted all the time, wake futures of the other one.
///
/// What is inside the other runtime must not be preempted by one's own: with its locks taken both stand still in the end.
#[test]
fn tasks_of_two_runtimes_wake_each_others_futures() {
    const FUTURES: usize = 64;
    let (a, b) = (Arc::new(runtime(1)), Arc::new(runtime(1)));
    let stop = Arc::new(AtomicBool::new(false));
    let polls: [Arc<AtomicU64>; 2] = Default::default();
    let mut tasks = Vec::new();
    for (n, (here, there)) in [(&a, &b), (&b, &a)].into_iter().enumerate() {
        let wakers: Vec<_> = (0..FUTURES)
            .map(|_| {
                let slot = Arc::new(Mutex::new(None));
                drop(there.spawn(Intent::interactive(500), shown(slot.clone(), polls[n].clone())).unwrap());
                while slot.lock().unwrap().is_none() {
                    std::thread::yield_now();
                }
                slot.lock().unwrap().clone().unwrap()
            })
            .collect();
        for first in 0..3 {
            let (wakers, stop) = (wakers.clone(), stop.clone());
            let wake = move || {
                for waker in wakers.iter().cycle().skip(first * FUTURES / 3) {
                    waker.wake_by_ref();
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            };
            tasks.push(here.spawn_fn(Intent::batch(), wake).unwrap());
        }
        let stop = stop.clone();
        let preempt = move || {
            while !stop.load(Ordering::Relaxed) {
                dis_runtime::sleep(Duration::from_micros(60));
            }
        };
        tasks.push(here.spawn_fn(Intent::interactive(500), preempt).unwrap());
    }
    let seen = || polls.each_ref().map(|polls| polls.load(Ordering::Relaxed));
    let (begun, mut last, mut moved) = (Instant::now(), seen(), Instant::now());
    while begun.elapsed() < Duration::from_secs(2) || moved.elapsed() > Duration::from_millis(500) {
        std::thread::sleep(Duration::from_millis(20));
        if seen().iter().zip(last).all(|(&now, last)| now > last) {
            (last, moved) = (seen(), Instant::now());
        }
        if moved.elapsed() > Duration::from_secs(20) {
            // Nothing can be dropped any more.
            eprintln!("the runtimes stand still");
            std::process::abort();
        }
    }
    stop.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    assert!(a.preemption_signals() > 100 && b.preemption_signals() > 100);
}

/// A `with_intent` that was begun in one runtime ends in another, which may not have the kind of lane that it would restore.
#[test]
fn with_intent_restores_nothing_elsewhere() {
    let (a, b) = (runtime(1), runtime(1));
    let taken = Arc::new(Mutex::new(None));
    let put = taken.clone();
    let begin = a.spawn(Intent::background(), async move {
        let mut scoped = Box::pin(future::with_intent(Intent::interactive(700), std::future::pending::<()>()));
        // Its intent has changed, and it waits.
        for _ in 0..2 {
            assert!(poll_fn(|cx| Poll::Ready(scoped.as_mut().poll(cx).is_pending())).await);
        }
        *put.lock().unwrap() = Some(scoped);
    });
    begin.unwrap().join().unwrap();
    let scoped = taken.lock().unwrap().take().unwrap();
    let class = b.spawn(Intent::batch(), async move {
        drop(scoped);
        future::yield_now().await;
        future::current().unwrap()
    });
    let class = class.unwrap();
    let id = class.id();
    assert_eq!(class.join().unwrap(), id);
    // Nor does one restore another future's of the same runtime.
    let put = taken.clone();
    let begin = a.spawn(Intent::background(), async move {
        let mut scoped = Box::pin(future::with_intent(Intent::interactive(700), std::future::pending::<()>()));
        assert!(poll_fn(|cx| Poll::Ready(scoped.as_mut().poll(cx).is_pending())).await);
        *put.lock().unwrap() = Some(scoped);
    });
    begin.unwrap().join().unwrap();
    let scoped = taken.lock().unwrap().take().unwrap();
    let a = Arc::new(a);
    let inner = a.clone();
    let class = a.spawn(Intent::batch(), async move {
        drop(scoped);
        let own = future::current().unwrap();
        inner.future_stats().into_iter().find(|stats| stats.id == own).unwrap().class
    });
    assert_eq!(class.unwrap().join().unwrap(), Some(Intent::batch().class));
}

#[test]
fn each_of_two_runtimes_ends_by_itself() {
    let (a, b) = (runtime(1), runtime(2));
    let of_b = b.spawn(Intent::batch(), async { 1 }).unwrap();
    // A future of one waits for one of the other.
    let of_a = a.spawn(Intent::interactive(1_000), async move { 1 + of_b.await.unwrap() });
    assert_eq!(of_a.unwrap().join().unwrap(), 2);
    let waits = b.spawn(Intent::batch(), std::future::pending::<()>()).unwrap();
    let waiting = a.spawn(Intent::batch(), waits).unwrap();
    assert!(b.shutdown(Duration::from_secs(60)));
    assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
    assert_eq!(a.spawn(Intent::batch(), async { 3 }).unwrap().join().unwrap(), 3);
    assert!(a.shutdown(Duration::from_secs(60)));
}
