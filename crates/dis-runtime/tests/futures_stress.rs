//! Random futures: spawns, wake-ups from tasks and foreign threads, aborts, panics, hogs, calls that wait in mid-poll, changes of
//! intents. For 5 s, or `DIS_STRESS_SECONDS`. Nothing may be lost, dropped twice, or come to a stand.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, JoinError, Runtime, future};

/// How many levels of children there are.
const DEPTH: u32 = 3;

struct Shared {
    alive: AtomicUsize,
    spawned: AtomicU64,
    ended: [AtomicU64; 3],
    wakers: Mutex<mpsc::Sender<(Waker, u64)>>,
    lock: Mutex<u64>,
    ours: dis_runtime::sync::Mutex<u64>,
    sum: AtomicU64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn intent(&mut self) -> Intent {
        match self.below(8) {
            0..3 => Intent::batch(),
            3 => Intent::background(),
            n => Intent::interactive([500, 1_000, 2_000, 5_000][n as usize - 4]),
        }
    }
}

/// Counts who is alive, and finds memory that somebody else has written to.
struct Alive(Arc<Shared>, Box<u64>, u64);

impl Alive {
    fn new(shared: &Arc<Shared>, seed: u64) -> Alive {
        shared.alive.fetch_add(1, Ordering::SeqCst);
        Alive(shared.clone(), Box::new(seed), seed)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        assert_eq!(*self.1, self.2);
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn spin(duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Waits for a wake-up by an ordinary thread after `micros`.
fn foreign(shared: Arc<Shared>, micros: u64) -> impl Future<Output = ()> + Send {
    let mut asked = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        shared.wakers.lock().unwrap().send((cx.waker().clone(), micros)).unwrap();
        Poll::Pending
    })
}

fn node(shared: Arc<Shared>, seed: u64, depth: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let alive = Alive::new(&shared, seed);
        let mut random = Random(seed | 1);
        for _ in 0..random.below(6) {
            match random.below(24) {
                0..6 => future::yield_now().await,
                6..8 => future::sleep(Duration::from_micros(random.below(3_000))).await,
                8..11 => foreign(shared.clone(), random.below(500)).await,
                11 => spin(Duration::from_micros(random.below(12_000))),
                12 => std::thread::sleep(Duration::from_micros(random.below(2_000))),
                13 => dis_runtime::sleep(Duration::from_micros(random.below(2_000))),
                14 => dis_runtime::yield_now(),
                15 => future::block_on(future::sleep(Duration::from_micros(random.below(1_000)))),
                16 => *shared.lock.lock().unwrap() += 1,
                17 => *shared.ours.lock() += 1,
                18 => future::set_intent(&random.intent()).unwrap(),
                19 => {
                    let inner = future::sleep(Duration::from_micros(random.below(1_000)));
                    future::with_intent(random.intent(), inner).await.unwrap();
                }
                20 => {
                    let limit = Duration::from_micros(random.below(1_000));
                    let _ = future::timeout(limit, foreign(shared.clone(), random.below(1_000))).await;
                }
                21 => {
                    let closure = dis_runtime::spawn_fn(random.intent(), || future::block_on(async { 1 })).unwrap();
                    assert_eq!(closure.join().unwrap(), 1);
                }
                22 if random.below(4) == 0 => std::panic::resume_unwind(Box::new("meant")),
                _ if depth < DEPTH => children(&shared, &mut random, depth).await,
                _ => {}
            }
            shared.sum.fetch_add(1, Ordering::Relaxed);
        }
        drop(alive);
        seed
    })
}

async fn children(shared: &Arc<Shared>, random: &mut Random, depth: u32) {
    let mut handles = Vec::new();
    for _ in 0..random.below(6) {
        let seed = random.below(u64::MAX >> 12);
        let child = node(shared.clone(), seed, depth + 1);
        let handle =
            if random.below(2) == 0 { future::spawn_child(child) } else { future::spawn(random.intent(), child) };
        shared.spawned.fetch_add(1, Ordering::Relaxed);
        handles.push((seed, handle.unwrap()));
    }
    for (seed, handle) in handles {
        match random.below(8) {
            0 => drop(handle),
            1 => {
                handle.abort();
                settle(shared, seed, handle.await);
            }
            2 => {
                let abort = handle.abort_handle();
                future::yield_now().await;
                abort.abort();
                settle(shared, seed, handle.await);
            }
            3 => settle(shared, seed, handle.join()),
            4 => {
                let _ = handle.set_intent(&random.intent());
                settle(shared, seed, handle.await);
            }
            _ => settle(shared, seed, handle.await),
        }
    }
}

fn settle(shared: &Shared, seed: u64, result: Result<u64, JoinError>) {
    let how = match result {
        Ok(answer) => {
            assert_eq!(answer, seed);
            0
        }
        Err(JoinError::Aborted) => 1,
        Err(JoinError::Panic(payload)) => {
            let what = payload.downcast_ref::<&str>().copied();
            assert_eq!(what, Some("meant"), "{:?}", payload.downcast_ref::<String>());
            2
        }
    };
    shared.ended[how].fetch_add(1, Ordering::Relaxed);
}

#[test]
fn random_futures() {
    let seconds = std::env::var("DIS_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let (sender, receiver) = mpsc::channel::<(Waker, u64)>();
    let shared = Arc::new(Shared {
        alive: AtomicUsize::new(0),
        spawned: AtomicU64::new(0),
        ended: Default::default(),
        wakers: Mutex::new(sender),
        lock: Mutex::new(0),
        ours: dis_runtime::sync::Mutex::new(0),
        sum: AtomicU64::new(0),
    });
    let waking = std::thread::spawn(move || {
        for (waker, micros) in receiver {
            if micros > 100 {
                std::thread::sleep(Duration::from_micros(micros.min(200)));
            }
            waker.wake();
        }
    });
    // Says where it stands if nothing moves.
    let (over, watched) = (Arc::new(AtomicBool::new(false)), shared.clone());
    let (stop, rt) = (over.clone(), Arc::new(Runtime::builder().workers(2).build().unwrap()));
    let looks = rt.clone();
    let watch = std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            let now = watched.sum.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > Duration::from_secs(60) {
                eprintln!("a stand-still: {:#?}\n{:#?}", looks.lane_stats(), looks.future_stats());
                std::process::abort();
            }
        }
    });
    let begun = Instant::now();
    let mut random = Random(0x9E37_79B9 ^ u64::from(std::process::id()) << 20);
    let mut rounds = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let roots: Vec<_> = (0..20)
            .map(|_| {
                let seed = random.below(u64::MAX >> 12);
                shared.spawned.fetch_add(1, Ordering::Relaxed);
                (seed, rt.spawn(random.intent(), node(shared.clone(), seed, 0)).unwrap())
            })
            .collect();
        for (seed, root) in roots {
            settle(&shared, seed, root.join());
        }
        rounds += 1;
    }
    // Those that were detached go on, and end.
    while rt.live_futures() > 0 {
        std::thread::sleep(Duration::from_millis(1));
        shared.sum.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(shared.alive.load(Ordering::SeqCst), 0);
    over.store(true, Ordering::SeqCst);
    watch.join().unwrap();
    let displaced: u64 = rt.lane_stats().iter().map(|lane| lane.displaced).sum();
    let stolen: u64 = rt.lane_stats().iter().map(|lane| lane.stolen).sum();
    println!(
        "{seconds} s, {rounds} rounds: {} futures, {:?} returned, aborted, panicked; {displaced} lanes taken over, {stolen} stolen, \
         {} preemption signals, {} kernel threads",
        shared.spawned.load(Ordering::Relaxed),
        shared.ended,
        rt.preemption_signals(),
        rt.threads()
    );
    let rt = Arc::into_inner(rt).unwrap();
    assert!(rt.shutdown(Duration::from_secs(60)));
    drop(shared);
    waking.join().unwrap();
}
