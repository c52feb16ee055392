//! Wake-ups within a runtime, from other threads, and of channels and locks of tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dis_runtime::{Intent, future};
use tokio::sync::{Barrier, Mutex, Notify, Semaphore, broadcast, mpsc, oneshot, watch};

use crate::{ms, runtime};

/// `rt_threaded.rs`: `many_oneshot_futures`.
#[test]
fn a_thousand_tasks_end_one_by_one() {
    for _ in 0..5 {
        let rt = runtime(2);
        let (sender, receiver) = std::sync::mpsc::channel();
        let left = Arc::new(AtomicUsize::new(1_000));
        for n in 0..1_000 {
            let (sender, left) = (sender.clone(), left.clone());
            let intent = if n % 2 == 0 { Intent::batch() } else { Intent::interactive(1_000) };
            drop(rt.spawn(intent, async move {
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    sender.send(()).unwrap();
                }
            }));
        }
        receiver.recv().unwrap();
        assert!(rt.shutdown(Duration::from_secs(30)));
    }
}

/// `rt_threaded.rs`: `many_multishot_futures`: chains of channels, through which numbers go round.
#[test]
fn chains_of_channels_lose_nothing() {
    const CHAIN: usize = 50;
    const CYCLES: usize = 20;
    const TRACKS: usize = 8;
    runtime(2).block_on(async {
        let (done, mut ended) = mpsc::channel(TRACKS);
        for _ in 0..TRACKS {
            let (start, mut last) = mpsc::channel::<usize>(10);
            for _ in 0..CHAIN {
                let (sender, receiver) = mpsc::channel(10);
                let mut from = std::mem::replace(&mut last, receiver);
                drop(future::spawn(Intent::batch(), async move {
                    while let Some(n) = from.recv().await {
                        sender.send(n).await.unwrap();
                    }
                }));
            }
            let done = done.clone();
            drop(future::spawn(Intent::interactive(1_000), async move {
                start.send(0).await.unwrap();
                for n in 0..CYCLES {
                    assert_eq!(last.recv().await, Some(n));
                    start.send(n + 1).await.unwrap();
                }
                done.send(()).await.unwrap();
            }));
        }
        for _ in 0..TRACKS {
            ended.recv().await.unwrap();
        }
    });
}

/// `rt_common.rs`: `spawn_from_other_thread_idle`, `spawn_from_other_thread_under_load`.
#[test]
fn a_thread_spawns_into_an_idle_and_into_a_busy_runtime() {
    for busy in [false, true] {
        let rt = Arc::new(runtime(1));
        if busy {
            drop(rt.spawn(Intent::batch(), async {
                loop {
                    future::yield_now().await;
                }
            }));
        }
        let from = rt.clone();
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(ms(2));
            drop(from.spawn(Intent::batch(), async move { sender.send(()).unwrap() }));
        });
        rt.block_on(receiver).unwrap();
        thread.join().unwrap();
    }
}

/// `rt_common.rs`: `complete_block_on_under_load`, `complete_task_under_load`.
#[test]
fn a_thread_wakes_who_waits_beside_a_busy_task() {
    let rt = runtime(1);
    drop(rt.spawn(Intent::batch(), async {
        loop {
            future::yield_now().await;
        }
    }));
    for on_thread in [true, false] {
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(ms(2));
            sender.send(()).unwrap();
        });
        match on_thread {
            true => rt.block_on(receiver).unwrap(),
            false => rt.spawn(Intent::batch(), receiver).unwrap().join().unwrap().unwrap(),
        }
        thread.join().unwrap();
    }
}

/// `rt_threaded.rs`: `lifo_slot_budget`: two that wake each other for ever keep no third one of their lane from running.
#[test]
fn two_that_wake_each_other_do_not_starve_a_third() {
    let rt = runtime(1);
    let (a, b) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for (waits, wakes) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
        drop(rt.spawn(Intent::batch(), async move {
            loop {
                waits.notified().await;
                wakes.notify_one();
            }
        }));
    }
    a.notify_one();
    for n in 0..20 {
        assert_eq!(rt.spawn(Intent::batch(), async move { n }).unwrap().join().unwrap(), n);
    }
}

/// `sync_mutex.rs`: `aborted_future_1`, `aborted_future_2`; `sync_semaphore.rs`: who is aborted while it waits gives its place up.
#[test]
fn who_is_aborted_while_it_waits_for_a_lock_leaves_the_queue() {
    runtime(2).block_on(async {
        let lock = Arc::new(Mutex::new(0));
        let permits = Arc::new(Semaphore::new(1));
        let (held, permit) = (lock.clone().lock_owned().await, permits.clone().acquire_owned().await.unwrap());
        let waiting: Vec<_> = (0..6)
            .map(|n| {
                let (lock, permits) = (lock.clone(), permits.clone());
                future::spawn(Intent::batch(), async move {
                    match n % 2 {
                        0 => *lock.lock().await += 1,
                        _ => drop(permits.acquire().await.unwrap()),
                    }
                })
                .unwrap()
            })
            .collect();
        future::sleep(ms(2)).await;
        waiting[..2].iter().for_each(future::JoinHandle::abort);
        future::sleep(ms(1)).await;
        drop((held, permit));
        let mut results = Vec::new();
        for task in waiting {
            results.push(task.await.is_ok());
        }
        assert_eq!(results, [false, false, true, true, true, true]);
        assert_eq!((*lock.lock().await, permits.available_permits()), (2, 1));
    });
}

/// `sync_barrier.rs`, `sync_watch.rs`, `sync_broadcast.rs`: many that wait for one event are all woken.
#[test]
fn one_event_wakes_all_who_wait_for_it() {
    runtime(2).block_on(async {
        const ALL: usize = 40;
        let barrier = Arc::new(Barrier::new(ALL));
        let (change, changed) = watch::channel(0);
        let (cast, _) = broadcast::channel(4);
        let mut set = future::JoinSet::new();
        for n in 0..ALL {
            let (barrier, mut changed, mut heard) = (barrier.clone(), changed.clone(), cast.subscribe());
            let intent = if n % 2 == 0 { Intent::batch() } else { Intent::interactive(2_000) };
            set.spawn(intent, async move {
                let leads = barrier.wait().await.is_leader();
                changed.wait_for(|&value| value == 1).await.unwrap();
                (leads, heard.recv().await.unwrap())
            })
            .unwrap();
        }
        change.send(1).unwrap();
        assert_eq!(cast.send(7).unwrap(), ALL);
        let mut leaders = 0;
        while let Some(result) = set.join_next().await {
            let (leads, value) = result.unwrap();
            leaders += usize::from(leads);
            assert_eq!(value, 7);
        }
        assert_eq!(leaders, 1);
    });
}

/// `sync_mpsc.rs`: `send_recv_with_buffer`, `recv_close_gets_none_idle`: a receiver that is dropped, or given up, in the middle.
#[test]
fn a_receive_that_is_given_up_takes_no_message_along() {
    runtime(2).block_on(async {
        let (sender, mut receiver) = mpsc::channel(1);
        let send = future::spawn(Intent::batch(), async move {
            for n in 0..100 {
                sender.send(n).await.unwrap();
                if n % 10 == 0 {
                    future::sleep(Duration::from_micros(300)).await;
                }
            }
        });
        let (mut next, mut given_up) = (0, 0);
        loop {
            match future::timeout(Duration::from_micros(100), receiver.recv()).await {
                Ok(Some(n)) => {
                    assert_eq!(n, next);
                    next += 1;
                }
                Ok(None) => break,
                Err(future::Elapsed) => given_up += 1,
            }
        }
        assert_eq!(next, 100);
        assert!(given_up > 0);
        send.unwrap().await.unwrap();
    });
}
