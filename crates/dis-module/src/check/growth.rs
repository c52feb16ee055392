//! How the time of a call grows with the number of tasks.

use std::time::Instant;

use dis_core::api::Duration;
use dis_core::modules::SchedulerModule;
use dis_core::policy::{Arrival, TaskKey};

use super::tasks::{Bench, Random, Verdict};

/// Numbers of ready tasks that are compared.
const FEW: u32 = 500;
const MANY: u32 = 16 * FEW;

/// With [`MANY`] tasks a call may take so many times what it takes with [`FEW`]: logarithms are 1.4 times as large, the
/// rest is for caches. In proportion to the tasks it would be 16 times.
const MOST: f64 = 7.0;

/// The quickest of the batches counts, which nobody has disturbed.
const BATCHES: u32 = 60;
const STEPS: u32 = 200;

pub fn measure(module: &dyn SchedulerModule) -> Verdict<String> {
    let mut random = Random::new(21);
    let mut few = filled(module, FEW, &mut random)?;
    let mut many = filled(module, MANY, &mut random)?;
    let (mut quick, mut slow) = (f64::MAX, f64::MAX);
    for _ in 0..BATCHES {
        quick = quick.min(batch(&mut few, &mut random)?);
        slow = slow.min(batch(&mut many, &mut random)?);
    }
    let ratio = slow / quick;
    match ratio <= MOST {
        true => Ok(format!("{quick:.0} ns a turn with {FEW} tasks, {slow:.0} ns with {MANY}: {ratio:.1} times")),
        false => Err(format!(
            "a turn takes {quick:.0} ns with {FEW} tasks and {slow:.0} ns with {MANY}: {ratio:.1} times, and {MOST} are \
             the most for O(log n)"
        )),
    }
}

fn filled(module: &dyn SchedulerModule, count: u32, random: &mut Random) -> Verdict<Bench> {
    let mut bench = Bench::new(module.policy(), count, random);
    for key in (1..=count).map(TaskKey) {
        bench.ready(key, Arrival::Spawn)?;
    }
    Ok(bench)
}

/// The slice of the running task ends, another is updated, another is taken out and comes back; ns for all.
fn batch(bench: &mut Bench, random: &mut Random) -> Verdict<f64> {
    let count = bench.tasks.len() as u64 - 1;
    let start = Instant::now();
    for _ in 0..STEPS {
        bench.exchange(Arrival::SliceEnd)?;
        bench.tick(Duration::from_micros(50))?;
        let key = TaskKey(1 + random.below(count) as u32);
        if bench.running != Some(key) {
            bench.update(key, random)?;
            bench.remove(key)?;
            bench.ready(key, Arrival::Wake)?;
        }
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(STEPS))
}
