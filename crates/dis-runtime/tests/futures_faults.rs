//! Wakers and destructors of the user's that panic harm nobody but themselves. (`async_task` ends the process where such a panic
//! reaches it, so without what is tested here these tests do not fail one by one: the process goes.)

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, future};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// A waker that panics when it wakes, and when it is dropped. Counts how often it was to wake.
struct Bad(Arc<AtomicUsize>);

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        resume_unwind(Box::new("meant: a waker"));
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        resume_unwind(Box::new("meant: a waker's destructor"));
    }
}

/// Polls `future` once with a waker that panics; it must be pending. Answers how often that waker has been used.
fn poll_badly<F: Future + Unpin>(future: &mut F) -> Arc<AtomicUsize> {
    let used = Arc::new(AtomicUsize::new(0));
    // Never dropped here.
    let waker = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Bad(used.clone()))));
    assert!(std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker)).is_pending());
    used
}

/// Panics when it is dropped.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            resume_unwind(Box::new("meant: a destructor"));
        }
    }
}

/// Waits for it, but not for ever.
fn soon(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it stands still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn sleep_beside_a_bad_one() -> usize {
    let mut bad = Box::pin(future::sleep(Duration::from_millis(100)));
    let used = poll_badly(&mut bad);
    future::sleep(Duration::from_millis(120)).await;
    used.load(Ordering::SeqCst)
}

#[test]
fn a_timer_whose_waker_panics_stops_no_other() {
    let rt = runtime(1);
    for _ in 0..5 {
        let task = rt.spawn(Intent::interactive(1_000), sleep_beside_a_bad_one()).unwrap();
        soon(|| task.is_finished());
        assert_eq!(task.join().unwrap(), 1);
    }
    let own = rt.spawn(Intent::batch().with_cpu_share(0, 900), sleep_beside_a_bad_one()).unwrap();
    soon(|| own.is_finished());
    assert_eq!(own.join().unwrap(), 1);
    let closure = rt.spawn_fn(Intent::batch(), || future::block_on(sleep_beside_a_bad_one())).unwrap();
    assert_eq!(closure.join().unwrap(), 1);
    assert_eq!(future::block_on(sleep_beside_a_bad_one()), 1);
}

#[test]
fn a_waker_that_panics_may_wait_for_a_handle() {
    let rt = runtime(1);
    for how in 0..3 {
        let mut task = rt
            .spawn(Intent::batch(), async move {
                future::sleep(Duration::from_millis(100)).await;
                if how == 1 {
                    resume_unwind(Box::new("meant"));
                }
                9
            })
            .unwrap();
        let used = poll_badly(&mut task);
        if how == 2 {
            task.abort();
        }
        soon(|| used.load(Ordering::SeqCst) == 1 && task.is_finished());
        assert_eq!(task.join().ok(), (how == 0).then_some(9));
    }
    // One that was replaced by another before.
    let mut task = rt.spawn(Intent::batch(), future::sleep(Duration::from_millis(100))).unwrap();
    let used = poll_badly(&mut task);
    task.join().unwrap();
    assert_eq!(used.load(Ordering::SeqCst), 0);
    assert_eq!(rt.spawn(Intent::batch(), async { 3 }).unwrap().join().unwrap(), 3);
}

#[test]
fn a_set_may_be_waited_for_by_a_waker_that_panics() {
    let rt = runtime(1);
    rt.block_on(async {
        let mut set = future::JoinSet::new();
        set.spawn(Intent::batch(), future::sleep(Duration::from_millis(100))).unwrap();
        let used = {
            let mut next = Box::pin(set.join_next());
            poll_badly(&mut next)
        };
        while used.load(Ordering::SeqCst) == 0 {
            future::sleep(Duration::from_millis(1)).await;
        }
        assert!(set.join_next().await.unwrap().is_ok());
    });
}

#[test]
fn destructors_that_panic_end_nothing_but_themselves() {
    async fn held(end: bool) -> Mine {
        let _mine = Mine;
        future::yield_now().await;
        match end {
            true => Mine,
            false => std::future::pending().await,
        }
    }
    let rt = runtime(1);
    for end in [true, false] {
        let task = rt.spawn(Intent::batch(), held(end)).unwrap();
        match end {
            true => drop(rt.spawn(Intent::batch(), held(end))),
            false => task.abort(),
        }
        // A destructor that panics while a future ends by itself is part of its poll.
        assert_eq!(task.join().map(std::mem::forget).unwrap_err().is_panic(), end);
    }
    let local = || {
        future::block_on_local(async {
            let ended = future::spawn_local(held(true)).unwrap();
            drop(future::spawn_local(async { Mine }).unwrap());
            drop(future::spawn_local(held(false)).unwrap());
            let cancelled = future::spawn_local(held(false)).unwrap();
            future::yield_now().await;
            cancelled.cancel().await;
            assert!(ended.await.map(std::mem::forget).unwrap_err().is_panic());
            // One that is not polled before all is over, and keeps what panics in what it was made of.
            let mine = Mine;
            drop(future::spawn_local(async move { drop(mine) }).unwrap());
            5
        })
    };
    assert_eq!(local(), 5);
    assert_eq!(rt.spawn_fn(Intent::batch(), local).unwrap().join().unwrap(), 5);
    soon(|| rt.live_futures() == 0);
}

/// Ends of local futures race with wake-ups by other threads.
#[test]
fn local_futures_are_dropped_while_others_wake_them() {
    for round in 0..200u64 {
        future::block_on_local(async {
            for n in 0..4 {
                let mut begun = false;
                let woken = poll_fn(move |cx| {
                    if !std::mem::replace(&mut begun, true) {
                        let waker = cx.waker().clone();
                        std::thread::spawn(move || {
                            std::thread::sleep(Duration::from_micros(round % 20 * n));
                            waker.wake();
                        });
                    }
                    Poll::<()>::Pending
                });
                drop(future::spawn_local(woken).unwrap());
            }
            future::yield_now().await;
        });
    }
}

#[test]
fn refusals_leave_nothing_in_a_set() {
    let rt = runtime(1);
    rt.block_on(async {
        let mut set = future::JoinSet::new();
        for _ in 0..10 {
            // Reserves more than there is.
            assert!(set.spawn(Intent::realtime(1_000, 2_000, 100), async { 1 }).is_err());
            assert!(set.join_next().await.is_none());
        }
        assert!(!format!("{set:?}").contains("numbers: [0"), "{set:?}");
        set.spawn(Intent::batch(), async { 2 }).unwrap();
        assert_eq!(set.join_next().await.unwrap().unwrap(), 2);
    });
}

/// A lane that could not be made leaves nothing behind that grows, and is made when there is room.
#[test]
fn a_lane_for_which_there_is_no_room_is_made_later() {
    let rt = Runtime::builder().workers(2).max_tasks(8).build().unwrap();
    let mut fill = Vec::new();
    while let Ok(task) = rt.spawn_fn(Intent::batch(), dis_runtime::park) {
        fill.push(task);
    }
    // Room for one of the two pollers.
    let first = fill.pop().unwrap();
    first.abort();
    assert!(first.join().is_err());
    for _ in 0..20 {
        assert!(rt.spawn(Intent::background(), async {}).is_err());
        assert!(rt.live_tasks() <= fill.len() + 1);
    }
    fill.iter().for_each(dis_runtime::JoinHandle::abort);
    fill.into_iter().for_each(|task| assert!(task.join().is_err()));
    let ends = (0..10).map(|n| rt.spawn(Intent::background(), async move { n }).unwrap().join().unwrap());
    assert_eq!(ends.sum::<u32>(), 45);
}

/// A poll that waits by a call of this crate gives its lane away, however many do so at a time.
#[test]
fn polls_that_wait_for_others_of_their_lane_give_it_away() {
    fn deep(n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let below = future::spawn_child(async move { deep(n - 1) }).unwrap();
        1 + below.join().unwrap()
    }
    let rt = runtime(1);
    for intent in [Intent::batch(), Intent::interactive(1_000)] {
        let task = rt.spawn(intent, async { deep(20) }).unwrap();
        soon(|| task.is_finished());
        assert_eq!(task.join().unwrap(), 20);
    }
}
