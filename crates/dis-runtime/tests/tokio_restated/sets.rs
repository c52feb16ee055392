//! Sets of tasks: `task_join_set.rs`.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use dis_runtime::{Intent, future};

use crate::{alone, ms, runtime, soon};

/// `test_with_sleep`.
#[test]
fn a_set_can_be_used_again_when_it_has_been_emptied() {
    runtime(2).block_on(async {
        let mut set = future::JoinSet::new();
        for _ in 0..2 {
            for n in 0..10usize {
                set.spawn(Intent::batch(), async move {
                    future::sleep(ms(n as u64 % 3)).await;
                    n
                })
                .unwrap();
                assert_eq!(set.len(), n + 1);
            }
            let mut seen = [false; 10];
            while let Some(n) = set.join_next().await {
                seen[n.unwrap()] = true;
            }
            assert!(seen.iter().all(|&seen| seen) && set.join_next().await.is_none());
        }
    });
}

/// `alternating`.
#[test]
fn spawns_and_joins_alternate() {
    runtime(1).block_on(async {
        let mut set = future::JoinSet::new();
        set.spawn(Intent::batch(), async {}).unwrap();
        for _ in 0..50 {
            set.spawn(Intent::batch(), async {}).unwrap();
            assert_eq!(set.len(), 2);
            set.join_next().await.unwrap().unwrap();
            assert_eq!(set.len(), 1);
        }
    });
}

/// `test_abort_on_drop`, `spawn_then_drop`.
#[test]
fn a_set_that_is_dropped_aborts() {
    let token = Arc::new(());
    runtime(2).block_on(async {
        let mut set = future::JoinSet::new();
        for _ in 0..16 {
            let held = token.clone();
            set.spawn(Intent::batch(), async move {
                let _held = held;
                pending::<()>().await;
            })
            .unwrap();
        }
        drop(set);
        soon(|| alone(&token)).await;
    });
}

/// `abort_tasks`.
#[test]
fn single_tasks_of_a_set_are_aborted() {
    runtime(2).block_on(async {
        let mut set = future::JoinSet::new();
        for n in 0..16u64 {
            let task = set.spawn(Intent::batch(), async move {
                future::sleep(ms(300 + n)).await;
                n
            });
            if n % 2 == 1 {
                task.unwrap().abort();
            }
        }
        let (mut ended, mut aborted) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(n) => {
                    assert_eq!(n % 2, 0);
                    ended += 1;
                }
                Err(error) => {
                    assert!(error.is_cancelled());
                    aborted += 1;
                }
            }
        }
        assert_eq!((ended, aborted), (8, 8));
    });
}

/// `abort_all`: of those that have ended some keep their results.
#[test]
fn all_of_a_set_are_aborted_and_all_are_to_be_joined() {
    runtime(2).block_on(async {
        let mut set = future::JoinSet::new();
        for _ in 0..5 {
            set.spawn(Intent::batch(), pending()).unwrap();
            set.spawn(Intent::batch(), async {}).unwrap();
        }
        future::sleep(ms(5)).await;
        set.abort_all();
        assert_eq!(set.len(), 10);
        let (mut ended, mut aborted) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(()) => ended += 1,
                Err(error) if error.is_cancelled() => aborted += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(ended + aborted == 10 && aborted >= 5);
    });
}

/// `runtime_gone`.
#[test]
fn tasks_of_a_runtime_that_has_gone_are_cancelled() {
    let mut set = future::JoinSet::new();
    let rt = runtime(1);
    rt.block_on(async { set.spawn(Intent::batch(), pending::<()>()).unwrap() });
    drop(rt);
    assert!(runtime(1).block_on(set.join_next()).unwrap().unwrap_err().is_cancelled());
}

/// `task_panics`: one that panics is a result like others.
#[test]
fn a_panic_is_a_result_of_a_set() {
    runtime(1).block_on(async {
        let mut set = future::JoinSet::new();
        set.spawn(Intent::batch(), async { std::panic::resume_unwind(Box::new("meant")) }).unwrap();
        set.spawn(Intent::batch(), async { 1 }).unwrap();
        let (mut panics, mut sum) = (0, 0);
        while let Some(result) = set.join_next().await {
            match result {
                Ok(n) => sum += n,
                Err(error) => panics += u32::from(error.is_panic()),
            }
        }
        assert_eq!((panics, sum), (1, 1));
    });
}

/// `join_set_coop` and what the documentation of `join_next` says of cancellation: a wait that is given up loses no result.
#[test]
fn a_wait_for_a_set_that_is_given_up_loses_nothing() {
    runtime(2).block_on(async {
        let mut set = future::JoinSet::new();
        for n in 0..200u64 {
            set.spawn(Intent::batch(), async move {
                if n % 3 == 0 {
                    future::yield_now().await;
                }
                n
            })
            .unwrap();
        }
        let mut sum = 0;
        while !set.is_empty() {
            let once = {
                let mut next = pin!(set.join_next());
                // Polled once, and dropped, ready or not.
                poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await
            };
            match once {
                Poll::Ready(result) => sum += result.unwrap().unwrap(),
                Poll::Pending => future::yield_now().await,
            }
        }
        assert_eq!(sum, 19_900);
    });
}
