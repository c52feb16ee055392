//! Tasks of DIS.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dis_core::api::{CpuMask, Timestamp};
use dis_runtime::{JoinHandle, sync};
use dis_workload::report::Counters;

use super::{Host, Lock, NextJob, Park};
use crate::work::Speed;

/// A task of DIS as it sees itself.
#[derive(Debug, Clone)]
pub struct Dis {
    /// The machine's CPU behind each CPU of the workload.
    pub cpus: Arc<[usize]>,
    /// Whether the task's jobs are released by the scheduler.
    pub periodic: bool,
    /// The task's own handle.
    pub handle: Handle,
}

/// Where the handle of a task is, once it has been spawned and until it is joined.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<std::sync::Mutex<Option<JoinHandle<()>>>>);

impl Handle {
    /// Puts it there.
    pub fn put(&self, handle: JoinHandle<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// Takes it away.
    pub fn take(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks at it.
    pub fn with<T>(&self, look: impl FnOnce(&JoinHandle<()>) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }
}

impl Host for Dis {
    type Mutex<T: Send + 'static> = Mutex<T>;
    type Parker = Parker;

    fn now(&self) -> u64 {
        dis_runtime::now().as_nanos()
    }

    fn yield_now(&self) {
        dis_runtime::yield_now();
    }

    fn set_affinity(&self, mask: CpuMask) -> Result<(), String> {
        let real = self.cpus.iter().enumerate().filter(|(cpu, _)| mask.contains(*cpu)).map(|(_, &real)| real).collect();
        match self.handle.with(|handle| handle.set_affinity(real)) {
            Some(Err(error)) => Err(format!("affinity {mask} was refused: {error}")),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn next_job(&self, arrival: Option<u64>) -> Option<NextJob> {
        if !self.periodic {
            return None;
        }
        let job = match arrival {
            None => dis_runtime::next_period(),
            Some(arrival) => dis_runtime::next_job(Timestamp::from_nanos(arrival)),
        };
        let job = job.ok()?;
        Some(NextJob { release: job.release.as_nanos(), skipped: job.skipped })
    }

    fn burn(&self, speed: Speed, ns: u64, mut go_on: impl FnMut() -> bool) -> u64 {
        speed.burn(ns, || {
            dis_runtime::checkpoint();
            go_on()
        })
    }

    fn cpu_time(&self) -> Option<u64> {
        None
    }

    /// The core counts; its numbers are added when the task has ended.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A mutex of the runtime.
pub struct Mutex<T>(sync::Mutex<T>);

impl<T: Send + 'static> Lock<T> for Mutex<T> {
    type Guard<'a> = sync::MutexGuard<'a, T>;

    fn new(value: T) -> Self {
        Mutex(sync::Mutex::new(value))
    }

    fn lock(&self) -> sync::MutexGuard<'_, T> {
        self.0.lock()
    }
}

/// An event of the runtime.
pub struct Parker(sync::Event);

impl Park for Parker {
    fn new() -> Self {
        Parker(sync::Event::automatic())
    }

    fn park(&self) {
        self.0.wait();
    }

    fn park_until(&self, due: u64) {
        let left = due.saturating_sub(dis_runtime::now().as_nanos());
        self.0.wait_timeout(Duration::from_nanos(left));
    }

    fn unpark(&self) {
        self.0.set();
    }
}
