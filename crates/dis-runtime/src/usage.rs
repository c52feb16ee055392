//! What the kernel knows of a task's use of its thread: user and system time, page faults.
//!
//! The kernel counts by thread. While one task alone has begun on a KLT and not ended, what the KLT uses is that task's;
//! while there are several, nobody can tell without a system call per switch, so it is attributed to none of them. The
//! KLT's counters are therefore read when the number of its tasks changes, and when somebody asks for a task's counters;
//! never at a yield, a wait or a preemption.

use std::cell::Cell;
use std::fs;
use std::io::{Cursor, Write};
use std::mem;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dis_core::api::{Duration, Task, TaskId, TaskStats, Timestamp};

use crate::gate::inside;
use crate::klt::{self, Klt};
use crate::lock::Locked;
use crate::runtime::Inner;
use crate::task::{Header, TaskRef};
use crate::worker::Worker;

/// Counters that were read so recently, ns, are not read again when a task begins or ends: trivial tasks cost no system call.
/// So much a task may be charged of another one's use of the same thread.
const RECENT: u64 = 20_000;

/// A KLT's counters.
#[derive(Clone, Copy, Default)]
struct Sample {
    /// CPU time, ns.
    total: u64,
    /// The part of it that the kernel attributes to system mode, ns.
    system: u64,
    faults: u64,
}

/// Whose the KLT's use is. The KLT itself changes the atomics, in its own time; others read them, and may be wrong about a task
/// that begins or ends in that moment, for as long as that takes.
pub(crate) struct Usage {
    /// Tasks that have begun on it and not ended.
    tasks: AtomicU32,
    /// The exclusive or of their ids: the id if there is one.
    ids: AtomicU64,
    /// When the counters were last read on the KLT, ns.
    at: AtomicU64,
    /// What has been dealt with.
    done: Locked<Sample>,
}

impl Usage {
    pub(crate) const fn new() -> Usage {
        Usage {
            tasks: AtomicU32::new(0),
            ids: AtomicU64::new(0),
            at: AtomicU64::new(0),
            done: Locked::new(Sample { total: 0, system: 0, faults: 0 }),
        }
    }

    /// The task alone on the KLT.
    fn only(&self) -> Option<TaskId> {
        (self.tasks.load(Ordering::Relaxed) == 1).then(|| TaskId(self.ids.load(Ordering::Relaxed)))
    }

    /// Charges what was used since the last time to `task`, or to nobody. An older sample than the last changes nothing.
    fn advance(&self, rt: &Inner, task: Option<TaskId>, sample: Sample) {
        let mut done = self.done.lock();
        let total = sample.total.saturating_sub(done.total);
        // The kernel estimates the split by ticks and rounds it; what is cut off here is made up for next time, so that
        // the parts always add up to the time.
        let system = sample.system.saturating_sub(done.system).min(total);
        let faults = sample.faults.saturating_sub(done.faults);
        done.total += total;
        done.system += system;
        done.faults += faults;
        if let Some(task) = task {
            // It may have been told to the core already that the task has ended; then nobody asks any more.
            let _ = rt.exec.account(task, total - system, system, faults);
        }
    }
}

/// What a KLT had used when the budget of a Realtime task began. Only the thread itself uses it.
///
/// It is one for all tasks of the thread: if another Realtime task has begun a budget there meanwhile, nobody knows any
/// more what the first has used; what it loses to others then counts against it, as on a host that cannot measure.
pub(crate) struct Mark {
    task: Cell<u64>,
    job: Cell<u64>,
    /// When the budget began; 0: the one that was in force after the last measurement.
    budget: Cell<u64>,
    total: Cell<u64>,
}

impl Mark {
    pub(crate) const fn new() -> Mark {
        Mark { task: Cell::new(0), job: Cell::new(0), budget: Cell::new(0), total: Cell::new(0) }
    }
}

/// A Realtime task goes on after a wait: if with a new job or budget, what the thread has used up to now is none of its.
/// One system call for each of those.
#[cold]
pub(crate) fn resumed(klt: &Klt, task: &Header) {
    let (id, mark) = (task.id(), &klt.mark);
    let look = |task: &Task<TaskRef>| (task.job().number, task.budget_start().unwrap_or(Timestamp::ZERO).as_nanos());
    let Ok((job, budget)) = inside(|| klt.rt().exec.with_task(id, look)) else { return };
    let same = mark.task.get() == id.0 && mark.job.get() == job && [0, budget].contains(&mark.budget.get());
    mark.budget.set(budget);
    if !same {
        mark.task.set(id.0);
        mark.job.set(job);
        mark.total.set(clock(libc::CLOCK_THREAD_CPUTIME_ID));
    }
}

/// The core wants to know what the running task has really used of its budget, by the kernel's count for its thread: that
/// leaves out what other processes and a hypervisor took, and the time in which the worker was handed over. Inside the
/// runtime, on the task's KLT.
#[cold]
pub(crate) fn measure(klt: &Klt) {
    measured(klt, klt.worker(), clock(libc::CLOCK_THREAD_CPUTIME_ID));
}

/// The same by the KLT that has taken the worker away from `blocked`, which is the task's and uses its mark no more until it
/// has a role again.
#[cold]
pub(crate) fn measure_blocked(worker: &Worker, blocked: &Klt) {
    measured(blocked, worker, total_of(blocked.tid.load(Ordering::Relaxed)));
}

fn measured(klt: &Klt, worker: &Worker, total: u64) {
    let mark = &klt.mark;
    let id = klt.current().map_or(0, |task| task.id().0);
    let own = id == mark.task.get();
    let used = if own { Duration::from_nanos(total.saturating_sub(mark.total.get())) } else { Duration::MAX };
    let _ = klt.rt().exec.measured(worker.cpu, used);
    mark.task.set(id);
    mark.budget.set(0);
    mark.total.set(total);
}

/// What `klt`'s task uses of its budget is used on other threads too from here on: nobody knows it but by the clock.
pub(crate) fn forget(klt: &Klt) {
    klt.mark.task.set(0);
}

/// `task` begins on the calling KLT. Inside the runtime, in task context.
pub(crate) fn begin(klt: &Klt, task: &Header, now: Timestamp) {
    change(klt, task, 1, now);
    if task.is_realtime() {
        resumed(klt, task);
    }
}

/// `task` ends on the calling KLT. Inside the runtime, in task context.
pub(crate) fn end(klt: &Klt, task: &Header, now: Timestamp) {
    change(klt, task, -1, now);
}

fn change(klt: &Klt, task: &Header, by: i32, now: Timestamp) {
    let (usage, now) = (&klt.usage, now.as_nanos());
    if now.saturating_sub(usage.at.load(Ordering::Relaxed)) >= RECENT {
        usage.at.store(now, Ordering::Relaxed);
        usage.advance(klt.rt(), usage.only(), own_counters());
    }
    usage.tasks.store(usage.tasks.load(Ordering::Relaxed).wrapping_add_signed(by), Ordering::Relaxed);
    usage.ids.store(usage.ids.load(Ordering::Relaxed) ^ task.id().0, Ordering::Relaxed);
}

/// The counters of a live task, those of the kernel up to now included. Not inside the runtime.
pub(crate) fn stats(rt: &Inner, id: TaskId) -> Option<TaskStats> {
    // A task that the core knows has not been reaped, and cannot be while the core is locked.
    let klt = inside(|| rt.exec.with_context(id, |_, own| own.header().klt.load(Ordering::Acquire)).ok())?;
    // SAFETY: KLTs live as long as the runtime.
    if let Some(klt) = unsafe { klt.as_ref() } {
        if klt::this().is_some_and(|this| std::ptr::eq(this, klt)) {
            inside(|| charge(rt, klt, id, own_counters()));
        } else {
            // The thread exists: it ends with the runtime, to which the caller has a reference.
            let sample = counters_of(klt.tid.load(Ordering::Relaxed));
            inside(|| charge(rt, klt, id, sample));
        }
    }
    inside(|| rt.exec.with_task(id, |task| task.stats).ok())
}

fn charge(rt: &Inner, klt: &Klt, id: TaskId, sample: Sample) {
    if klt.usage.only() == Some(id) {
        klt.usage.advance(rt, Some(id), sample);
    }
}

fn clock(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid; a thread that does not exist is an error, which leaves 0.
    unsafe { libc::clock_gettime(clock, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Those of the calling thread. Two system calls, no allocation.
fn own_counters() -> Sample {
    // SAFETY: an all-zero rusage is valid, and is written to.
    let usage: libc::rusage = unsafe {
        let mut usage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage
    };
    Sample {
        // More exact than the sum of both parts, which may be a tick old.
        total: clock(libc::CLOCK_THREAD_CPUTIME_ID),
        system: usage.ru_stime.tv_sec as u64 * 1_000_000_000 + usage.ru_stime.tv_usec as u64 * 1000,
        faults: (usage.ru_minflt + usage.ru_majflt) as u64,
    }
}

/// Those of another thread of the process. System time to a hundredth of a second; it and the faults stay behind where
/// /proc is not to be had.
fn counters_of(tid: i32) -> Sample {
    let mut path = [0u8; 48];
    let mut cursor = Cursor::new(&mut path[..]);
    let _ = write!(cursor, "/proc/self/task/{tid}/stat");
    let len = cursor.position() as usize;
    let mut sample = str::from_utf8(&path[..len])
        .ok()
        .and_then(|path| fs::read(path).ok())
        .map_or_else(Sample::default, |stat| parse(&stat).unwrap_or_default());
    sample.total = total_of(tid);
    sample
}

/// The CPU time of a thread of this process, ns.
pub(crate) fn total_of(tid: i32) -> u64 {
    clock(clock_of(tid))
}

/// The kernel's way to name the CPU clock of one thread: the complement of its id, "per thread", "as scheduled".
fn clock_of(tid: i32) -> libc::clockid_t {
    (!tid << 3) | 4 | 2
}

/// Reads a line of /proc/PID/stat.
fn parse(stat: &[u8]) -> Option<Sample> {
    // The thread's name is in parentheses, and may contain some.
    let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = str::from_utf8(stat.get(name_ends + 2..)?).ok()?;
    let number = |n: usize| fields.split_ascii_whitespace().nth(n)?.parse::<u64>().ok();
    // SAFETY: no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Some(Sample { total: 0, system: number(12)? * (1_000_000_000 / ticks), faults: number(7)? + number(9)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = b"77 (a) (b 1) R 1 2 3 4 5 6 1000 0 11 0 250 30 0 0 20 0 1 0 5 6 7";
        let sample = parse(line).unwrap();
        assert_eq!((sample.system, sample.faults), (300_000_000, 1011));
        assert!(parse(b"77 (a").is_none() && parse(b"").is_none());
    }

    #[test]
    fn a_thread_sees_itself_as_others_do() {
        let start = clock(libc::CLOCK_THREAD_CPUTIME_ID);
        while clock(libc::CLOCK_THREAD_CPUTIME_ID) < start + 2_000_000 {}
        let (tid, before) = (crate::sys::gettid(), own_counters());
        let seen = std::thread::spawn(move || counters_of(tid)).join().unwrap();
        let after = own_counters();
        assert!((before.total..=after.total).contains(&seen.total));
        assert!((before.faults..=after.faults).contains(&seen.faults) && seen.system <= after.system);
    }
}
