//! Who runs the tasks of a workload.

use alloc::string::String;
use core::ops::DerefMut;

use dis_core::api::CpuMask;

use super::Speed;
use crate::report::Counters;

/// What the interpreter needs. All calls are made by the task that they concern.
pub trait Host: Clone + Send + Sync + 'static {
    /// The mutex of `lock` and `unlock`, which also guards the interpreter's own lists.
    type Mutex<T: Send + 'static>: Lock<T>;
    /// Blocks one task.
    type Parker: Park;

    /// Now, ns. All instants of a run are of this clock.
    fn now(&self) -> u64;
    /// Lets the peers go first.
    fn yield_now(&self);
    /// Restricts the task to these CPUs of the workload, numbered from 0.
    fn set_affinity(&self, mask: CpuMask) -> Result<(), String>;
    /// Ends the job of a Realtime task and waits for its next release, where the host knows the task's period; that of a sporadic task
    /// arrives at `arrival`, ns.
    fn next_job(&self, arrival: Option<u64>) -> Option<NextJob>;
    /// Uses `ns` of the task's CPU time, and asks now and then whether to go on. Answers how much it used. By default so
    /// much work as takes that long at `speed`; a host that can measure a task's time exactly measures it.
    fn burn(&self, speed: Speed, ns: u64, go_on: impl FnMut() -> bool) -> u64 {
        speed.burn(ns, go_on)
    }
    /// CPU time that the task has used, ns, where the task itself can know it.
    fn cpu_time(&self) -> Option<u64>;
    /// What the task has used since it began, asked at its end.
    fn counters(&self) -> Counters;
}

/// A mutex.
pub trait Lock<T: Send + 'static>: Send + Sync + 'static {
    /// Unlocks when dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// An unlocked mutex.
    fn new(value: T) -> Self;
    /// Blocks until it is free.
    fn lock(&self) -> Self::Guard<'_>;
}

/// Blocks one task until another one unparks it. An unpark that comes first is remembered (one of them). May return
/// for no reason: the caller looks at what it waits for.
pub trait Park: Send + Sync + 'static {
    /// Nobody parked.
    fn new() -> Self;
    /// Waits for an unpark.
    fn park(&self);
    /// Waits for an unpark or that instant.
    fn park_until(&self, due: u64);
    /// Ends a park.
    fn unpark(&self);
}

/// A job of a Realtime task as its host released it.
#[derive(Debug, Clone, Copy)]
pub struct NextJob {
    /// When it was released.
    pub release: u64,
    /// Releases left out before it, because even their deadlines had passed.
    pub skipped: u64,
}
