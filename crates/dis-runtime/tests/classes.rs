//! What each class may do to the others when a task never yields, and what the owner of a lock inherits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::sync::{Event, Mutex};
use dis_runtime::{Intent, JoinHandle, Runtime, sleep};

/// A piece of computation without a call of the runtime; counted in `pieces`.
fn piece(pieces: &AtomicU64) {
    for i in 0..1000u64 {
        std::hint::black_box(i);
    }
    pieces.fetch_add(1, Ordering::Relaxed);
}

/// A task that computes until `stop`, never calling the runtime, and how far it is.
fn hog(rt: &Runtime, intent: Intent, stop: &Arc<AtomicBool>) -> (JoinHandle<()>, Arc<AtomicU64>) {
    let (stop, pieces) = (stop.clone(), Arc::new(AtomicU64::new(0)));
    let mine = pieces.clone();
    let body = move || {
        while !stop.load(Ordering::Relaxed) {
            piece(&mine);
        }
    };
    (rt.spawn_fn(intent, body).unwrap(), pieces)
}

/// Lets a hog of `intent` and a batch hog share one worker until both have got on and together they have used about
/// `least` of CPU time. Gives the pieces of both.
fn beside_batch(intent: Intent, least: Duration) -> (u64, u64) {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (task, pieces) = hog(&rt, intent, &stop);
    let (batch, batch_pieces) = hog(&rt, Intent::batch(), &stop);
    let start = Instant::now();
    let used = || {
        let times = [&task, &batch].map(|task| task.stats().map_or(0, |stats| stats.user_time + stats.system_time));
        Duration::from_nanos(times.iter().sum())
    };
    let count = || (pieces.load(Ordering::Relaxed), batch_pieces.load(Ordering::Relaxed));
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let (theirs, ours) = count();
        if theirs > 0 && ours > 0 && used() >= least {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "one of them starves: {theirs} and {ours} pieces");
    }
    let counts = count();
    stop.store(true, Ordering::Relaxed);
    task.join().unwrap();
    batch.join().unwrap();
    println!("{} pieces beside {} of batch", counts.0, counts.1);
    counts
}

const WHILE: Duration = Duration::from_millis(800);

#[test]
fn a_system_hog_leaves_half_to_batch() {
    let (system, batch) = beside_batch(Intent::system(), WHILE);
    assert!(batch * 4 > system, "{system} against {batch}");
}

/// By the kernel's count, whatever other processes take meanwhile: that is given back, so batch cannot be the measure.
#[test]
fn a_realtime_hog_gets_its_budget_and_no_more() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let (task, _) = hog(&rt, Intent::realtime(10_000, 10_000, 2_000), &stop);
    let (batch, pieces) = hog(&rt, Intent::batch(), &stop);
    let used = || task.stats().map_or(0, |stats| stats.user_time + stats.system_time);
    while used() < 200_000_000 || pieces.load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < Duration::from_secs(120), "one of them starves");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (used, elapsed) = (Duration::from_nanos(used()), start.elapsed());
    stop.store(true, Ordering::Relaxed);
    task.join().unwrap();
    batch.join().unwrap();
    // 2.3 ms in each period, slack and overhead included; the present period's and one borrowed one besides.
    let periods = elapsed.as_millis() as u32 / 10 + 2;
    assert!(used <= Duration::from_micros(2_300) * periods + Duration::from_millis(1), "{used:?} in {elapsed:?}");
}

#[test]
fn an_interactive_hog_loses_its_head_start() {
    let (interactive, batch) = beside_batch(Intent::interactive(2_000), WHILE);
    assert!(batch * 50 > interactive, "{interactive} against {batch}");
}

#[test]
fn two_batch_hogs_share_evenly() {
    let (one, other) = beside_batch(Intent::batch(), WHILE);
    assert!(one.min(other) * 3 > one.max(other), "{one} against {other}");
}

#[test]
fn a_background_hog_gets_little_but_something() {
    let (background, batch) = beside_batch(Intent::background(), WHILE);
    assert!(background < batch, "{background} against {batch}");
}

/// Calls a function under a lock.
type Locked = fn(&Shared, &mut dyn FnMut());

struct Shared {
    mutex: Mutex<()>,
    flag: AtomicBool,
    held: Event,
    go: Event,
    stop: Arc<AtomicBool>,
    pieces: AtomicU64,
}

/// A background task does 5,000 pieces of work under a lock that an interactive one waits for, beside two batch hogs. Gives the
/// pieces that the hogs get done meanwhile.
fn progress_of_the_hogs_meanwhile(locked: Locked) -> u64 {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let shared = Arc::new(Shared {
        mutex: Mutex::new(()),
        flag: AtomicBool::new(false),
        held: Event::manual(),
        go: Event::manual(),
        stop: Arc::default(),
        pieces: AtomicU64::new(0),
    });
    let theirs = shared.clone();
    let low = rt.spawn_fn(Intent::background(), move || {
        locked(&theirs, &mut || {
            theirs.held.set();
            theirs.go.wait();
            for _ in 0..5_000 {
                piece(&theirs.pieces);
            }
        });
    });
    let low = low.unwrap();
    shared.held.wait();
    let hogs = [(); 2].map(|()| hog(&rt, Intent::batch(), &shared.stop));
    while hogs.iter().any(|(_, pieces)| pieces.load(Ordering::Relaxed) == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let counters = hogs.each_ref().map(|(_, pieces)| pieces.clone());
    let theirs = shared.clone();
    let high = rt.spawn_fn(Intent::interactive(1000), move || {
        let sum = || counters.iter().map(|pieces| pieces.load(Ordering::Relaxed)).sum::<u64>();
        let before = sum();
        theirs.go.set();
        let mut after = 0;
        locked(&theirs, &mut || after = sum());
        after - before
    });
    let progress = high.unwrap().join().unwrap();
    assert_eq!(shared.pieces.load(Ordering::Relaxed), 5_000, "the lock was not exclusive");
    shared.stop.store(true, Ordering::Relaxed);
    low.join().unwrap();
    hogs.into_iter().for_each(|(hog, _)| hog.join().unwrap());
    progress
}

/// A lock that knows no owner lends nobody anything: the same scenario with it shows what inheritance is good for.
#[test]
fn without_inheritance_the_hogs_get_in_between() {
    let inheriting: Locked = |shared, section| {
        let _guard = shared.mutex.lock();
        section();
    };
    let ownerless: Locked = |shared, section| {
        while shared.flag.swap(true, Ordering::Acquire) {
            sleep(Duration::from_micros(500));
        }
        section();
        shared.flag.store(false, Ordering::Release);
    };
    let (with, without) = (progress_of_the_hogs_meanwhile(inheriting), progress_of_the_hogs_meanwhile(ownerless));
    println!("the hogs did {with} pieces with inheritance, {without} without; the owner 5000");
    assert!(with * 4 < without, "{with} with inheritance, {without} without");
}
