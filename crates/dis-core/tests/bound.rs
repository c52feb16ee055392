//! A task that is bound to one CPU can go nowhere: whoever looks for something to take does not look at it.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::machine::{Machine, Op::*};
use common::modules::with_made;
use common::{ms, us};
use dis_core::api::{CpuMask, Duration, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};
use dis_core::scheduler::Config;

/// A round robin that counts how many queued tasks it has shown.
struct Counting {
    inner: RoundRobinPolicy,
    shown: Arc<AtomicU64>,
}

impl SchedulingPolicy for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        self.inner.on_ready(task, why, now);
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.inner.select(now)
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.inner.peek(now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.inner.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.inner.remove(task, now)
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
        self.inner.preempts(ready, running)
    }
    fn len(&self) -> usize {
        self.inner.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.inner.reserve(keys);
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.inner.visit(&mut |key| {
            self.shown.fetch_add(1, Ordering::Relaxed);
            visit(key)
        });
    }
}

/// How often a queued task is looked at while many that `may_run` there yield to each other on CPU 0 and nothing is to do on CPU 1.
fn looked_at(bound: bool) -> (Machine, u64) {
    let shown = Arc::new(AtomicU64::new(0));
    let count = shown.clone();
    let make = move || Box::new(Counting { inner: RoundRobinPolicy::default(), shown: count.clone() }) as Box<_>;
    let mut m = Machine::with_modules(Config::new(2), &with_made(&[QueueType::Batch], make));
    let intent = if bound { Intent::batch().with_affinity(CpuMask::single(0)) } else { Intent::batch() };
    for _ in 0..50 {
        m.spawn(intent.clone(), &[Run(us(100)), Yield]);
    }
    // It sleeps and wakes: CPU 1 goes idle again and again.
    m.spawn(Intent::batch().with_affinity(CpuMask::single(1)), &[Run(us(50)), Sleep(us(500))]);
    m.run_until(ms(50));
    let shown = shown.load(Ordering::Relaxed);
    (m, shown)
}

#[test]
fn nobody_looks_at_tasks_that_are_bound_elsewhere() {
    let (_, shown) = looked_at(false);
    assert!(shown > 0, "where they may be taken they are looked at: {shown}");
    let (m, shown) = looked_at(true);
    assert_eq!(shown, 0);
    assert!((0..50).all(|task| m.actors[task].runs.iter().all(|run| run.2 == 0)));
}

#[test]
fn a_task_that_is_bound_no_longer_is_taken_at_once() {
    let mut m = Machine::new(2);
    let there = Intent::batch().with_affinity(CpuMask::single(0));
    let tasks = [0; 2].map(|_| m.spawn(there.clone(), &[]));
    m.run_until(ms(5));
    for task in tasks {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    m.run_until(ms(10));
    let had = |m: &Machine, from, to| tasks.map(|task| m.actors[task].ran_between(ms(from), ms(to)));
    m.reconcile();
    assert!(had(&m, 5, 10).iter().all(|&had| had >= ms(4)), "each has a CPU: {:?}", had(&m, 5, 10));
    // With its intent it is bound again.
    for task in tasks {
        m.call(task, |x, now, id| x.set_intent(now, id, &there)).unwrap();
    }
    m.run_until(ms(50));
    m.reconcile();
    assert_eq!(had(&m, 11, 50).iter().sum::<u64>(), ms(39), "they share one");
}
