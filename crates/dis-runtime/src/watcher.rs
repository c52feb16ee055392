//! Watching for carriers that are blocked in the kernel.
//!
//! Each worker has a *watcher*, an ordinary thread of the idle class (SCHED_IDLE) that is pinned to the worker's CPU: while the carrier
//! runs, it does not (but for the 0.3 % that the kernel grants), so when it runs, the carrier probably sleeps. /proc tells for certain.
//! It calls the worker's home then, which does the rest (`displace`) and is not of the idle class: the watcher may be kept from
//! running at any point without keeping anybody waiting.
//!
//! While nothing waits for the worker, that is while the carrier's timer is not set, or the worker is idle, the watcher sleeps on a futex.
//! A task that becomes ready then kicks the worker; whoever kicks a worker looks itself whether its carrier is blocked.

use std::fmt;
use std::io::{Cursor, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::thread;

use crate::builder::BuildError;
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::sys;
use crate::usage;
use crate::worker::Worker;

/// Bytes of stack of a watcher.
const STACK: usize = 64 * 1024;

/// Values of `Watch::state`.
const OFF: u32 = 0;
const RESTS: u32 = 1;
const WATCHES: u32 = 2;

/// A worker's watcher, as others see it.
pub(crate) struct Watch {
    state: AtomicU32,
    stop: AtomicBool,
}

impl Watch {
    pub(crate) const fn new() -> Watch {
        Watch { state: AtomicU32::new(OFF), stop: AtomicBool::new(false) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.state.load(Ordering::Relaxed) != OFF
    }

    /// The carrier may be in the way of others from now on. Called by the carrier when its timer has been set.
    #[inline]
    pub(crate) fn begin(&self) {
        // Either we see that it rests, or it sees what was stored before.
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) == RESTS {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if self.state.compare_exchange(RESTS, WATCHES, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            sys::futex_wake(&self.state, 1);
        }
    }

    /// Ends the watcher's thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.rouse();
    }
}

/// Whether tasks that block in the kernel are noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockingWatch {
    /// Yes: their worker goes on with other tasks.
    On,
    /// No, as the runtime was [built so](crate::Builder::watch_blocking).
    Off,
    /// No: the system refuses what is needed, and this is why. A task that blocks keeps its worker until the next interruption.
    Unavailable(String),
}

impl fmt::Display for BlockingWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockingWatch::On => f.write_str("on"),
            BlockingWatch::Off => f.write_str("off"),
            BlockingWatch::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

/// Whether roles can be taken away at all.
///
/// # Errors
/// What is missing.
pub(crate) fn prepare() -> Result<(), String> {
    sys::register_membarrier().map_err(|error| format!("membarrier: {error}"))?;
    if state_of(sys::gettid()) != Some(b'R') {
        return Err("/proc does not tell the states of this process's threads".into());
    }
    // On a thread of its own, so that the caller keeps its policy.
    let tried = thread::Builder::new().spawn(sys::become_idle).map(|thread| thread.join());
    match tried {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) | Err(error) => Err(format!("SCHED_IDLE: {error}")),
        Ok(Err(_)) => Err("a thread ended early".into()),
    }
}

/// Starts the watcher of a worker.
pub(crate) fn start(inner: &Arc<Inner>, cpu: usize) -> Result<(), BuildError> {
    let rt = inner.clone();
    let name = format!("{}-watch-{cpu}", inner.config.name);
    let thread = thread::Builder::new().name(name).stack_size(STACK).spawn(move || main(&rt.workers[cpu]));
    let thread = thread.map_err(|error| BuildError::Thread(error.to_string()))?;
    inner.threads.lock().unwrap_or_else(|e| e.into_inner()).push(thread);
    Ok(())
}

/// The body of a watcher's thread.
fn main(worker: &Worker) {
    // A handler of the user's would run in the idle class.
    sys::block_signals();
    if sys::become_idle().is_err() {
        return; // It was possible a moment ago. Of another class it would take time from the tasks.
    }
    // Refused if the process may not use this CPU any more; then it watches from wherever it may.
    let _ = sys::pin(0, worker.os_cpu);
    let watch = &worker.watch;
    watch.state.store(WATCHES, Ordering::SeqCst);
    while !watch.stop.load(Ordering::SeqCst) {
        match glance(worker) {
            Sight::Nothing => rest(worker),
            Sight::Running => thread::yield_now(),
            Sight::Blocked => {
                worker.call_home();
                thread::yield_now();
            }
        }
    }
}

/// Sleeps until there is something to watch.
fn rest(worker: &Worker) {
    let watch = &worker.watch;
    watch.state.store(RESTS, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    while watch.state.load(Ordering::SeqCst) == RESTS
        && !watch.stop.load(Ordering::SeqCst)
        && matches!(glance(worker), Sight::Nothing)
    {
        sys::futex_wait(&watch.state, RESTS, None);
    }
    watch.state.store(WATCHES, Ordering::SeqCst);
}

enum Sight {
    /// Nobody would mind if the carrier were blocked.
    Nothing,
    Running,
    Blocked,
}

fn glance(worker: &Worker) -> Sight {
    // SAFETY: KLTs live as long as the runtime.
    match unsafe { worker.carrier.load(Ordering::SeqCst).as_ref() } {
        Some(klt) if klt.is_limited() && !worker.is_idle() => {
            if is_blocked(klt) {
                Sight::Blocked
            } else {
                Sight::Running
            }
        }
        _ => Sight::Nothing,
    }
}

/// Whether the thread sleeps in the kernel, outside the runtime: momentary. About 3 µs. Async-signal-safe; changes `errno`.
pub(crate) fn is_blocked(klt: &Klt) -> bool {
    !klt.is_in_runtime() && matches!(state_of(klt.tid.load(Ordering::Relaxed)), Some(b'S' | b'D'))
}

/// The same for a thread that most probably runs, on another processor: about 0.5 µs if it does.
pub(crate) fn seems_blocked(klt: &Klt) -> bool {
    let tid = klt.tid.load(Ordering::Relaxed);
    !klt.is_in_runtime() && usage::total_of(tid) == usage::total_of(tid) && is_blocked(klt)
}

/// The state of a thread of this process as /proc has it: running or runnable `R`, asleep `S`, asleep for something that is
/// expected soon `D`, and others.
fn state_of(tid: i32) -> Option<u8> {
    let mut path = [0u8; 48];
    let mut cursor = Cursor::new(&mut path[..]);
    write!(cursor, "/proc/self/task/{tid}/stat\0").ok()?;
    let mut line = [0u8; 96];
    // SAFETY: a terminated string; a valid buffer of the given length; the descriptor is ours.
    let len = unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let len = libc::read(file, line.as_mut_ptr().cast(), line.len());
        libc::close(file);
        len
    };
    parse(line.get(..usize::try_from(len).ok()?)?, tid)
}

/// The CPU of the machine that a thread runs on, or waits for, being ready; `None` if it sleeps. `stat`: its file of that name.
/// Async-signal-safe; changes `errno`.
#[cfg(feature = "tokio")]
pub(crate) fn runs_on(stat: std::os::fd::RawFd) -> Option<usize> {
    let mut line = [0u8; 512];
    // SAFETY: a valid buffer of the given length.
    let len = unsafe { libc::pread(stat, line.as_mut_ptr().cast(), line.len(), 0) };
    parse_cpu(line.get(..usize::try_from(len).ok()?)?)
}

#[cfg(any(feature = "tokio", test))]
fn parse_cpu(line: &[u8]) -> Option<usize> {
    let mut fields = line.get(line.iter().rposition(|&byte| byte == b')')? + 2..)?.split(|&byte| byte == b' ');
    // The state is field 3 of proc_pid_stat(5), the CPU field 39.
    let state = fields.next()?;
    let cpu = fields.nth(35)?;
    if state != b"R" { None } else { str::from_utf8(cpu).ok()?.parse().ok() }
}

/// Reads the beginning of a line of /proc/PID/stat.
fn parse(line: &[u8], tid: i32) -> Option<u8> {
    let number = line.split(|&byte| byte == b' ').next()?;
    if str::from_utf8(number).ok()?.parse::<i32>().ok()? != tid {
        return None;
    }
    // The name is in parentheses, and may contain some; numbers come after the state.
    let name_ends = line.iter().rposition(|&byte| byte == b')')?;
    line.get(name_ends + 2).copied()
}

/// All watchers are to end. For who ends the other threads.
pub(crate) fn stop_all(rt: &Inner) {
    rt.workers.iter().for_each(|worker| worker.watch.stop());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        assert_eq!(parse(b"77 (a) (b) S 1 2 3", 77), Some(b'S'));
        assert_eq!(parse(b"77 (a) R", 78), None);
        assert!(parse(b"", 1).is_none() && parse(b"1 (a)", 1).is_none());
        assert_eq!(state_of(sys::gettid()), Some(b'R'));
        assert_eq!(state_of(i32::MAX), None);
        let fields =
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 7 0";
        assert_eq!(parse_cpu(format!("77 (a) b) R {fields}").as_bytes()), Some(7));
        assert_eq!(parse_cpu(format!("77 (a) b) S {fields}").as_bytes()), None);
        assert_eq!(parse_cpu(b"77 (a) R 1 2"), None);
    }
}
