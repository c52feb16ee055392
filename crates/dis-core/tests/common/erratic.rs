//! A round robin that misbehaves in one way or another.

use std::cell::Cell;

use dis_core::api::Timestamp;
use dis_core::policy::{Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};

use super::rng::Rng;
use super::wrapped::{Around, Wrapped};

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
        let erratic = Erratic { number, asked: (Timestamp::ZERO, 0), served: TaskKey(0) };
        Wrapped::boxed(RoundRobinPolicy::default(), erratic)
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

impl Around for Erratic {
    fn keeps(&mut self, _task: &Entity, now: Timestamp) -> bool {
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
    fn admits_to(&mut self, _task: &Entity, removed: bool, now: Timestamp) -> bool {
        removed && self.rng(now).below(1000) < 900
    }
    fn preempts(&self, _right: bool, ready: &Entity, running: &Entity) -> bool {
        ready.id > running.id
    }
}
