//! Sleeps, intervals and timeouts: `time_sleep.rs`, `time_interval.rs`, `time_timeout.rs`.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use dis_runtime::{Intent, future, now};
use tokio::sync::oneshot;

use crate::{ms, runtime};

struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// `time_sleep.rs`: `immediate_sleep`, `is_elapsed`.
#[test]
fn a_sleep_until_now_is_ready_at_once() {
    let mut sleep = pin!(future::sleep_until(now()));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    // Needs no runtime, as it has nothing to wait for.
    assert!(pin!(future::sleep(Duration::ZERO)).poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// `time_sleep.rs`: `delayed_sleep_level_0`, `sub_ms_delayed_sleep`, `short_sleeps`.
#[test]
fn a_sleep_is_never_too_short() {
    runtime(1).block_on(async {
        for micros in [1, 10, 100, 999, 1_000, 1_500, 3_000].into_iter().cycle().take(40) {
            let (begun, duration) = (now(), Duration::from_micros(micros));
            future::sleep(duration).await;
            assert!(now() >= begun + duration.into());
        }
    });
}

/// `time_sleep.rs`: `reset_sleep_to_past`, `reset_future_sleep_before_fire`, `reset_past_sleep_before_turn`.
#[test]
fn a_sleep_is_reset_to_earlier_and_to_later() {
    runtime(1).block_on(async {
        let mut sleep = pin!(future::sleep(Duration::from_secs(100)));
        let pending = |sleep: std::pin::Pin<&mut future::Sleep>, cx: &mut Context<'_>| sleep.poll(cx).is_pending();
        assert!(poll_fn(|cx| Poll::Ready(pending(sleep.as_mut(), cx))).await);
        sleep.as_mut().reset(now());
        sleep.as_mut().await;
        // To later, when it was set already.
        let begun = now();
        sleep.as_mut().reset(begun + ms(100).into());
        assert!(poll_fn(|cx| Poll::Ready(pending(sleep.as_mut(), cx))).await);
        sleep.as_mut().reset(begun + ms(120).into());
        sleep.as_mut().await;
        assert!(now() >= begun + ms(120).into() && sleep.deadline() == begun + ms(120).into());
    });
}

/// `time_sleep.rs`: `greater_than_max`, `exactly_max`, `no_out_of_bounds_close_to_max`; `time_timeout.rs`: `very_large_timeout`.
#[test]
fn a_sleep_may_be_longer_than_time() {
    runtime(1).block_on(async {
        for duration in [Duration::MAX, Duration::from_nanos(u64::MAX), Duration::from_secs(u64::MAX / 1_000)] {
            let mut long = pin!(future::timeout(duration, future::sleep(ms(1))));
            assert_eq!(long.as_mut().await, Ok(()));
            let short = future::timeout(ms(1), future::sleep(duration));
            assert_eq!(short.await, Err(future::Elapsed));
        }
    });
}

/// `time_sleep.rs`: `drop_from_wake`, `drop_after_reschedule_at_new_scheduled_time`: wakers of sleeps that are dropped, or that were replaced, are not woken.
#[test]
fn a_sleep_wakes_who_polled_it_last() {
    runtime(1).block_on(async {
        let [first, last, dropped] = [(); 3].map(|()| Arc::new(Counter(AtomicUsize::new(0))));
        let mut sleep = pin!(future::sleep(ms(100)));
        let mut gone = Box::pin(future::sleep(ms(90)));
        let set = |sleep: std::pin::Pin<&mut future::Sleep>, waker: &Arc<Counter>| {
            assert!(sleep.poll(&mut Context::from_waker(&Waker::from(waker.clone()))).is_pending());
        };
        set(sleep.as_mut(), &first);
        set(sleep.as_mut(), &last);
        set(gone.as_mut(), &dropped);
        drop(gone);
        future::sleep(ms(130)).await;
        let counts = [&first, &last, &dropped].map(|counter| counter.0.load(Ordering::SeqCst));
        assert_eq!(counts, [0, 1, 0]);
        assert_eq!(Arc::strong_count(&first), 1);
    });
}

/// `time_sleep.rs`: `creating_sleep_outside_of_context`. Differs: it may be made anywhere, and fails where it would have to wait.
#[test]
#[should_panic(expected = "outside of DIS tasks")]
fn a_sleep_is_not_waited_for_where_nobody_would_wake_it() {
    let _ = pin!(future::sleep(ms(1))).poll(&mut Context::from_waker(Waker::noop()));
}

/// `time_interval.rs`: `interval_zero_duration`.
#[test]
#[should_panic(expected = "an interval has a period")]
fn an_interval_of_nothing_is_refused() {
    future::interval(Duration::ZERO);
}

/// `time_interval.rs`: `burst`; the reset is `reset`'s. Differs: the behaviours "delay" and "skip" are `reset` after a tick.
#[test]
fn ticks_that_were_missed_come_at_once() {
    runtime(1).block_on(async {
        let mut ticks = future::interval(ms(2));
        let first = ticks.tick().await;
        future::sleep(ms(7)).await;
        let late = now();
        for n in 1..=3u64 {
            assert_eq!(ticks.tick().await, first + ms(2 * n).into());
        }
        assert_eq!(ticks.tick().await, first + ms(8).into());
        assert!(now() >= first + ms(8).into() && late >= first + ms(7).into());
        future::sleep(ms(5)).await;
        let before = now();
        ticks.reset();
        assert!(ticks.tick().await >= before + ms(2).into());
    });
}

/// What the documentation of `Interval::tick` says of cancellation: a tick that nobody has waited for to the end comes later.
#[test]
fn a_tick_that_is_given_up_is_not_lost() {
    runtime(1).block_on(async {
        let mut ticks = future::interval(ms(300));
        let first = ticks.tick().await;
        for _ in 0..3 {
            assert_eq!(future::timeout(Duration::from_micros(100), ticks.tick()).await, Err(future::Elapsed));
        }
        assert_eq!(ticks.tick().await, first + ms(300).into());
    });
}

/// `time_timeout.rs`: `simultaneous_deadline_future_completion`, `completed_future_past_deadline`.
#[test]
fn what_is_ready_wins_over_its_timeout() {
    runtime(1).block_on(async {
        assert_eq!(future::timeout(Duration::ZERO, async { 1 }).await, Ok(1));
        let late = future::timeout(ms(1), async { 2 });
        future::sleep(ms(3)).await;
        assert_eq!(late.await, Ok(2));
    });
}

/// `time_timeout.rs`: `future_and_timeout_in_future`, `deadline_now_elapses`, `deadline_future_elapses`.
#[test]
fn a_timeout_ends_what_does_not_come_and_keeps_what_comes() {
    runtime(2).block_on(async {
        let (sender, receiver) = oneshot::channel();
        let send = future::spawn(Intent::batch(), async move {
            future::sleep(ms(2)).await;
            sender.send(5).unwrap();
        });
        assert_eq!(future::timeout(Duration::from_secs(50), receiver).await, Ok(Ok(5)));
        send.unwrap().await.unwrap();
        for duration in [Duration::ZERO, ms(2)] {
            assert_eq!(future::timeout(duration, pending::<()>()).await, Err(future::Elapsed));
        }
    });
}

/// `time_timeout.rs`: `timeout_is_not_exhausted_by_future`: a future that is ready to be polled again at once is given up all the same.
#[test]
fn a_busy_future_does_not_outlive_its_timeout() {
    runtime(1).block_on(async {
        let busy = async {
            loop {
                future::yield_now().await;
            }
        };
        assert_eq!(future::timeout(ms(2), busy).await, Err::<(), _>(future::Elapsed));
    });
    let task = runtime(1);
    let busy = task.spawn(Intent::batch(), async {
        let busy = async {
            loop {
                future::yield_now().await;
            }
        };
        future::timeout(ms(2), busy).await
    });
    assert_eq!(busy.unwrap().join().unwrap(), Err::<(), _>(future::Elapsed));
}
