//! Whose policy a CPU is in: what a policy that panics or faults takes down with it is the machine, and this says which one it was.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::Cell;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Claim, Entity, GroupRoom, GroupShare, Progress, SchedulingPolicy, TaskKey};

use crate::percpu::{self, PerCpu};

/// A policy that is not built in: this CPU's mark has its name while it is asked. Interrupts are off then.
struct Guarded {
    name: &'static str,
    policy: Box<dyn SchedulingPolicy>,
}

/// Wraps a policy, for [`guard_policies`](dis_core::modules::SchedulerRegistry::guard_policies).
pub(crate) fn guarded(policy: Box<dyn SchedulingPolicy>) -> Box<dyn SchedulingPolicy> {
    Box::new(Guarded { name: policy.name(), policy })
}

/// The policy that this CPU is in.
pub(crate) fn policy_here() -> Option<&'static str> {
    percpu::this().policy.get()
}

/// The CPU's mark, taken back when it is dropped.
struct Mark(&'static Cell<Option<&'static str>>);

impl Mark {
    fn set(name: &'static str) -> Mark {
        let pc: &'static PerCpu = percpu::this();
        pc.policy.set(Some(name));
        Mark(&pc.policy)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl SchedulingPolicy for Guarded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        let _mark = Mark::set(self.name);
        self.policy.on_ready(task, why, now);
    }

    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        let _mark = Mark::set(self.name);
        self.policy.select(now)
    }

    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        let _mark = Mark::set(self.name);
        self.policy.peek(now)
    }

    fn exchange(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) -> Option<TaskKey> {
        let _mark = Mark::set(self.name);
        self.policy.exchange(task, why, now)
    }

    fn rotate(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) -> Option<TaskKey> {
        let _mark = Mark::set(self.name);
        self.policy.rotate(task, ran, now)
    }

    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        let _mark = Mark::set(self.name);
        self.policy.on_block(task, now);
    }

    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        let _mark = Mark::set(self.name);
        self.policy.remove(task, now)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        let _mark = Mark::set(self.name);
        self.policy.update(task, priority, deadline, now);
    }

    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        let _mark = Mark::set(self.name);
        self.policy.on_tick(task, ran, now);
    }

    fn time_slice(&self, task: &Entity) -> Duration {
        let _mark = Mark::set(self.name);
        self.policy.time_slice(task)
    }

    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        let _mark = Mark::set(self.name);
        self.policy.preempts(ready, running)
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _mark = Mark::set(self.name);
        self.policy.visit(visit);
    }

    fn progress(&mut self) -> Option<Progress> {
        let _mark = Mark::set(self.name);
        self.policy.progress()
    }

    fn vruntime(&self, key: TaskKey) -> Option<i64> {
        let _mark = Mark::set(self.name);
        self.policy.vruntime(key)
    }

    fn weight_of(&self, task: &Entity) -> Claim {
        let _mark = Mark::set(self.name);
        self.policy.weight_of(task)
    }

    fn add_group(
        &mut self,
        key: TaskKey,
        share: &Arc<GroupShare>,
        room: &mut GroupRoom,
    ) -> Option<Box<dyn SchedulingPolicy>> {
        self.policy.add_group(key, share, room)
    }

    fn len(&self) -> usize {
        let _mark = Mark::set(self.name);
        self.policy.len()
    }

    fn reserve(&mut self, keys: usize) {
        let _mark = Mark::set(self.name);
        self.policy.reserve(keys);
    }
}
