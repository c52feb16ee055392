//! Realtime futures: their periods, wherever they are awaited, and that an abort does not wait for one.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, future, job};

/// So long that nothing here may wait for it.
const AGE: u64 = 600_000_000;

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

/// A future that waits for a release in ten minutes; its flag says that it does so.
fn waits_long(rt: &Runtime) -> (future::JoinHandle<()>, Arc<AtomicBool>) {
    let waits = Arc::new(AtomicBool::new(false));
    let flag = waits.clone();
    let task = rt.spawn(Intent::realtime(AGE, AGE, 1_000), async move {
        flag.store(true, Ordering::SeqCst);
        future::next_period().await.unwrap();
        panic!("the release has come");
    });
    (task.unwrap(), waits)
}

#[test]
fn an_abort_does_not_wait_for_a_release() {
    let rt = runtime();
    // At once, while it is about to wait, and later.
    for round in 0..200 {
        let (task, waits) = waits_long(&rt);
        while round % 4 > 0 && !waits.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(if round % 4 == 3 { 2_000 } else { 7 * (round / 4) }));
        if round % 2 == 0 {
            task.abort()
        } else {
            task.abort_handle().abort()
        }
        assert!(task.join().unwrap_err().is_cancelled());
    }
}

#[test]
fn a_shutdown_does_not_wait_for_a_release() {
    for round in 0..20 {
        let rt = runtime();
        let (task, waits) = waits_long(&rt);
        while round % 4 > 0 && !waits.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_micros(10 * round));
        }
        assert!(rt.shutdown(Duration::from_secs(30)));
        assert!(task.join().unwrap_err().is_cancelled());
    }
}

/// An abort acts at the next poll: the present one, and its waits, go on undisturbed.
#[test]
fn an_abort_shortens_no_sleep_in_the_middle_of_a_poll() {
    let rt = runtime();
    let (slept, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (nanos, flag) = (slept.clone(), begun.clone());
    let task = rt.spawn(Intent::realtime(AGE, AGE, 1_000), async move {
        let from = Instant::now();
        flag.store(true, Ordering::SeqCst);
        dis_runtime::sleep(Duration::from_millis(20));
        nanos.store(from.elapsed().as_nanos() as u64, Ordering::SeqCst);
        std::future::pending::<()>().await;
    });
    let task = task.unwrap();
    while !begun.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    task.abort();
    assert!(task.join().unwrap_err().is_cancelled());
    assert!(slept.load(Ordering::SeqCst) >= 20_000_000);
}

#[test]
fn a_period_is_waited_for_wherever_it_is_awaited() {
    let rt = runtime();
    let task = rt.spawn(Intent::realtime(5_000, 5_000, 2_000), async {
        let mut last = job().unwrap();
        let mut later = |what: &str| {
            let now = job().unwrap();
            assert!(now.number > last.number && now.release > last.release, "{what}: {now:?} after {last:?}");
            assert!(dis_runtime::now() >= now.release, "{what}");
            last = now;
        };
        future::next_period().await.unwrap();
        later("awaited");
        future::block_on(future::next_period()).unwrap();
        later("block_on");
        future::block_on_local(async {
            future::spawn_local(future::next_period()).unwrap().await.unwrap().unwrap();
        });
        later("spawn_local");
        // Beside others that are ready, or wake all the time.
        let mut period = Box::pin(future::next_period());
        let mut other = Box::pin(async {
            for _ in 0..10 {
                future::yield_now().await;
            }
        });
        let mut ready = false;
        poll_fn(|cx| {
            ready |= other.as_mut().poll(cx).is_ready();
            period.as_mut().poll(cx).map(|job| assert!(job.is_ok()))
        })
        .await;
        later("joined");
        // Polled more than once before the poll of the whole future is over.
        let mut period = Box::pin(future::next_period());
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            assert!(polls > 1 || period.as_mut().poll(cx).is_pending());
            period.as_mut().poll(cx)
        })
        .await
        .unwrap();
        later("polled twice");
        // Given up before it was polled again: nothing is waited for.
        let before = job().unwrap().number;
        let mut given_up = Box::pin(future::next_period());
        assert!(poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx).is_pending())).await);
        drop(given_up);
        future::yield_now().await;
        assert_eq!(job().unwrap().number, before);
        // Given up while another one waits.
        let mut given_up = Some(Box::pin(future::next_period()));
        let mut other = Box::pin(future::next_period());
        poll_fn(|cx| {
            if let Some(mut period) = given_up.take() {
                assert!(period.as_mut().poll(cx).is_pending());
            }
            other.as_mut().poll(cx)
        })
        .await
        .unwrap();
        later("beside one that was given up");
    });
    task.unwrap().join().unwrap();
}

#[test]
fn the_present_class_decides_about_periods() {
    let rt = runtime();
    let realtime = Intent::realtime(4_000, 4_000, 500);
    // A future that becomes Realtime, and one that was.
    let to = realtime.clone();
    let becomes = rt.spawn(Intent::batch().with_cpu_share(0, 900), async move {
        assert!(future::next_period().await.is_err() && dis_runtime::next_period().is_err());
        future::set_intent(&to).unwrap();
        future::yield_now().await;
        let first = future::next_period().await.unwrap();
        let second = future::next_period().await.unwrap();
        second.release.since(first.release).as_nanos()
    });
    assert_eq!(becomes.unwrap().join().unwrap() % 4_000_000, 0);
    let was = rt.spawn(realtime.clone(), async {
        future::next_period().await.unwrap();
        future::set_intent(&Intent::batch()).unwrap();
        future::yield_now().await;
        future::next_period().await.is_err() && dis_runtime::next_period().is_err()
    });
    assert!(was.unwrap().join().unwrap());
    // The same for closures.
    let (go, went) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let flags = (go.clone(), went.clone());
    let closure = rt.spawn_fn(Intent::batch(), move || {
        while !flags.0.load(Ordering::SeqCst) {
            dis_runtime::sleep(Duration::from_millis(1));
        }
        let first = dis_runtime::next_period().unwrap();
        let second = dis_runtime::next_period().unwrap();
        flags.1.store(true, Ordering::SeqCst);
        while flags.0.load(Ordering::SeqCst) {
            dis_runtime::sleep(Duration::from_millis(1));
        }
        assert!(second.release > first.release && dis_runtime::next_period().is_err());
    });
    let closure = closure.unwrap();
    closure.set_intent(&realtime).unwrap();
    go.store(true, Ordering::SeqCst);
    while !went.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    closure.set_intent(&Intent::batch()).unwrap();
    go.store(false, Ordering::SeqCst);
    closure.join().unwrap();
}
