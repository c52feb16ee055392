//! The policy against published examples, against the rule itself, and its promises over long runs.

mod golden;
mod promises;
mod rule;

use alloc::vec::Vec;

use super::clock::Instant;
use super::*;
use crate::policy::testing::entity;

const NOW: Timestamp = Timestamp::ZERO;

/// Requests as long as the slices, and no slack: the rule as published.
fn exact(min_granularity: Duration) -> FairPolicy {
    FairPolicy::with_requests(Requests::ByIntent, min_granularity)
}

/// A CPU with a fair queue and no more: runs tasks as long as they should, and keeps count.
pub(super) struct Machine {
    pub policy: FairPolicy,
    pub tasks: Vec<Entity>,
    /// CPU time of each task.
    pub used: Vec<u64>,
    pub running: Option<usize>,
    pub clock: u64,
}

impl Machine {
    pub fn new(policy: FairPolicy) -> Self {
        Machine { policy, tasks: Vec::new(), used: Vec::new(), running: None, clock: 0 }
    }

    /// Adds a task that does not compete yet.
    pub fn task(&mut self, weight: u16, slice: u64) -> usize {
        let key = self.tasks.len() as u32;
        let priority = (256 - weight) as u8;
        self.tasks.push(Entity { priority, slice: Duration::from_nanos(slice), ..entity(key) });
        self.used.push(0);
        key as usize
    }

    pub fn ready(&mut self, task: usize, why: Arrival) {
        self.policy.on_ready(&mut self.tasks[task], why, NOW);
    }

    /// Adds a task that competes from now on.
    pub fn spawn(&mut self, weight: u16, slice: u64) -> usize {
        let task = self.task(weight, slice);
        self.ready(task, Arrival::Spawn);
        task
    }

    pub fn select(&mut self) -> Option<usize> {
        assert!(self.running.is_none());
        self.running = self.policy.select(NOW).map(TaskKey::index);
        self.running
    }

    /// The running task runs for `span`.
    pub fn run(&mut self, span: u64) {
        let task = self.running.expect("something runs");
        self.used[task] += span;
        self.clock += span;
        self.policy.on_tick(&mut self.tasks[task], Duration::from_nanos(span), NOW);
    }

    /// The running task gives up the CPU and stays ready.
    pub fn put_back(&mut self, why: Arrival) {
        let task = self.running.take().expect("something runs");
        self.ready(task, why);
    }

    pub fn block(&mut self) {
        let task = self.running.take().expect("something runs");
        self.policy.on_block(&mut self.tasks[task], NOW);
    }

    pub fn slice(&self) -> u64 {
        self.policy.time_slice(&self.tasks[self.running.expect("something runs")]).as_nanos()
    }

    /// Selects a task and runs it to the end of its slice. Which one.
    pub fn turn(&mut self) -> usize {
        let task = self.select().expect("something is ready");
        self.run(self.slice());
        self.put_back(Arrival::SliceEnd);
        task
    }

    /// Turns until `clock`.
    pub fn turns_until(&mut self, clock: u64) {
        while self.clock < clock {
            self.turn();
        }
    }

    pub fn member(&self, task: usize) -> Option<Member> {
        self.policy.queue.member(self.tasks[task].key)
    }

    /// w · (V − v) · W for a task that competes: what it is owed, with the denominator W.
    pub fn owed(&self, task: usize) -> Option<i128> {
        let member = self.member(task)?;
        let (v, total) = self.policy.clock.exact();
        Some(i128::from(member.weight) * (v - i128::from(member.vruntime.0) * total))
    }

    /// Moves a queued task to another virtual runtime, with its request.
    pub fn shift(&mut self, task: usize, vruntime: i64) {
        let (key, old) = (self.tasks[task].key, self.member(task).expect("it competes"));
        assert!(self.policy.queue.take(key));
        let length = old.vdeadline.since(old.vruntime);
        let new = Member { vruntime: Instant(vruntime), vdeadline: Instant(vruntime + length), ..old };
        self.policy.clock.leave(old.vruntime, old.weight);
        self.policy.clock.join(new.vruntime, new.weight);
        self.policy.queue.set(key, new);
        self.policy.queue.insert(key, &self.policy.clock);
    }
}
