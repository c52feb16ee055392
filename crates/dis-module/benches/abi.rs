//! What the ABI costs: the same policy (earliest deadline first) linked in, and loaded from a file.
//!
//! `cargo bench -p dis-module --bench abi`; with `--features wasm` also in WebAssembly. One decision: the running task is charged, goes back into the queue and the next one is
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

/// The same policy, each time from elsewhere.
fn policies() -> Vec<(&'static str, Box<dyn SchedulerModule>)> {
    let native = dis_module::load(common::library("deadline")).expect("the example");
    let mut modules: Vec<(&str, Box<dyn SchedulerModule>)> =
        vec![("linked in", Box::new(EdfScheduler)), ("from file", Box::new(native))];
    #[cfg(feature = "wasm")]
    modules.push(("WebAssembly", Box::new(dis_module::load_wasm(common::wasm("deadline")).expect("the example"))));
    modules.iter_mut().for_each(|(_, module)| module.init().expect("nothing to set up"));
    modules
}

fn main() {
    let modules = policies();
    println!("ns a decision, the tenth of {BATCHES} batches that was disturbed least, in turns\n");
    print!("{:<8}", "ready");
    modules.iter().for_each(|(name, _)| print!("{name:>12}"));
    println!();
    for count in [10, 100, 1_000, 10_000] {
        let mut benches: Vec<Bench> = modules.iter().map(|(_, module)| Bench::new(module.policy(), count)).collect();
        let mut times = vec![Vec::new(); benches.len()];
        for _ in 0..BATCHES {
            benches.iter_mut().zip(&mut times).for_each(|(bench, times)| times.push(bench.batch()));
        }
        print!("{count:<8}");
        for mut times in times {
            times.sort_by(f64::total_cmp);
            print!("{:>12.1}", times[BATCHES / 10]);
        }
        println!();
    }
}
