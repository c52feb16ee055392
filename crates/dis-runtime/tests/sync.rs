//! The primitives, between tasks and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::sync::{Event, Mutex, RecvError, Semaphore, SendError, TryRecvError, TrySendError, channel};
use dis_runtime::{Intent, QueueType, Runtime, TraceKind, TraceReader, sleep, yield_now};

#[test]
fn a_mutex_excludes_tasks_and_threads() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mutex = Arc::new(Mutex::new((0u64, 0u64)));
    let work = |mutex: Arc<Mutex<(u64, u64)>>| {
        move || {
            for i in 0..2000 {
                let mut pair = mutex.lock();
                pair.0 += 1;
                if i % 100 == 0 {
                    yield_now();
                }
                pair.1 += 1;
                assert_eq!(pair.0, pair.1);
            }
        }
    };
    let intents = [Intent::batch(), Intent::interactive(1000), Intent::background(), Intent::batch()];
    let tasks: Vec<_> = intents.into_iter().map(|i| rt.spawn_fn(i, work(mutex.clone())).unwrap()).collect();
    let thread = std::thread::spawn(work(mutex.clone()));
    tasks.into_iter().for_each(|task| task.join().unwrap());
    thread.join().unwrap();
    assert_eq!(*mutex.lock(), (10_000, 10_000));
}

/// A background task holds what an interactive one needs, and batch hogs keep the CPU.
#[test]
fn the_owner_of_a_mutex_inherits() {
    let rt = Runtime::builder().workers(1).trace(4096).build().unwrap();
    let (mutex, held) = (Arc::new(Mutex::new(())), Arc::new(Event::manual()));
    let stop = Arc::new(AtomicBool::new(false));
    let (theirs, event) = (mutex.clone(), held.clone());
    let low = rt.spawn_fn(Intent::background(), move || {
        let _guard = theirs.lock();
        event.set();
        let mut done = 0u64;
        for i in 0..60_000_000u64 {
            done = std::hint::black_box(done.wrapping_add(i));
        }
    });
    let low = low.unwrap();
    held.wait();
    let hogs: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            rt.spawn_fn(Intent::batch(), move || while !stop.load(Ordering::Relaxed) {}).unwrap()
        })
        .collect();
    let theirs = mutex.clone();
    let high = rt.spawn_fn(Intent::interactive(1000), move || {
        let locked = theirs.try_lock().is_some();
        drop(theirs.lock());
        locked
    });
    let (id, had_it_at_once) = (low.id(), high.unwrap().join().unwrap());
    stop.store(true, Ordering::Relaxed);
    low.join().unwrap();
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    let mut reader = TraceReader::default();
    let runs = rt.trace(&mut reader).into_iter().filter(|event| event.kind == TraceKind::Run && event.task == id);
    let classes: Vec<_> = runs.filter_map(|event| event.class).collect();
    assert!(!had_it_at_once && classes.contains(&QueueType::Interactive), "{classes:?}");
}

#[test]
fn timeouts_leave_the_queue() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (mutex, semaphore, event) = (Mutex::new(()), Semaphore::new(0), Event::automatic());
    let guard = mutex.lock();
    let short = Duration::from_millis(5);
    let all = Arc::new((Mutex::new(()), Semaphore::new(0), Event::automatic()));
    let held = all.0.lock();
    let theirs = all.clone();
    let task = rt.spawn_fn(Intent::batch(), move || {
        (theirs.0.lock_timeout(short).is_some(), theirs.1.acquire_timeout(short), theirs.2.wait_timeout(short))
    });
    assert_eq!(task.unwrap().join().unwrap(), (false, false, false));
    drop(held);
    assert!(all.0.try_lock().is_some());
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(mutex.lock_timeout(short).is_none()));
        assert!(!semaphore.acquire_timeout(short) && !event.wait_timeout(short));
    });
    drop(guard);
    semaphore.release();
    assert!(semaphore.try_acquire() && !semaphore.try_acquire());
    event.set();
    event.set();
    event.wait();
    assert!(!event.is_set());
}

#[test]
fn a_channel_carries_everything_once_in_order() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (sender, receiver) = channel::<u64>(4);
    let sum = Arc::new(AtomicU64::new(0));
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            let (receiver, sum) = (receiver.clone(), sum.clone());
            rt.spawn_fn(Intent::interactive(1000), move || {
                let mut last = [0u64; 3];
                while let Ok(message) = receiver.recv() {
                    let (from, n) = ((message % 3) as usize, message / 3 + 1);
                    assert!(n > last[from], "out of order");
                    last[from] = n;
                    sum.fetch_add(message, Ordering::Relaxed);
                }
            })
            .unwrap()
        })
        .collect();
    drop(receiver);
    let senders: Vec<_> = (0..3u64)
        .map(|from| {
            let sender = sender.clone();
            rt.spawn_fn(Intent::batch(), move || {
                for n in 0..3000 {
                    sender.send(n * 3 + from).unwrap();
                }
            })
            .unwrap()
        })
        .collect();
    drop(sender);
    senders.into_iter().chain(receivers).for_each(|task| task.join().unwrap());
    assert_eq!(sum.load(Ordering::Relaxed), (0..9000).sum::<u64>());
}

#[test]
fn a_channel_refuses_when_full_empty_or_closed() {
    let (sender, receiver) = channel(1);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!(sender.send_timeout(3, Duration::from_millis(1)), Err(TrySendError::Full(3)));
    drop(sender);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

/// To wake a task that goes first, and to switch to it, is one question to the core: the task is ready and runs at the same instant.
#[test]
fn a_message_or_a_notification_to_a_more_urgent_task_is_a_direct_switch() {
    const TIMES: usize = 50;
    let rt = Runtime::builder().workers(1).trace(1 << 12).build().unwrap();
    let (sender, receiver) = channel::<usize>(1);
    let receives = rt.spawn_fn(Intent::interactive(1_000), move || while receiver.recv().is_ok() {}).unwrap();
    let event = Arc::new(Event::automatic());
    let notified = event.clone();
    let waits = rt.spawn_fn(Intent::interactive(1_000), move || (0..TIMES).for_each(|_| notified.wait())).unwrap();
    let woken = [receives.id(), waits.id()];
    let sends = rt.spawn_fn(Intent::batch(), move || {
        for n in 0..TIMES {
            sleep(Duration::from_micros(100));
            sender.send(n).unwrap();
            event.set();
        }
    });
    sends.unwrap().join().unwrap();
    receives.join().unwrap();
    waits.join().unwrap();
    let events = rt.trace(&mut TraceReader::default());
    for task in woken {
        let runs = |event: &&dis_runtime::TraceEvent| event.task == task && event.kind == TraceKind::Run;
        let directly = events.iter().filter(runs).filter(|event| event.waited == 0).count();
        // Not where something else was due at the same time.
        assert!(directly > TIMES / 2, "{directly} of {TIMES}: {events:?}");
    }
}

#[test]
fn a_request_and_its_reply_over_two_channels() {
    let rt = Runtime::builder().workers(1).trace(1 << 12).build().unwrap();
    let ((there, arrives), (back, returns)) = (channel::<u32>(1), channel::<u32>(1));
    let echo = rt.spawn_fn(Intent::batch(), move || {
        while let Ok(n) = arrives.recv() {
            if n == 200 {
                return;
            }
            back.send(n + 1).unwrap();
        }
    });
    let asks = rt.spawn_fn(Intent::batch(), move || {
        for n in 0..100 {
            assert_eq!(there.send_and_recv(n, &returns), Ok(Ok(n + 1)));
        }
        // With room for one only, the second waits until the first has been taken; who waits for a reply gets the first there is.
        there.send(100).unwrap();
        assert_eq!(there.send_and_recv(101, &returns), Ok(Ok(101)));
        assert_eq!(returns.recv(), Ok(102));
        assert_eq!(there.send_and_recv(200, &returns), Ok(Err(RecvError)), "the other side has gone");
        assert_eq!(there.send_and_recv(201, &returns), Err(SendError(201)));
    });
    let echo = echo.unwrap();
    let id = echo.id();
    asks.unwrap().join().unwrap();
    echo.join().unwrap();
    let events = rt.trace(&mut TraceReader::default());
    let directly = events.iter().filter(|event| event.task == id && event.kind == TraceKind::Run && event.waited == 0);
    // It does not go before who asks, but that waits.
    assert!(directly.count() > 50, "{events:?}");
}

/// Whoever waits for a message on either channel ends when it is aborted, and leaves no trace.
#[test]
fn an_abort_in_the_middle_of_a_request() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let ((there, arrives), (back, returns)) = (channel::<u32>(1), channel::<u32>(1));
    let asks = rt.spawn_fn(Intent::batch(), move || there.send_and_recv(1, &returns)).unwrap();
    assert_eq!(arrives.recv(), Ok(1));
    asks.abort();
    assert!(asks.join().is_err());
    assert_eq!(back.send(2), Err(SendError(2)), "the receiver has gone");
    assert_eq!(arrives.recv(), Err(RecvError));
}

#[test]
fn an_event_wakes_everybody() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let event = Arc::new(Event::manual());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let event = event.clone();
            rt.spawn_fn(Intent::batch(), move || event.wait()).unwrap()
        })
        .collect();
    rt.spawn_fn(Intent::interactive(1000), || sleep(Duration::from_millis(5))).unwrap().join().unwrap();
    event.set();
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn permits_do_not_overflow() {
    let semaphore = Semaphore::new(usize::MAX);
    semaphore.release();
    assert_eq!(semaphore.available(), usize::MAX);
    let rt = Runtime::builder().workers(1).build().unwrap();
    rt.spawn_fn(Intent::batch(), move || semaphore.release()).unwrap().join().unwrap();
}
