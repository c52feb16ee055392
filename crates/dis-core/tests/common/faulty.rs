//! Policies that misbehave: a round robin whose answers somebody changes.

use std::cell::Cell;

use dis_core::api::{Duration, Timestamp};
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};

use super::rng::Rng;

/// How a policy misbehaves. What is not changed is right.
pub trait Fault: Send {
    /// Whether a task that becomes ready is queued, or forgotten.
    fn keeps(&mut self, _now: Timestamp) -> bool {
        true
    }
    /// Whom it selects instead of `right`.
    fn selects(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        right
    }
    /// Whom it would select.
    fn peeks(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        right
    }
    /// Whether it says that a task was there which it takes out.
    fn admits_to(&mut self, removed: bool, _now: Timestamp) -> bool {
        removed
    }
    /// Whether `ready` takes the CPU from `running`.
    fn preempts(&self, _ready: &Entity, _running: &Entity) -> bool {
        false
    }
}

/// A round robin with a fault.
pub struct Faulty<F> {
    inner: RoundRobinPolicy,
    fault: F,
}

impl<F> Faulty<F> {
    pub fn new(fault: F) -> Self {
        Faulty { inner: RoundRobinPolicy::default(), fault }
    }
}

impl<F: Fault> SchedulingPolicy for Faulty<F> {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if self.fault.keeps(now) {
            self.inner.on_ready(task, why, now);
        }
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.fault.selects(self.inner.select(now), now)
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.fault.peeks(self.inner.peek(now), now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.inner.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.fault.admits_to(self.inner.remove(task, now), now)
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
        self.fault.preempts(ready, running)
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

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(1) };
}

/// Once in a while it forgets a task, names none, a stranger, or one that it has served already. When follows from its number, the
/// time, and how often it has been asked at that time, so that it does about the same in a part of what happened.
pub struct Erratic {
    number: u64,
    asked: (Timestamp, u64),
    served: TaskKey,
}

impl Erratic {
    /// Later policies misbehave in this way.
    pub fn seed(seed: u64) {
        SEED.set(seed);
    }

    pub fn boxed() -> Box<dyn SchedulingPolicy> {
        let number = SEED.replace(SEED.get() + 1);
        Box::new(Faulty::new(Erratic { number, asked: (Timestamp::ZERO, 0), served: TaskKey(0) }))
    }

    fn rng(&mut self, now: Timestamp) -> Rng {
        let (then, times) = self.asked;
        self.asked = (now, if then == now { times + 1 } else { 0 });
        Rng::new((self.number << 48) ^ (self.asked.1 << 40) ^ now.as_nanos())
    }

    fn stranger(rng: &mut Rng) -> TaskKey {
        TaskKey(rng.below(40) as u32)
    }
}

impl Fault for Erratic {
    fn keeps(&mut self, now: Timestamp) -> bool {
        !self.rng(now).chance(5)
    }
    fn selects(&mut self, right: Option<TaskKey>, now: Timestamp) -> Option<TaskKey> {
        let before = self.served;
        self.served = right.unwrap_or(before);
        let mut rng = self.rng(now);
        match rng.below(400) {
            397 => None,
            398 => Some(Self::stranger(&mut rng)),
            399 => Some(before),
            _ => right,
        }
    }
    fn peeks(&mut self, right: Option<TaskKey>, now: Timestamp) -> Option<TaskKey> {
        let mut rng = self.rng(now);
        if rng.below(1000) == 500 { Some(Self::stranger(&mut rng)) } else { right }
    }
    fn admits_to(&mut self, removed: bool, now: Timestamp) -> bool {
        removed && self.rng(now).below(1000) < 900
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        ready.id > running.id
    }
}
