//! A policy that misbehaves at random.

use std::cell::Cell;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};

use super::rng::Rng;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(1) };
}

/// A round robin that forgets a task, names none, a stranger, or one that it has served already, once in a while.
pub struct Faulty {
    inner: RoundRobinPolicy,
    rng: Rng,
    served: TaskKey,
}

impl Faulty {
    /// Later policies misbehave in this way.
    pub fn seed(seed: u64) {
        SEED.set(seed);
    }

    pub fn boxed() -> Box<dyn SchedulingPolicy> {
        let seed = SEED.replace(SEED.get() + 1);
        Box::new(Faulty { inner: RoundRobinPolicy::default(), rng: Rng::new(seed), served: TaskKey(0) })
    }
}

impl SchedulingPolicy for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if !self.rng.chance(5) {
            self.inner.on_ready(task, why, now);
        }
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        let chosen = self.inner.select(now);
        let before = self.served;
        self.served = chosen.unwrap_or(before);
        match self.rng.below(400) {
            0 => None,
            1 => Some(TaskKey(self.rng.below(40) as u32)),
            2 => Some(before),
            _ => chosen,
        }
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        if self.rng.chance(5) { Some(TaskKey(self.rng.below(40) as u32)) } else { self.inner.peek(now) }
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.inner.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.inner.remove(task, now) && !self.rng.chance(100)
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.inner.update(task, priority, deadline, now);
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.inner.on_tick(task, ran, now);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.inner.time_slice(task)
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        ready.id > running.id
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.inner.visit(visit);
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.inner.reserve(keys);
    }
}
