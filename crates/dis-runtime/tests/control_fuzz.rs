//! The control socket under random and mutated requests, slow clients and half-open ones.
//!
//! `DIS_FUZZ_SECONDS` (default 3) and `DIS_FUZZ_SEED` (default: the time) choose how long and which.

#[path = "common/scratch.rs"]
mod scratch;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dis_control::protocol::{Command, LONGEST_REQUEST, Reply};
use dis_control::{Client, MOST_CLIENTS};
use dis_runtime::{Intent, Runtime, sleep, yield_now};
use scratch::Scratch;

/// Xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const CLASSES: [&str; 6] = ["system", "realtime", "interactive", "batch", "background", "none"];
const NAMES: [&str; 6] = ["fair", "edf", "priority", "round-robin", "lottery", ""];
const PIECES: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"v\":1",
    "\"do\":",
    "\"tasks\"",
    "\"task\":",
    "null",
    "-1",
    "1e400",
    "18446744073709551616",
    "\"\\ud800\"",
    "\u{0}",
    "\"class\":{\"is\":\"realtime\"}",
    "\n",
];

/// Something that is a request, nearly one, or none at all.
fn request(random: &mut Random, ids: &[u64]) -> Vec<u8> {
    let id = match random.below(4) {
        0 => random.next(),
        _ => ids.get(random.below(ids.len())).copied().unwrap_or(1),
    };
    let (class, name, number) = (random.one(&CLASSES), random.one(&NAMES), random.next() % 100_000);
    let text = match random.below(12) {
        0 => "{\"v\":1,\"do\":\"hello\"}".into(),
        1 => format!("{{\"v\":1,\"do\":\"tasks\",\"from\":{}}}", [0, 1 << 32, u64::MAX, number][random.below(4)]),
        2 => format!("{{\"v\":1,\"do\":\"stats\",\"watch\":{}}}", random.below(2) == 0),
        3 => format!("{{\"v\":1,\"do\":\"intent\",\"task\":{id},\"class\":{{\"is\":\"{class}\"}}}}"),
        4 => format!(
            "{{\"v\":1,\"do\":\"intent\",\"task\":{id},\"class\":{{\"is\":\"interactive\",\"latency-us\":{number}}}}}"
        ),
        5 => format!(
            "{{\"v\":1,\"do\":\"intent\",\"task\":{id},\"class\":{{\"is\":\"realtime\",\"period-us\":{number},\"deadline-us\":{},\"wcet-us\":{}}}}}",
            number.saturating_sub(random.below(3) as u64),
            number / 50,
        ),
        6 => format!("{{\"v\":1,\"do\":\"priority\",\"task\":{id},\"priority\":{}}}", random.below(300)),
        7 => format!(
            "{{\"v\":1,\"do\":\"affinity\",\"task\":{id},\"cpus\":[{},{}]}}",
            random.below(4),
            random.below(70_000)
        ),
        8 => format!("{{\"v\":1,\"do\":\"kill\",\"task\":{id}}}"),
        9 => format!(
            "{{\"v\":1,\"do\":\"load\",\"file\":\"{}\"}}",
            random.one(&["/dev/null", "/", "/nowhere", "x", "/proc/self/mem"])
        ),
        10 => format!("{{\"v\":1,\"do\":\"activate\",\"class\":\"{class}\",\"name\":\"{name}\"}}"),
        _ => format!("{{\"v\":{},\"do\":\"unload\",\"name\":\"{name}\"}}", random.below(3)),
    };
    let mut bytes = text.into_bytes();
    match random.below(4) {
        // As it is, so that the requests that are carried out are many.
        0 | 1 => {}
        2 => (0..=random.below(4)).for_each(|_| mutate(random, &mut bytes)),
        _ => bytes = (0..random.below(40)).flat_map(|_| random.one(&PIECES).bytes()).collect(),
    }
    if random.below(50) == 0 {
        bytes.resize(bytes.len() + random.below(3 * LONGEST_REQUEST), b'{');
    }
    bytes.push(b'\n');
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
    if bytes.is_empty() {
        return;
    }
    match random.below(5) {
        0 => bytes[at] = random.next() as u8,
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, random.next() as u8),
        3 => bytes.truncate(at),
        _ => {
            let piece = random.one(&PIECES).bytes();
            drop(bytes.splice(at.min(other)..at.max(other), piece));
        }
    }
}

/// Sends requests until the server has had enough of this client, or so many.
fn session(path: &Path, random: &mut Random, ids: &[u64]) -> std::io::Result<u64> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut answered = 0;
    for _ in 0..random.below(60) {
        let request = request(random, ids);
        stream.write_all(&request)?;
        if random.below(20) == 0 {
            // Gone before the answer.
            return Ok(answered);
        }
        // A newline within makes two requests of one; empty lines are requests too.
        for _ in 0..request.iter().filter(|byte| **byte == b'\n').count() {
            let mut byte = [0];
            loop {
                if stream.read(&mut byte)? == 0 {
                    return Ok(answered);
                }
                if byte[0] == b'\n' {
                    break;
                }
            }
            answered += 1;
        }
    }
    Ok(answered)
}

/// Asks as a client does that means no harm. On a busy machine it may have to make place for those who only connect before it has
/// asked, or be told that too many are still on their way out; then it asks again. How often it had to.
fn honest(path: &Path) -> u64 {
    let mut last = None;
    for tries in 0..100 {
        std::thread::sleep(Duration::from_millis(10 * tries.min(10)));
        match Client::connect(path).and_then(|mut client| client.ask(&Command::Stats { watch: true })) {
            Ok(Reply::Stats(_)) => return tries,
            other => last = Some(other),
        }
    }
    panic!("an honest client is answered: {last:?}");
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Bytes that have been allocated and not freed.
fn in_use() -> usize {
    // SAFETY: reads the allocator's counters.
    let counters = unsafe { libc::mallinfo2() };
    counters.uordblks + counters.hblkhd
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

#[test]
fn nothing_that_comes_by_the_socket_harms_the_runtime() {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        next(info);
    }));
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let (seconds, seed) = (number("DIS_FUZZ_SECONDS", 3), number("DIS_FUZZ_SEED", time) | 1);
    println!("DIS_FUZZ_SECONDS={seconds} DIS_FUZZ_SEED={seed}");

    let folder = Scratch::new();
    let path = folder.join("control.sock");
    let rt = Runtime::builder().workers(2).control_socket(&path).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let spawn = |number: usize| {
        let seen = Arc::clone(&stop);
        let body = move || {
            while !seen.load(Ordering::Relaxed) {
                if number.is_multiple_of(2) { yield_now() } else { sleep(Duration::from_micros(500)) }
            }
        };
        rt.task(Intent::batch()).name(format!("victim-{number}")).spawn(body).unwrap()
    };
    let mut tasks: Vec<_> = (0..8).map(spawn).collect();
    // Some that say little or nothing, all the time.
    let slow = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut idle: Vec<UnixStream> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Ok(stream) = UnixStream::connect(&path) {
                    idle.push(stream);
                }
                if idle.len() > 3 * MOST_CLIENTS {
                    drop(idle.drain(..MOST_CLIENTS));
                }
                idle.iter_mut().for_each(|stream| drop(stream.write(b"{")));
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut random, mut answered, mut sessions, mut lost, mut settled) = (Random(seed), 0, 0u64, 0, None);
    while Instant::now() < until {
        for (number, task) in tasks.iter_mut().enumerate().filter(|(_, task)| task.is_finished()) {
            *task = spawn(number);
        }
        let ids: Vec<u64> = tasks.iter().map(|task| task.id().0).collect();
        // Refused for a moment, or closed by the server: the next one is to be served.
        answered += session(&path, &mut random, &ids).unwrap_or(0);
        sessions += 1;
        if sessions % 16 == 0 {
            lost += honest(&path);
        }
        if sessions == 200 {
            settled = Some((resident(), in_use()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    slow.join().unwrap();
    for task in tasks {
        // Some may have been killed.
        let _ = task.join();
    }
    println!("{answered} requests answered in {sessions} sessions; honest clients that had to ask again: {lost}");
    assert!(answered > 50, "the test must reach the server");
    if let Some((settled, used)) = settled {
        let grown = resident().saturating_sub(settled);
        println!("grown by {} KiB; in use: {} KiB, before {} KiB", grown >> 10, in_use() >> 10, used >> 10);
        assert!(grown < 64 << 20, "grown by {grown} bytes");
    }
    assert_eq!(rt.spawn_fn(Intent::batch(), || 6 * 7).unwrap().join().unwrap(), 42);
    assert!(rt.shutdown(Duration::from_secs(10)));
    // A task that is killed unwinds without the hook.
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}
