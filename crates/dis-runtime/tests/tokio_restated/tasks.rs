//! Aborts, panics, ends of tasks and of runtimes.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, JoinError, SpawnError, future};
use tokio::sync::oneshot;

use crate::{alone, ms, runtime, soon, soon_in_thread};

/// `task_abort.rs`: `test_abort_without_panic_3157`.
#[test]
fn a_sleeping_task_is_aborted() {
    runtime(1).block_on(async {
        let task = future::spawn(Intent::batch(), future::sleep(Duration::from_secs(100))).unwrap();
        future::sleep(ms(5)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// `task_abort.rs`: `test_abort_without_panic_3662`.
#[test]
fn a_task_that_another_thread_has_aborted_is_dropped_before_its_handle_is_ready() {
    let token = Arc::new(());
    let held = token.clone();
    runtime(1).block_on(async {
        let task = future::spawn(Intent::batch(), async move {
            let _held = held;
            pending::<()>().await;
        });
        let task = task.unwrap();
        let task = std::thread::spawn(move || {
            task.abort();
            task
        });
        assert!(task.join().unwrap().await.unwrap_err().is_cancelled());
        assert!(alone(&token));
        future::spawn(Intent::batch(), future::yield_now()).unwrap().await.unwrap();
    });
}

/// `task_abort.rs`: `test_abort_wakes_task_3964`.
#[test]
fn an_abort_acts_without_the_handle() {
    let token = Arc::new(());
    let held = token.clone();
    runtime(1).block_on(async {
        let task = future::spawn(Intent::batch(), async move {
            let _held = held;
            future::sleep(Duration::from_secs(100)).await;
        });
        let task = task.unwrap();
        future::sleep(ms(2)).await;
        task.abort();
        drop(task);
        soon(|| alone(&token)).await;
    });
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("meant"));
    }
}

/// `task_abort.rs`: `test_abort_task_that_panics_on_drop_contained`, `…_returned`. Differs: an abort's result is `Aborted` whatever
/// destructors do.
#[test]
fn a_destructor_that_panics_in_an_abort_harms_nobody() {
    runtime(1).block_on(async {
        for keep in [true, false] {
            let task = future::spawn(Intent::batch(), async {
                let _bad = PanicsWhenDropped;
                pending::<()>().await;
            });
            let task = task.unwrap();
            future::sleep(ms(1)).await;
            task.abort();
            if keep {
                assert!(task.await.unwrap_err().is_cancelled());
            }
        }
        assert_eq!(future::spawn(Intent::batch(), async { 1 }).unwrap().await.unwrap(), 1);
    });
}

/// `task_abort.rs`: `test_join_error_display`, `test_join_error_debug`. Differs: the text names no id, and `Debug` no message.
#[test]
fn a_join_error_says_what_the_panic_said() {
    runtime(1).block_on(async {
        let panics = [
            (Box::new(String::from("a text of 4")) as Box<dyn std::any::Any + Send>, "the task panicked: a text of 4"),
            (Box::new("a text"), "the task panicked: a text"),
            (Box::new(1234i32), "the task panicked: no message"),
        ];
        for (payload, text) in panics {
            let task = future::spawn(Intent::batch(), async move { std::panic::resume_unwind(payload) });
            let error: JoinError = task.unwrap().await.map(|(): ()| ()).unwrap_err();
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(error.to_string(), text);
        }
    });
}

/// `join_handle_panic.rs`: `test_panics_do_not_propagate_when_dropping_join_handle`: a result whose destructor panics is dropped by the handle that nobody has awaited.
#[test]
fn the_panic_of_a_result_nobody_wants_ends_with_it() {
    let rt = runtime(1);
    let task = rt.spawn(Intent::batch(), async { PanicsWhenDropped }).unwrap();
    soon_in_thread(|| task.is_finished());
    drop(task);
    assert_eq!(rt.spawn(Intent::batch(), async { 1 }).unwrap().join().unwrap(), 1);
}

/// `rt_common.rs`: `panic_in_task`, `panic_in_block_on`.
#[test]
fn a_panic_in_block_on_is_the_callers_and_the_runtime_goes_on() {
    let rt = runtime(1);
    let panics = std::panic::AssertUnwindSafe(|| rt.block_on(async { std::panic::resume_unwind(Box::new(7)) }));
    let payload = std::panic::catch_unwind(panics).map(|(): ()| ()).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&7));
    assert_eq!(rt.block_on(async { future::spawn(Intent::batch(), async { 1 }).unwrap().await.unwrap() }), 1);
}

/// `rt_common.rs`: `spawn_many_from_block_on`, `spawn_many_from_task`.
#[test]
fn many_are_spawned_from_anywhere() {
    const MANY: usize = 200;
    async fn many() -> usize {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..MANY {
            let sender = sender.clone();
            drop(future::spawn(Intent::batch(), async move {
                future::yield_now().await;
                drop(future::spawn_child(async move { sender.send(n).unwrap() }).unwrap());
            }));
        }
        drop(sender);
        let mut seen = vec![false; MANY];
        while let Some(n) = receiver.recv().await {
            assert!(!std::mem::replace(&mut seen[n], true));
        }
        seen.into_iter().filter(|&seen| seen).count()
    }
    let rt = runtime(2);
    assert_eq!(rt.block_on(many()), MANY);
    assert_eq!(rt.spawn(Intent::batch(), many()).unwrap().join().unwrap(), MANY);
}

/// `rt_common.rs`: `outstanding_tasks_dropped`; `rt_threaded.rs`: `drop_threadpool_drops_futures`.
#[test]
fn the_end_of_a_runtime_drops_tasks_that_wait_and_that_have_not_begun() {
    for workers in [1, 2] {
        let token = Arc::new(());
        let rt = runtime(workers);
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let held = token.clone();
                let waits = async move {
                    if n % 2 == 0 {
                        future::yield_now().await;
                    }
                    let _held = held;
                    pending::<()>().await;
                };
                rt.spawn(Intent::background(), waits).unwrap()
            })
            .collect();
        drop(rt);
        soon_in_thread(|| alone(&token));
        assert!(tasks.into_iter().all(|task| task.join().unwrap_err().is_cancelled()));
    }
}

/// `rt_common.rs`: `shutdown_timeout`. A task that blocks its thread does not keep the caller beyond the timeout.
#[test]
fn a_shutdown_waits_no_longer_than_it_is_told() {
    let rt = runtime(1);
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let task = rt.spawn(Intent::batch(), async move {
        begun.send(()).unwrap();
        released.recv().unwrap();
    });
    begins.recv().unwrap();
    assert!(!rt.shutdown(ms(20)));
    release.send(()).unwrap();
    // It ends all the same, and its poll with it.
    assert!(task.unwrap().join().is_ok());
}

/// `rt_common.rs`: `wake_while_rt_is_dropping`; `rt_threaded.rs`: `wake_during_shutdown`.
#[test]
fn destructors_wake_others_while_the_runtime_ends() {
    struct Wakes(Option<oneshot::Sender<()>>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            let _ = self.0.take().map(|sender| sender.send(()));
        }
    }
    for _ in 0..50 {
        let rt = runtime(2);
        let (a, on_a) = oneshot::channel();
        let (b, on_b) = oneshot::channel();
        for (wakes, waits) in [(a, on_b), (b, on_a)] {
            drop(rt.spawn(Intent::batch(), async move {
                let _wakes = Wakes(Some(wakes));
                let _ = waits.await;
                pending::<()>().await;
            }));
        }
        assert!(rt.shutdown(Duration::from_secs(30)));
    }
}

/// A future that spawns when it is dropped.
struct SpawnsWhenDropped(Arc<AtomicUsize>);

impl Drop for SpawnsWhenDropped {
    fn drop(&mut self) {
        let counts = self.0.clone();
        if let Err(error) = future::spawn(Intent::batch(), async move { counts.fetch_add(1, Ordering::SeqCst) }) {
            assert_eq!(error, SpawnError::Closing);
        }
    }
}

/// `rt_common.rs`, `rt_threaded.rs`, at the end of runtimes: a destructor that spawns while the runtime ends does not keep it from ending.
#[test]
fn a_destructor_may_spawn_while_the_runtime_ends() {
    let rt = runtime(2);
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let spawns = SpawnsWhenDropped(count.clone());
        drop(rt.spawn(Intent::batch(), async move {
            let _spawns = spawns;
            pending::<()>().await;
        }));
    }
    assert!(rt.shutdown(Duration::from_secs(30)));
    assert_eq!(Arc::strong_count(&count), 1);
}

/// `JoinHandle::is_finished`, as its documentation has it.
#[test]
fn a_handle_knows_whether_its_task_has_ended() {
    let rt = runtime(1);
    let (go, goes) = oneshot::channel();
    let task = rt.spawn(Intent::batch(), async move { goes.await.unwrap() }).unwrap();
    std::thread::sleep(ms(2));
    assert!(!task.is_finished());
    go.send(()).unwrap();
    soon_in_thread(|| task.is_finished());
    task.join().unwrap();
}

/// `task_blocking.rs`: `can_enter_current_thread_rt_from_within_block_in_place`. Differs: a task may block, or wait for another
/// future, wherever it likes.
#[test]
fn a_task_may_block_on_a_future_and_on_another_runtime() {
    let rt = runtime(1);
    let task = rt.spawn(Intent::batch(), async {
        let inner = future::block_on(async { future::spawn_child(async { 20 }).unwrap().await.unwrap() });
        let other = runtime(1);
        inner + other.block_on(async { future::spawn(Intent::batch(), async { 1 }).unwrap().await.unwrap() })
    });
    assert_eq!(task.unwrap().join().unwrap(), 21);
}

/// `task_local_set.rs`: `drop_cancels_tasks`, `local_tasks_wake_join_all`; `task_abort.rs`: `remote_abort_local_set_3929` (no handle
/// of a local task leaves the thread here).
#[test]
fn local_tasks_end_with_their_set_and_on_their_thread() {
    let token = std::rc::Rc::new(());
    let held = token.clone();
    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    future::block_on_local(async {
        drop(future::spawn_local(async move {
            let _held = held;
            pending::<()>().await;
        }));
        let nested = future::spawn_local(async move {
            let inner = future::spawn_local(async { 1 }).unwrap();
            let sum = inner.await.unwrap() + future::spawn_local(async { 2 }).unwrap().await.unwrap();
            flag.store(true, Ordering::SeqCst);
            sum
        });
        assert_eq!(nested.unwrap().await.unwrap(), 3);
    });
    assert!(ended.load(Ordering::SeqCst) && std::rc::Rc::strong_count(&token) == 1);
}

/// `rt_common.rs`: `ping_pong_saturation`, and the module `coop`. Differs: there is no budget, a poll is preempted.
#[test]
fn tasks_that_are_always_ready_keep_nobody_from_running() {
    let rt = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|n| {
            let stop = stop.clone();
            let task = async move {
                while !stop.load(Ordering::Relaxed) {
                    // Half of them never come to an await that waits.
                    match n % 2 {
                        0 => future::yield_now().await,
                        _ => std::future::ready(()).await,
                    }
                }
            };
            rt.spawn(Intent::batch(), task).unwrap()
        })
        .collect();
    let begun = Instant::now();
    let others: Vec<_> = (0..20).map(|n| rt.spawn(Intent::batch(), async move { n }).unwrap()).collect();
    assert_eq!(others.into_iter().map(|task| task.join().unwrap()).sum::<i32>(), 190);
    assert!(begun.elapsed() < Duration::from_secs(20));
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|task| task.join().unwrap());
}

/// `async_send_sync.rs`: what may be sent and shared.
#[test]
fn handles_may_be_sent_and_shared() {
    fn both<T: Send + Sync>() {}
    fn future<T: Future + Send + Unpin>() {}
    both::<future::JoinHandle<Box<u32>>>();
    both::<future::AbortHandle>();
    both::<future::JoinSet<Box<u32>>>();
    both::<future::Sleep>();
    both::<future::Interval>();
    future::<future::JoinHandle<std::cell::Cell<u32>>>();
}
