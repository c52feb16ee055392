//! The queue of one class on one CPU: its policy, and what is counted beside it.

use alloc::boxed::Box;

use super::tcb::SchedState;
use crate::api::{Duration, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::ClassSet;
use crate::policy::{Entity, SchedulingPolicy};
use crate::stats::QueueStat;

/// Slice of an Interactive task while another waits: so many can each begin within a few milliseconds.
const CONTENDED_SLICE: Duration = Duration::from_millis(1);

/// One class on one CPU.
pub(crate) struct ClassQueue {
    pub policy: Box<dyn SchedulingPolicy>,
    /// The counters, the average aside. What the policy says of its length is compared with the length here.
    pub stat: QueueStat,
    /// How often the policy was replaced because its answers were wrong.
    pub replaced: u64,
    /// How many of the queued tasks other CPUs may take, as far as the tasks' affinities allow.
    pub stealable: u32,
    /// What the policy's virtual time is off the machine's (see [`axis`](super::axis)).
    pub origin: i64,
}

impl ClassQueue {
    /// Whether the policy has as many tasks as it was given.
    #[inline(always)]
    pub fn is_sound(&self) -> bool {
        self.policy.len() == self.stat.length as usize
    }

    /// The running task has used `ran`.
    #[inline(always)]
    pub fn tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        if !ran.is_zero() {
            self.policy.on_tick(task, ran, now);
        }
    }

    /// Notes a task that joins the queue.
    #[inline(always)]
    pub fn admit(&mut self, task: &mut SchedState, now: Timestamp) {
        task.ready_since = now;
        task.queued = true;
        self.stat.record_enqueue();
        self.stealable += u32::from(task.stealable);
    }

    /// Notes that a task has left the queue. How long it waited.
    #[inline(always)]
    pub fn release(&mut self, task: &mut SchedState, now: Timestamp) -> Duration {
        let waited = now.since(task.ready_since);
        task.queued = false;
        self.stat.count_dequeue(waited);
        self.stealable -= u32::from(task.stealable);
        waited
    }

    /// One task joins the queue and another leaves it: [`admit`](Self::admit) and [`release`](Self::release) at once. `stealable`:
    /// whether other CPUs may take the one that joins, which the caller has marked as queued. How long the other waited.
    #[inline(always)]
    pub fn replace(&mut self, stealable: bool, left: &mut SchedState, now: Timestamp) -> Duration {
        let waited = now.since(left.ready_since);
        left.queued = false;
        self.stat.count_exchange(waited);
        self.stealable = self.stealable + u32::from(stealable) - u32::from(left.stealable);
        waited
    }

    /// A new slice, ns; shortened while a latency-sensitive task waits.
    #[inline(always)]
    pub fn new_slice(&self, entity: &Entity, class: QueueType, ready: ClassSet) -> u64 {
        let slice = self.policy.time_slice(entity);
        let contended = class == QueueType::Interactive && ready.contains(class);
        let slice = if contended { slice.min(CONTENDED_SLICE) } else { slice };
        slice.as_nanos().max(1)
    }
}
