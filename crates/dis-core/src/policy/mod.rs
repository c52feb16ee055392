//! Policies: which ready task of a class goes next on one CPU.
//!
//! A policy *owns the order* of the ready tasks of one intent class on one CPU. It is told when a task begins to
//! compete ([`on_ready`](SchedulingPolicy::on_ready)), how long it ran ([`on_tick`](SchedulingPolicy::on_tick)) and
//! when it stops competing ([`on_block`](SchedulingPolicy::on_block), [`remove`](SchedulingPolicy::remove)), and it
//! answers who goes next in O(log n). It never sees a task's context, reads no clock and holds no task: only the
//! [`Entity`] that the core hands it, and the keys it has queued.
//!
//! ```text
//!             on_ready                  select
//!   (away) ------------> queued ---------------------> running
//!      ^                   |  ^                           |
//!      |      remove       |  |  on_ready(Yield/Preempt)  |
//!      +-------------------+  +---------------------------+
//!      |                        on_block                  |
//!      +--------------------------------------------------+
//! ```

mod edf;
mod fair;
mod priority;
mod round_robin;
mod scan;
#[cfg(test)]
pub(crate) mod testing;

pub use edf::EdfPolicy;
pub use fair::FairPolicy;
pub(crate) use fair::MOST_WEIGHT;
#[doc(hidden)]
pub use fair::{GroupRoom, GroupShare};
pub(crate) use fair::{MOST_OWED, SCALE_BITS, virtual_length, weight};
pub use priority::PriorityPolicy;
pub use round_robin::RoundRobinPolicy;
pub use scan::{ScanAdapter, ScanPolicy};

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::api::{Duration, TaskId, Timestamp};

/// A task's index on the CPU that owns it. Keys are small and dense, so policies keep side tables by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TaskKey(pub u32);

impl TaskKey {
    /// The key as a table index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a policy sees of a task. Policies that are loaded from files see it in this layout, which is part of their ABI.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Entity {
    /// The task's key on this CPU.
    pub key: TaskKey,
    /// Effective priority, 0..=255, lower first (inheritance and boosts included).
    pub priority: u8,
    /// The group with which it shares what that one gets; 0: it shares by itself.
    pub group: u16,
    /// The task's id; breaks ties, so that equal tasks have a documented total order.
    pub id: TaskId,
    /// Effective absolute deadline; [`Timestamp::MAX`] without one.
    pub deadline: Timestamp,
    /// The intent's own time slice (for Realtime: the wcet).
    pub slice: Duration,
    /// Scratch numbers of the policy that travel with the task.
    pub virt: VirtualTime,
}

/// What a task takes along from one fair queue to the next; the Fair policy alone writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct VirtualTime {
    /// Service owed (positive) or overdrawn (negative) when the task last stopped competing, in nanoseconds of a task of the
    /// least weight, times 2^16.
    pub lag: i64,
}

/// How far the tasks of a policy with a virtual clock have got, those that run included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The mean of their virtual runtimes ([`SchedulingPolicy::vruntime`]) by weight; while nobody competes, where the next will
    /// begin. In units of 2^-16 ns of service per unit of weight; compared by difference, as it may wrap.
    pub mean: i64,
    /// The sum of their weights (256 − priority each).
    pub weight: i64,
}

/// With what weight a task takes part in a virtual clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The task's own, 1 at least.
    pub own: u16,
    /// That of all tasks of its group on this CPU, which share as one; of a task in no group its own.
    pub whole: u16,
}

/// What a task is owed by those who compete with it, in nanoseconds of CPU time: what it would have had if all had been served at
/// once, in proportion to their weights, less what it has had. Negative for one that is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lag(i64);

impl Lag {
    pub(crate) const fn new(nanos: i64) -> Self {
        Lag(nanos)
    }

    /// In nanoseconds; negative for a task that is ahead.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

/// Why a task enters a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Arrival {
    /// Its first time.
    Spawn,
    /// After blocking or sleeping.
    Wake,
    /// It ran and gave up the CPU of its own will.
    Yield,
    /// It ran and was made to give up the CPU before its slice ended: it keeps its place.
    Preempt,
    /// It ran to the end of its slice.
    SliceEnd,
    /// It comes from another CPU, class or policy.
    Migrate,
}

/// The order of one class's ready tasks on one CPU.
pub trait SchedulingPolicy: Send {
    /// The policy's name as `--policy` takes it.
    fn name(&self) -> &'static str;

    /// `task` is ready: queue it. Except for [`Arrival::Yield`], [`Arrival::Preempt`] and [`Arrival::SliceEnd`]
    /// (where it was running here) it begins to compete.
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp);

    /// Takes the next task out of the queue; it is now running and still competes.
    fn select(&mut self, now: Timestamp) -> Option<TaskKey>;

    /// The task that [`select`](Self::select) would take.
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey>;

    /// The running `task` gives way and the next one takes its place: [`on_ready`](Self::on_ready), then
    /// [`select`](Self::select).
    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        self.on_ready(task, why, now);
        self.select(now)
    }

    /// The running `task`, which has used `ran` since the last call, yields: [`on_tick`](Self::on_tick), if it has used anything, then
    /// [`exchange`](Self::exchange).
    fn rotate(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) -> Option<TaskKey> {
        if !ran.is_zero() {
            self.on_tick(task, ran, now);
        }
        self.exchange(task, Arrival::Yield, now)
    }

    /// The running task stops competing: it blocks, sleeps, ends, moves away or changes class.
    fn on_block(&mut self, task: &mut Entity, now: Timestamp);

    /// A queued task stops competing. False if it was not queued here.
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool;

    /// A queued or running task gets another priority and deadline; a queued one moves to its new place.
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp);

    /// The running task has used `ran` of CPU time since the last call.
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp);

    /// How long `task` may run before its peers get their turn.
    fn time_slice(&self, task: &Entity) -> Duration;

    /// Whether `ready`, which has just been queued, should take the CPU from `running` at once.
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool;

    /// Shows queued tasks to `visit`, last to be served first as far as that is cheap, until it returns true.
    /// Used to find a task that may move to another CPU; a policy may show fewer than all, but at least 16.
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool);

    /// How far those who compete have got. A policy that answers is balanced between CPUs so that equal tasks get equal
    /// shares of the machine; any other only by the number of tasks.
    fn progress(&mut self) -> Option<Progress> {
        None
    }

    /// The virtual runtime of a task that competes, if there is a virtual clock.
    fn vruntime(&self, _key: TaskKey) -> Option<i64> {
        None
    }

    /// The weight with which a task, competing or not, takes part in the virtual clock, and that of the group with which it does so. For
    /// one that shares by itself both are 256 − priority.
    fn weight_of(&self, task: &Entity) -> Claim {
        let own = weight(task.priority);
        Claim { own, whole: own }
    }

    /// Tasks that name `share`'s group from now on are to share one part of the CPU, which is that of a single entity; `key` is no
    /// task's. Allocates nothing: the policy finds what it needs in `room`, and leaves there what it does not need any more. Answers
    /// what is to take this policy's place, if that is another one. A policy that knows no shares ignores groups.
    #[doc(hidden)]
    fn add_group(
        &mut self,
        _key: TaskKey,
        _share: &Arc<GroupShare>,
        _room: &mut GroupRoom,
    ) -> Option<Box<dyn SchedulingPolicy>> {
        None
    }

    /// Number of queued tasks.
    fn len(&self) -> usize;

    /// Whether nothing is queued.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for keys below `keys`, so that later calls do not allocate.
    fn reserve(&mut self, keys: usize);
}
