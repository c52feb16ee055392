//! Plain threads of the operating system, one for each task: the baselines of `--compare`.

use std::cell::Cell;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use dis_core::api::CpuMask;
use dis_workload::report::Counters;

use super::{Host, Lock, NextJob, Park};
use crate::sys;

/// A thread as a task sees it.
#[derive(Debug, Clone)]
pub struct Threads {
    /// The machine's CPU behind each CPU of the workload.
    pub cpus: std::sync::Arc<[usize]>,
    /// Whether threads may be restricted to some of the CPUs (not under SCHED_DEADLINE).
    pub pinned: bool,
}

thread_local! {
    /// What the thread had used when its task began.
    static BEFORE: Cell<Counters> = const { Cell::new(Counters {
        cpu_ns: 0, voluntary: 0, preemptions: 0, migrations: 0, overruns: 0,
    }) };
}

impl Threads {
    /// The task begins on this thread now.
    pub fn begin(&self) {
        BEFORE.set(used());
    }
}

/// What this thread has used since it was born.
fn used() -> Counters {
    let (voluntary, preemptions) = sys::thread_switches();
    Counters { cpu_ns: sys::thread_cpu_time(), voluntary, preemptions, migrations: migrations(), overruns: 0 }
}

/// How often the kernel has moved this thread; 0 where it does not say.
fn migrations() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("se.nr_migrations"));
    line.and_then(|rest| rest.trim_start_matches([' ', ':']).trim().parse().ok()).unwrap_or(0)
}

impl Host for Threads {
    type Mutex<T: Send + 'static> = Mutex<T>;
    type Parker = Parker;

    fn now(&self) -> u64 {
        sys::monotonic()
    }

    fn yield_now(&self) {
        std::thread::yield_now();
    }

    fn set_affinity(&self, mask: CpuMask) -> Result<(), String> {
        if !self.pinned {
            return Err("runs on all CPUs: Linux does not let a SCHED_DEADLINE thread be restricted to some".into());
        }
        let cpus: CpuMask =
            self.cpus.iter().enumerate().filter(|(cpu, _)| mask.contains(*cpu)).map(|(_, &real)| real).collect();
        sys::set_affinity(&cpus).map_err(|error| format!("affinity {mask} was refused: {error}"))
    }

    fn next_job(&self, _arrival: Option<u64>) -> Option<NextJob> {
        None
    }

    fn cpu_time(&self) -> Option<u64> {
        Some(sys::thread_cpu_time())
    }

    fn counters(&self) -> Counters {
        let (now, before) = (used(), BEFORE.get());
        Counters {
            cpu_ns: now.cpu_ns - before.cpu_ns,
            voluntary: now.voluntary - before.voluntary,
            preemptions: now.preemptions - before.preemptions,
            migrations: now.migrations - before.migrations,
            overruns: 0,
        }
    }
}

/// A mutex of the standard library.
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T: Send + 'static> Lock<T> for Mutex<T> {
    type Guard<'a> = MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable and whether it was signalled.
#[derive(Debug)]
pub struct Parker {
    unparked: std::sync::Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn unparked(&self) -> MutexGuard<'_, bool> {
        self.unparked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Park for Parker {
    fn new() -> Self {
        Parker { unparked: std::sync::Mutex::new(false), changed: Condvar::new() }
    }

    fn park(&self) {
        let mut unparked = self.unparked();
        while !*unparked {
            unparked = self.changed.wait(unparked).unwrap_or_else(PoisonError::into_inner);
        }
        *unparked = false;
    }

    fn park_until(&self, due: u64) {
        let mut unparked = self.unparked();
        while !*unparked {
            let left = due.saturating_sub(sys::monotonic());
            if left == 0 {
                return;
            }
            let waited = self.changed.wait_timeout(unparked, Duration::from_nanos(left));
            unparked = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *unparked = false;
    }

    fn unpark(&self) {
        *self.unparked() = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpark_is_remembered_and_a_time_limit_holds() {
        let parker = Parker::new();
        parker.unpark();
        parker.park();
        let due = sys::monotonic() + 2_000_000;
        parker.park_until(due);
        assert!(sys::monotonic() >= due);
        std::thread::scope(|scope| {
            scope.spawn(|| parker.unpark());
            parker.park_until(u64::MAX);
        });
    }

    #[test]
    fn counters_are_of_the_task_not_of_the_thread() {
        let host = Threads { cpus: sys::allowed_cpus().into(), pinned: true };
        let start = sys::thread_cpu_time();
        while sys::thread_cpu_time() < start + 5_000_000 {}
        host.begin();
        assert!(host.counters().cpu_ns < 4_000_000);
        std::thread::sleep(Duration::from_millis(1));
        assert!(host.counters().voluntary >= 1);
    }
}
