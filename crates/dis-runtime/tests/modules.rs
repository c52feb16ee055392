//! The policies of a runtime are replaced while its tasks wait and run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{Duration, SchedError, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::{Module, SchedulerModule, Version};
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};
use dis_runtime::{Intent, Runtime, yield_now};

/// Turns of 1 ms; or names nobody.
struct Turns(&'static str, bool);

impl Module for Turns {
    fn name(&self) -> &'static str {
        self.0
    }
    fn version(&self) -> Version {
        Version::new(0, 3, 0)
    }
}

impl SchedulerModule for Turns {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        Box::new(Silent(RoundRobinPolicy::new(Duration::from_millis(1)), self.1))
    }
    fn supported_intents(&self) -> &[QueueType] {
        &[]
    }
}

struct Silent(RoundRobinPolicy, bool);

impl SchedulingPolicy for Silent {
    fn name(&self) -> &'static str {
        "turns"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        // What is forgotten is missed at the end of the handover.
        if !self.1 {
            self.0.on_ready(task, why, now);
        }
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.0.select(now)
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.0.peek(now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.0.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.0.remove(task, now)
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.0.update(task, priority, deadline, now);
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.0.on_tick(task, ran, now);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.0.time_slice(task)
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.0.preempts(ready, running)
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.0.visit(visit);
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.0.reserve(keys);
    }
}

#[test]
fn policies_are_replaced_under_load() {
    let rt = Runtime::builder().build().unwrap();
    rt.modules().load(Box::new(Turns("turns", false))).unwrap();
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            let task = move || {
                while !stop.load(Ordering::Relaxed) {
                    rounds.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            };
            rt.spawn_fn(Intent::batch(), task).unwrap()
        })
        .collect();
    let mut moved = 0;
    for name in ["turns", "edf", "round-robin", "priority", "turns", "fair"].into_iter().cycle().take(60) {
        let summary = rt.modules().activate(QueueType::Batch, name).unwrap();
        assert!(summary.reverted.is_empty(), "{name}");
        moved += summary.moved;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(moved > 0 && rounds.load(Ordering::Relaxed) > 0);
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(rt.stats().policy_faults, 0);
}

#[test]
fn what_there_is_can_be_listed_and_taken_out() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let modules = rt.modules();
    modules.load(Box::new(Turns("turns", false))).unwrap();
    assert_eq!(modules.load(Box::new(Turns("turns", false))), Err(SchedError::TaskExists));
    assert_eq!(modules.activate(QueueType::Batch, "nothing").unwrap_err(), SchedError::TaskNotFound);
    modules.activate(QueueType::Batch, "turns").unwrap();
    let list = modules.list();
    assert_eq!(
        list.iter().map(|module| module.name).collect::<Vec<_>>(),
        ["edf", "fair", "priority", "round-robin", "turns"]
    );
    assert_eq!((list[4].version, &*list[4].active), (Version::new(0, 3, 0), &[QueueType::Batch][..]));
    assert_eq!(modules.unload("turns"), Err(SchedError::InvalidState));
    modules.activate(QueueType::Batch, "fair").unwrap();
    assert_eq!(modules.unload("turns"), Ok(()));
    assert_eq!(rt.spawn_fn(Intent::batch(), || 6 * 7).unwrap().join().unwrap(), 42);
}

#[test]
fn a_policy_that_answers_wrongly_is_taken_back() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let task = rt.spawn_fn(Intent::batch(), move || while !seen.load(Ordering::Relaxed) {}).unwrap();
    while rt.stats().context_switches == 0 {
        std::thread::yield_now();
    }
    rt.modules().load(Box::new(Turns("forgets", true))).unwrap();
    assert_eq!(rt.modules().activate(QueueType::Batch, "forgets").unwrap_err(), SchedError::InvalidState);
    let active = rt.modules().list().into_iter().find(|module| module.name == "fair").unwrap().active;
    assert!(active.contains(&QueueType::Batch));
    stop.store(true, Ordering::Relaxed);
    task.join().unwrap();
    assert!(rt.stats().policy_faults >= 1);
}
