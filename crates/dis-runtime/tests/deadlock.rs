//! Tasks that wait for each other's mutexes in a circle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use dis_runtime::sync::{Event, Mutex};
use dis_runtime::{Intent, JoinError, JoinHandle, Runtime, yield_now};

/// What is expected is not printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|said| said.starts_with("deadlock: ")) {
                next(info);
            }
        }));
    });
}

/// What the panic of a task said.
fn panicked<T>(task: JoinHandle<T>) -> Option<String> {
    match task.join() {
        Ok(_) => None,
        Err(JoinError::Panic(payload)) => Some(payload.downcast_ref::<String>().expect("a message").clone()),
        Err(JoinError::Aborted) => panic!("aborted"),
    }
}

#[test]
fn who_locks_twice_is_told() {
    quiet();
    let rt = Runtime::builder().workers(1).build().unwrap();
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    let task = rt.task(Intent::batch()).name("twice").spawn(move || {
        let _first = theirs.lock();
        let _second = theirs.lock();
    });
    let said = panicked(task.unwrap()).expect("a deadlock");
    assert!(said.starts_with("deadlock: waits for mutex 0x") && said.ends_with("'twice' itself"), "{said}");
    assert!(mutex.try_lock().is_some(), "unwinding has unlocked it");
}

/// `tasks` tasks hold a mutex each and lock the next one's. How many panicked, and what they said.
fn ring(tasks: usize) -> Vec<String> {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let mutexes: Arc<Vec<Mutex<u32>>> = Arc::new((0..tasks).map(|_| Mutex::new(0)).collect());
    let holding = Arc::new(AtomicU32::new(0));
    let spawn = |number: usize| {
        let (mutexes, holding) = (mutexes.clone(), holding.clone());
        let body = move || {
            let _own = mutexes[number].lock();
            holding.fetch_add(1, Ordering::SeqCst);
            while holding.load(Ordering::SeqCst) < mutexes.len() as u32 {
                yield_now();
            }
            *mutexes[(number + 1) % mutexes.len()].lock() += 1;
        };
        rt.task(Intent::batch()).name(format!("ring-{number}")).spawn(body).unwrap()
    };
    let all: Vec<_> = (0..tasks).map(spawn).collect();
    let said: Vec<_> = all.into_iter().filter_map(panicked).collect();
    assert_eq!(mutexes.iter().map(|mutex| *mutex.lock() as usize).sum::<usize>(), tasks - said.len());
    said
}

#[test]
fn one_of_a_circle_is_told_and_the_others_go_on() {
    quiet();
    for tasks in [2, 3, 8] {
        let said = ring(tasks);
        assert_eq!(said.len(), 1, "{said:?}");
        for number in 0..tasks {
            assert!(said[0].contains(&format!("'ring-{number}'")), "{said:?}");
        }
        assert_eq!(said[0].matches(", which waits for").count(), tasks - 1, "{said:?}");
    }
}

/// The first gives up after a while, so the second does not wait for ever.
#[test]
fn a_circle_with_a_time_out_in_it_is_none() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let (one, two) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let (held, wanted) = (Arc::new(Event::manual()), Arc::new(Event::manual()));
    let (theirs, locks) = ((held.clone(), wanted.clone()), (one.clone(), two.clone()));
    let patient = rt.spawn_fn(Intent::batch(), move || {
        let _guard = locks.1.lock();
        theirs.0.set();
        theirs.1.wait();
        // Long enough for the other one to wait by now, mostly; if not, there is no circle.
        std::thread::sleep(Duration::from_millis(50));
        drop(locks.0.lock());
    });
    let hasty = rt.spawn_fn(Intent::batch(), move || {
        let _guard = one.lock();
        held.wait();
        wanted.set();
        two.lock_timeout(Duration::from_millis(300)).is_none()
    });
    assert!(hasty.unwrap().join().unwrap(), "it gave up");
    assert_eq!(panicked(patient.unwrap()), None);
}

/// Philosophers who all take the left fork first, and start again when they are told.
#[test]
fn whoever_is_told_can_start_again() {
    const SEATS: usize = 5;
    quiet();
    let rt = Runtime::builder().workers(2).build().unwrap();
    let forks: Arc<Vec<Mutex<u32>>> = Arc::new((0..SEATS).map(|_| Mutex::new(0)).collect());
    let seated = Arc::new(AtomicU32::new(0));
    let spawn = |seat: usize| {
        let (forks, seated) = (forks.clone(), seated.clone());
        let body = move || {
            let (mut told, mut first) = (0, true);
            for _ in 0..200 {
                let mut meal = || {
                    let mut left = forks[seat].lock();
                    // At first all have one, so that there is a circle at least once.
                    seated.fetch_add(u32::from(std::mem::take(&mut first)), Ordering::SeqCst);
                    while seated.load(Ordering::SeqCst) < SEATS as u32 {
                        yield_now();
                    }
                    yield_now();
                    let mut right = forks[(seat + 1) % SEATS].lock();
                    (*left, *right) = (*left + 1, *right + 1);
                };
                while catch_unwind(AssertUnwindSafe(&mut meal)).is_err() {
                    told += 1;
                    yield_now();
                }
            }
            told
        };
        rt.spawn_fn(Intent::batch(), body).unwrap()
    };
    let tasks: Vec<_> = (0..SEATS).map(spawn).collect();
    let told: u32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
    assert!(forks.iter().all(|fork| *fork.lock() == 400));
    assert!(told > 0, "no circle came about");
}
