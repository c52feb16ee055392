//! What the classes promise, asked of the modules that say they keep it.

use dis_core::api::Duration;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerModule;
use dis_core::policy::{Arrival, TaskKey};

use super::tasks::{Bench, Place, Random, Verdict};

pub fn promised(module: &dyn SchedulerModule) -> Verdict<String> {
    let classes = module.supported_intents();
    if classes.is_empty() {
        return Ok("it promises nothing".into());
    }
    for &class in classes {
        let result = match class {
            QueueType::System => sorted(module, |bench, key| u64::from(bench.tasks[key.index()].0.priority)),
            QueueType::Realtime | QueueType::Interactive => {
                sorted(module, |bench, key| bench.tasks[key.index()].0.deadline.as_nanos())
            }
            QueueType::Batch | QueueType::Background => turns(module),
        };
        result.map_err(|wrong| format!("{wrong}; it says that it keeps the promises of {class}"))?;
    }
    let names: Vec<&str> = classes.iter().map(|class| class.name()).collect();
    Ok(format!("as promised to {}", names.join(", ")))
}

/// Nobody is chosen while one with a lower rank waits, through arrivals, removals and changes.
fn sorted(module: &dyn SchedulerModule, rank: impl Fn(&Bench, TaskKey) -> u64) -> Verdict {
    let mut random = Random::new(11);
    let mut bench = Bench::new(module.policy(), 60, &mut random);
    for _ in 0..3_000 {
        bench.now += Duration::from_micros(10);
        let key = TaskKey(1 + random.below(60) as u32);
        match bench.tasks[key.index()].1 {
            Place::Away => {
                bench.tasks[key.index()].0.deadline = bench.deadline(&mut random);
                bench.ready(key, Arrival::Wake)?;
            }
            Place::Queued if random.below(3) == 0 => bench.remove(key)?,
            Place::Queued => bench.update(key, &mut random)?,
            Place::Running => {}
        }
        if random.below(2) == 0 {
            bench.block()?;
            let Some(chosen) = bench.select()? else { continue };
            let mine = rank(&bench, chosen);
            let waits = |key: &u32| bench.tasks[*key as usize].1 == Place::Queued;
            let before = (1..=60).filter(waits).find(|&key| rank(&bench, TaskKey(key)) < mine);
            if let Some(before) = before {
                return Err(format!("task {} is chosen while task {before} should go first", chosen.0));
            }
        }
    }
    Ok(())
}

/// Everybody gets a turn: among 8 tasks of equal weight that never block, none waits for 200 turns of the others.
fn turns(module: &dyn SchedulerModule) -> Verdict {
    let mut random = Random::new(12);
    let mut bench = Bench::new(module.policy(), 8, &mut random);
    for key in (1..=8).map(TaskKey) {
        bench.tasks[key.index()].0.priority = 100;
        bench.tasks[key.index()].0.slice = Duration::from_millis(10);
        bench.ready(key, Arrival::Spawn)?;
    }
    let mut last = [0_u32; 9];
    for turn in 1..=5_000 {
        let Some(key) = bench.exchange(Arrival::SliceEnd)? else { return Err("nobody is chosen".into()) };
        last[key.index()] = turn;
        let slice = bench.policy.time_slice(&bench.tasks[key.index()].0);
        bench.tick(slice)?;
        if let Some(waits) = (1..=8).find(|&task| turn - last[task] > 200) {
            return Err(format!("task {waits} of 8 equal ones has had no turn of 200"));
        }
    }
    Ok(())
}
