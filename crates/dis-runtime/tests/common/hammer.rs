//! Tasks that do, all the time, what an unsound preemption would break.

use std::cell::RefCell;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use dis_runtime::sync::{Event, Mutex as DisMutex, Semaphore};
use dis_runtime::{Intent, JoinError, JoinHandle, Runtime, sleep, spawn_fn, yield_now};

/// What the hammering found.
#[derive(Debug, Default)]
pub struct Report {
    pub rounds: Vec<(&'static str, u64)>,
    pub errors: Vec<String>,
    pub preemptions: u64,
    pub threads: usize,
    pub displacements: u64,
    pub closed: bool,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.closed && self.rounds.iter().all(|(_, n)| *n > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rounds) in &self.rounds {
            writeln!(f, "{name:>16}: {rounds} rounds")?;
        }
        let (preemptions, displacements) = (self.preemptions, self.displacements);
        writeln!(f, "{preemptions} preemption signals, {displacements} workers taken over from blocked tasks")?;
        writeln!(f, "{} threads, closed: {}", self.threads, self.closed)?;
        for error in &self.errors {
            writeln!(f, "ERROR {error}")?;
        }
        write!(f, "{}", if self.is_clean() { "clean" } else { "NOT CLEAN" })
    }
}

struct Shared {
    stop: AtomicBool,
    errors: StdMutex<Vec<String>>,
    std_mutex: StdMutex<(u64, u64)>,
    pl_mutex: parking_lot::Mutex<(u64, u64)>,
    dis_mutex: DisMutex<(u64, u64)>,
    event: Event,
    semaphore: Semaphore,
}

impl Shared {
    fn error(&self, text: String) {
        self.errors.lock().unwrap_or_else(|e| e.into_inner()).push(text);
    }
}

thread_local! {
    static LOCAL: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static PLAIN: RefCell<u64> = const { RefCell::new(0) };
}

type Round = fn(&Shared, u64);

fn heap(shared: &Shared, n: u64) {
    let mut blocks: Vec<Vec<u64>> =
        (0..32).map(|i| vec![n ^ i; 1 + (n as usize * 7 + i as usize * 13) % 700]).collect();
    blocks.retain(|block| block.len() % 3 != 0);
    for block in &blocks {
        if block.iter().any(|&word| word != block[0]) {
            shared.error(format!("heap block of {} words corrupted", block.len()));
        }
    }
}

fn print(_: &Shared, n: u64) {
    // For println! itself see `print.rs`: its output has to be looked at.
    let mut out = std::io::stdout().lock();
    let _ = out.flush();
    drop(out);
    eprintln_null(n);
}

fn eprintln_null(n: u64) {
    let mut file = OpenOptions::new().write(true).open("/dev/null").unwrap();
    writeln!(file, "{n} {:?}", std::thread::current().id()).unwrap();
}

fn local_borrow(shared: &Shared, n: u64) {
    let id = std::thread::current().id();
    let before = LOCAL.with(|local| {
        let mut local = local.borrow_mut();
        local.push(n);
        // Long enough to be preempted inside the borrow now and then.
        let mut sum = 0u64;
        for i in 0..5_000 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        if local.pop() != Some(n) {
            shared.error("thread-local vector changed under a borrow".into());
        }
        std::ptr::from_ref(&*local) as usize
    });
    yield_now();
    let after = LOCAL.with(|local| std::ptr::from_ref(&*local.borrow()) as usize);
    if before != after || id != std::thread::current().id() {
        shared.error("a task changed its thread".into());
    }
}

fn local_count(shared: &Shared, n: u64) {
    PLAIN.with(|plain| {
        let mut plain = plain.borrow_mut();
        *plain = n;
        for _ in 0..2_000 {
            std::hint::spin_loop();
        }
        if *plain != n {
            shared.error("thread-local number changed under a borrow".into());
        }
    });
}

fn hold(pair: &mut (u64, u64), shared: &Shared, what: &str) {
    pair.0 += 1;
    for _ in 0..500 {
        std::hint::spin_loop();
    }
    pair.1 += 1;
    if pair.0 != pair.1 {
        shared.error(format!("{what}: two owners"));
    }
}

fn std_lock(shared: &Shared, _: u64) {
    hold(&mut shared.std_mutex.lock().unwrap_or_else(|e| e.into_inner()), shared, "std mutex");
}

fn pl_lock(shared: &Shared, _: u64) {
    hold(&mut shared.pl_mutex.lock(), shared, "parking_lot mutex");
}

fn dis_lock(shared: &Shared, n: u64) {
    let mut guard = shared.dis_mutex.lock();
    hold(&mut guard, shared, "dis mutex");
    if n.is_multiple_of(16) {
        yield_now();
    }
}

fn panics(shared: &Shared, n: u64) {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _keep = Box::new(n);
        std::panic::resume_unwind(Box::new(n));
    }));
    match caught {
        Err(payload) if payload.downcast_ref::<u64>() == Some(&n) => {}
        _ => shared.error("a panic got lost".into()),
    }
    if std::thread::panicking() {
        shared.error("still panicking".into());
    }
}

/// Calls the runtime while it unwinds, in every way that leaves the task able to go on; neighbours on the thread must
/// not be taken for unwinding.
struct Unwinding<'a>(&'a Shared);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        yield_now();
        sleep(Duration::from_micros(20));
        let _ = self.0.event.wait_timeout(Duration::from_micros(20));
        let _ = (self.0.event.is_set(), self.0.semaphore.try_acquire());
        self.0.semaphore.release();
        drop(self.0.dis_mutex.lock());
        if !std::thread::panicking() {
            self.0.error("it unwinds no more".into());
        }
    }
}

fn unwinds(shared: &Shared, n: u64) {
    for _ in 0..4 {
        yield_now();
        if std::thread::panicking() {
            shared.error("a neighbour unwinds, not this task".into());
        }
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _unwinding = Unwinding(shared);
        std::panic::resume_unwind(Box::new(n));
    }));
    if !caught.is_err_and(|payload| payload.downcast_ref::<u64>() == Some(&n)) {
        shared.error("a panic got lost over calls of the runtime".into());
    }
}

fn errno(shared: &Shared, n: u64) {
    let value = (n % 100) as i32 + 1;
    for _ in 0..50 {
        // SAFETY: the calling thread's errno, which is always valid.
        unsafe { *libc::__errno_location() = value };
        for _ in 0..2_000 {
            std::hint::spin_loop();
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(value) {
            shared.error("errno changed between two instructions".into());
        }
    }
}

fn children(shared: &Shared, n: u64) {
    let intents = [Intent::batch(), Intent::interactive(500), Intent::background()];
    let spawned: Vec<Option<JoinHandle<u64>>> = (0..8u64)
        .map(|i| {
            let intent = intents[(i % 3) as usize].clone();
            spawn_fn(intent, move || {
                if i == 5 {
                    sleep(Duration::from_micros(50));
                }
                n + i
            })
            .ok()
        })
        .collect();
    for (i, handle) in spawned.into_iter().enumerate() {
        match handle.map(JoinHandle::join) {
            Some(Ok(value)) if value == n + i as u64 => {}
            None if shared.stop.load(Ordering::Relaxed) => {}
            other => shared.error(format!("child {i}: {other:?}")),
        }
    }
}

fn aborts(shared: &Shared, n: u64) {
    struct Drops(Arc<AtomicU64>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicU64::new(0));
    let value = Drops(drops.clone());
    let spawned = spawn_fn(Intent::batch(), move || {
        let _value = value;
        loop {
            match n % 3 {
                0 => sleep(Duration::from_millis(500)),
                1 => yield_now(),
                _ => dis_runtime::park(),
            }
        }
    });
    let Ok(handle) = spawned else { return };
    if n.is_multiple_of(2) {
        yield_now();
    }
    handle.abort();
    if !matches!(handle.join(), Err(JoinError::Aborted)) {
        shared.error("an aborted task did not end as aborted".into());
    }
    if drops.load(Ordering::Relaxed) != 1 {
        shared.error("an aborted task did not drop its values once".into());
    }
}

fn naps(_: &Shared, n: u64) {
    if n.is_multiple_of(2) {
        sleep(Duration::from_micros(n % 700));
    } else {
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// Asleep in the kernel for about so many microseconds, as foreign code would.
fn nanosleep(micros: u64) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: micros as libc::c_long * 1000 };
    // SAFETY: valid; the rest is not wanted.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// Blocked in the kernel with a thread-local borrowed, and after that with and without calls of the runtime.
fn blocks(shared: &Shared, n: u64) {
    let id = std::thread::current().id();
    PLAIN.with(|plain| {
        let mut plain = plain.borrow_mut();
        *plain = n;
        nanosleep(n % 300);
        for _ in 0..(n % 7) * 20_000 {
            std::hint::spin_loop();
        }
        if *plain != n {
            shared.error("thread-local number changed in a system call".into());
        }
    });
    match n % 5 {
        0 => yield_now(),
        1 => drop(shared.dis_mutex.lock()),
        2 => shared.event.set(),
        _ => {}
    }
    if id != std::thread::current().id() {
        shared.error("a task changed its thread in a system call".into());
    }
}

/// Two tasks that talk through pipes: each blocks until the other has answered.
fn pipes(shared: &Shared, n: u64) {
    let ((mut there, mut to), (mut back, mut from)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    let echo = spawn_fn(Intent::interactive(700), move || {
        let mut byte = [0];
        while there.read(&mut byte).is_ok_and(|len| len == 1) {
            from.write_all(&[byte[0] ^ 0x55]).unwrap();
        }
    });
    let Ok(echo) = echo else { return };
    for i in 0..20u8 {
        let mut byte = [n as u8 ^ i];
        to.write_all(&byte).unwrap();
        back.read_exact(&mut byte).unwrap();
        if byte[0] != n as u8 ^ i ^ 0x55 {
            shared.error("a byte got lost in a pipe".into());
        }
    }
    drop(to);
    if echo.join().is_err() {
        shared.error("a task that reads a pipe failed".into());
    }
}

/// Tasks that are aborted, or panic, or end, in or just after a call that blocks.
fn blocked_ends(shared: &Shared, n: u64) {
    let task = spawn_fn(Intent::batch(), move || {
        let kept = Box::new(n);
        nanosleep(n % 200);
        match n % 3 {
            0 => std::panic::resume_unwind(kept),
            1 => loop {
                yield_now();
            },
            _ => *kept,
        }
    });
    let Ok(task) = task else { return };
    if n % 4 < 2 {
        nanosleep(n % 150);
    } else {
        yield_now();
    }
    let aborted = n % 3 == 1 || n.is_multiple_of(11);
    if aborted {
        task.abort();
    }
    match task.join() {
        Ok(value) if value == n && n % 3 == 2 => {}
        Err(JoinError::Panic(payload)) if payload.downcast_ref::<u64>() == Some(&n) && n.is_multiple_of(3) => {}
        Err(JoinError::Aborted) if aborted => {}
        other => shared.error(format!("a task that blocked ended as {other:?}")),
    }
}

const BLOCKS: &str = "blocks together";
const UNWINDS: &str = "unwinds";

/// Runs everything on `workers` workers for `duration`.
pub fn run(workers: usize, duration: Duration) -> Report {
    let rt = Runtime::builder().workers(workers).build().expect("a runtime");
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        errors: StdMutex::default(),
        std_mutex: StdMutex::default(),
        pl_mutex: parking_lot::Mutex::default(),
        dis_mutex: DisMutex::default(),
        event: Event::automatic(),
        semaphore: Semaphore::new(1),
    });
    let plan: [(&'static str, Intent, Round); 33] = [
        ("heap", Intent::batch(), heap),
        ("heap", Intent::background(), heap),
        ("heap", Intent::interactive(1000), heap),
        ("print", Intent::batch(), print),
        ("local borrow", Intent::batch(), local_borrow),
        ("local borrow", Intent::interactive(1000), local_borrow),
        ("local count", Intent::background(), local_count),
        ("std mutex", Intent::batch(), std_lock),
        ("std mutex", Intent::background(), std_lock),
        ("parking_lot", Intent::batch(), pl_lock),
        ("parking_lot", Intent::interactive(800), pl_lock),
        ("dis mutex", Intent::batch(), dis_lock),
        ("dis mutex", Intent::background(), dis_lock),
        ("dis mutex", Intent::interactive(900), dis_lock),
        ("panics", Intent::batch(), panics),
        ("children", Intent::batch(), children),
        ("aborts", Intent::batch(), aborts),
        ("naps", Intent::interactive(500), naps),
        ("errno", Intent::batch(), errno),
        ("errno", Intent::background(), errno),
        ("blocks", Intent::batch(), blocks),
        ("blocks", Intent::interactive(1000), blocks),
        ("blocks", Intent::background(), blocks),
        ("pipes", Intent::batch(), pipes),
        ("pipes", Intent::interactive(1500), pipes),
        ("blocked ends", Intent::batch(), blocked_ends),
        ("blocked ends", Intent::interactive(1500), blocked_ends),
        // Together on a thread.
        (BLOCKS, Intent::background(), blocks),
        (BLOCKS, Intent::background(), blocks),
        (UNWINDS, Intent::batch(), unwinds),
        (UNWINDS, Intent::batch(), unwinds),
        (UNWINDS, Intent::batch(), unwinds),
        (UNWINDS, Intent::batch(), unwinds),
    ];
    let tasks: Vec<_> = plan
        .into_iter()
        .map(|(name, intent, round)| {
            let (shared, rounds) = (shared.clone(), Arc::new(AtomicU64::new(0)));
            let count = rounds.clone();
            let task = rt.task(intent).name(name);
            // SAFETY: it leaves nothing in thread-locals over a cooperative point.
            let task = if name == UNWINDS || name == BLOCKS { unsafe { task.shared() } } else { task };
            let task = task.spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    let n = count.load(Ordering::Relaxed);
                    round(&shared, n);
                    count.store(n + 1, Ordering::Relaxed);
                }
            });
            (name, rounds, task.expect("room for a few tasks"))
        })
        .collect();
    std::thread::sleep(duration);
    shared.stop.store(true, Ordering::Relaxed);
    let mut report = Report::default();
    let deadline = Instant::now() + Duration::from_secs(30);
    for (name, rounds, task) in tasks {
        while !task.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        report.rounds.push((name, rounds.load(Ordering::Relaxed)));
        if !task.is_finished() {
            report.errors.push(format!("task '{name}' is stuck: {:?}", task.stats()));
        } else if let Err(error) = task.join() {
            report.errors.push(format!("task '{name}': {error:?}"));
        }
    }
    report.preemptions = rt.preemption_signals();
    report.threads = rt.threads();
    report.displacements = rt.displacements();
    report.closed = rt.shutdown(Duration::from_secs(20));
    report.errors.append(&mut shared.errors.lock().unwrap_or_else(|e| e.into_inner()));
    report.errors.truncate(20);
    report
}
