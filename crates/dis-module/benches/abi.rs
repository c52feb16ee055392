//! What the ABI costs: the same policy (earliest deadline first) linked in, and loaded from a file.
//!
//! `cargo bench -p dis-module --bench abi`. One decision: the running task is charged, goes back into the queue and the next one is
//! selected (`on_tick`, then `exchange`), with its number of queued tasks looked at before, as the core does.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::modules::{EdfScheduler, SchedulerModule};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey, VirtualTime};

const BATCHES: usize = 2_000;
const STEPS: u64 = 1_000;

struct Bench {
    policy: Box<dyn SchedulingPolicy>,
    tasks: Vec<Entity>,
    running: TaskKey,
    now: Timestamp,
}

impl Bench {
    fn new(mut policy: Box<dyn SchedulingPolicy>, count: u32) -> Bench {
        let entity = |key| Entity {
            key: TaskKey(key),
            group: 0,
            priority: 100,
            id: TaskId::from_parts(key, 1),
            deadline: Timestamp::from_nanos(u64::from(key)),
            slice: Duration::from_millis(10),
            virt: VirtualTime::default(),
        };
        let mut tasks: Vec<Entity> = (0..count).map(entity).collect();
        let now = Timestamp::from_nanos(u64::from(count));
        policy.reserve(tasks.len());
        tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, now));
        let running = policy.select(now).expect("all are ready");
        Bench { policy, tasks, running, now }
    }

    /// ns for one decision.
    fn batch(&mut self) -> f64 {
        let (start, queued) = (Instant::now(), self.tasks.len() - 1);
        for _ in 0..STEPS {
            let ran = Duration::from_nanos(500);
            self.now += ran;
            let task = &mut self.tasks[self.running.index()];
            self.policy.on_tick(task, ran, self.now);
            task.deadline = self.now;
            assert_eq!(self.policy.len(), queued);
            self.running = self.policy.exchange(task, Arrival::SliceEnd, self.now).expect("one is ready");
        }
        start.elapsed().as_nanos() as f64 / STEPS as f64
    }
}

fn main() {
    let module = dis_module::load(common::library("deadline")).expect("the example");
    println!("ns a decision, the tenth of {BATCHES} batches that was disturbed least, in turns\n");
    println!("{:<8}{:>11}{:>11}{:>9}", "ready", "linked in", "from file", "more");
    for count in [10, 100, 1_000, 10_000] {
        let mut benches = [Bench::new(EdfScheduler.policy(), count), Bench::new(module.policy(), count)];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..BATCHES {
            benches.iter_mut().zip(&mut times).for_each(|(bench, times)| times.push(bench.batch()));
        }
        let [linked, loaded] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[BATCHES / 10]
        });
        println!("{count:<8}{linked:>11.1}{loaded:>11.1}{:>9.1}", loaded - linked);
    }
}
