//! Random events, and a model that knows who is queued.

use dis_core::api::Duration;
use dis_core::modules::SchedulerModule;
use dis_core::policy::{Arrival, TaskKey};

use super::tasks::{Bench, Place, Random, Verdict};

/// Sizes of the task sets, and events on each.
const SETS: [(u32, u32); 4] = [(1, 200), (3, 2_000), (40, 20_000), (1_000, 20_000)];

/// A random event. Answers what the policy chose, if it was asked.
fn event(bench: &mut Bench, random: &mut Random) -> Verdict<Option<TaskKey>> {
    let count = bench.tasks.len() as u64 - 1;
    let key = TaskKey(1 + random.below(count) as u32);
    let place = bench.tasks[key.index()].1;
    bench.now += Duration::from_nanos(random.below(1_000));
    match random.below(16) {
        0..=5 if place == Place::Away => {
            let why = [Arrival::Spawn, Arrival::Wake, Arrival::Migrate][random.below(3) as usize];
            bench.tasks[key.index()].0.deadline = bench.deadline(random);
            bench.ready(key, why).map(|()| None)
        }
        6..=8 => match bench.running {
            None => bench.select(),
            Some(_) => {
                let why = [Arrival::Yield, Arrival::Preempt, Arrival::SliceEnd][random.below(3) as usize];
                bench.exchange(why)
            }
        },
        9 => {
            let Some(key) = bench.running else { return Ok(None) };
            bench.ready(key, Arrival::Preempt).map(|()| None)
        }
        10 | 11 => bench.block().map(|()| None),
        12 if place == Place::Queued => bench.remove(key).map(|()| None),
        13 if place != Place::Away => bench.update(key, random).map(|()| None),
        14 => {
            let ran = Duration::from_nanos(random.below(20_000_000));
            bench.tick(ran).map(|()| None)
        }
        _ => {
            if let Some(running) = bench.running.filter(|_| place == Place::Queued) {
                let (ready, running) = (bench.tasks[key.index()].0, bench.tasks[running.index()].0);
                bench.policy.preempts(&ready, &running);
            }
            let clock = bench.policy.progress();
            if clock.is_some_and(|clock| clock.weight < 0) {
                return Err("progress answers a weight below 0".into());
            }
            Ok(None)
        }
    }
}

pub fn tasks(module: &dyn SchedulerModule) -> Verdict<String> {
    let mut calls = 0;
    for (count, events) in SETS {
        let mut random = Random::new(u64::from(count));
        let mut bench = Bench::new(module.policy(), count, &mut random);
        for number in 0..events {
            event(&mut bench, &mut random).map_err(|wrong| format!("{wrong} ({count} tasks, event {number})"))?;
        }
        bench.drain().map_err(|wrong| format!("{wrong} ({count} tasks, at the end)"))?;
        calls += bench.calls;
    }
    Ok(format!("{calls} calls of random events with up to 1,000 tasks: none lost, none twice"))
}

pub fn repeatable(module: &dyn SchedulerModule) -> Verdict<String> {
    let trace = || {
        let mut random = Random::new(7);
        let mut bench = Bench::new(module.policy(), 40, &mut random);
        (0..5_000).filter_map(|_| event(&mut bench, &mut random).transpose()).collect::<Verdict<Vec<_>>>()
    };
    let (first, second) = (trace()?, trace()?);
    match first.iter().zip(&second).position(|(a, b)| a != b) {
        Some(place) => Err(format!("choice {place} differs between two runs of the same events")),
        None => Ok(format!("{} choices, the same twice", first.len())),
    }
}

pub fn removal(module: &dyn SchedulerModule) -> Verdict<String> {
    let mut random = Random::new(3);
    let mut bench = Bench::new(module.policy(), 300, &mut random);
    let mut removed = 0;
    for round in 0..10 {
        for key in (1..=300).map(TaskKey) {
            bench.ready(key, Arrival::Wake)?;
        }
        bench.select()?;
        let mut left: Vec<u32> = (1..=300).collect();
        while left.len() > 30 * round {
            let key = TaskKey(left.swap_remove(random.below(left.len() as u64) as usize));
            if bench.tasks[key.index()].1 == Place::Queued {
                bench.remove(key)?;
                // Twice is once too often.
                bench.remove(key)?;
                removed += 1;
            }
        }
        bench.drain()?;
    }
    Ok(format!("{removed} tasks taken out from anywhere"))
}

pub fn update(module: &dyn SchedulerModule) -> Verdict<String> {
    let mut random = Random::new(4);
    let mut bench = Bench::new(module.policy(), 300, &mut random);
    for _ in 0..5 {
        for key in (1..=300).map(TaskKey) {
            bench.ready(key, Arrival::Wake)?;
        }
        for _ in 0..1_000 {
            if bench.running.is_none() || random.below(4) == 0 {
                bench.exchange(Arrival::SliceEnd)?;
            }
            let key = TaskKey(1 + random.below(300) as u32);
            bench.update(key, &mut random)?;
        }
        bench.drain()?;
    }
    Ok("5,000 new priorities and deadlines, of queued and running tasks".into())
}

pub fn visit(module: &dyn SchedulerModule) -> Verdict<String> {
    let mut random = Random::new(5);
    let mut bench = Bench::new(module.policy(), 200, &mut random);
    for key in (1..=200).map(TaskKey) {
        bench.ready(key, Arrival::Wake)?;
    }
    while let Some(key) = bench.select()? {
        let mut seen = Vec::new();
        bench.policy.visit(&mut |key| {
            seen.push(key);
            false
        });
        let queued = |key: &TaskKey| bench.tasks.get(key.index()).is_some_and(|(_, place)| *place == Place::Queued);
        if let Some(stranger) = seen.iter().find(|key| !queued(key)) {
            return Err(format!("visit shows task {}, which is not queued", stranger.0));
        }
        seen.sort();
        seen.dedup();
        if seen.len() < bench.queued.min(16) {
            return Err(format!(
                "visit shows {} of {} queued tasks; it must show 16, or all",
                seen.len(),
                bench.queued
            ));
        }
        let mut shown = 0;
        bench.policy.visit(&mut |_| {
            shown += 1;
            true
        });
        if shown > 1 {
            return Err("visit goes on after it was asked to stop".into());
        }
        if random.below(2) == 0 {
            bench.block()?;
        } else {
            bench.tick(Duration::from_millis(1))?;
            bench.block()?;
        }
        let _ = key;
    }
    Ok("200 queues shown".into())
}
