//! Loaded and built-in policies replace each other while tasks wait and run.

mod common;

use common::library;
use dis_core::api::{BlockReason, Duration, TaskId, TaskSpec, TaskState, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use dis_module::load;
use dis_sim::Lock;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 32) * n) >> 32
    }
}

/// Random swaps among the four built-in modules, two loaded ones and, for `hostile`, some that misbehave. Answers how many policies
/// were found out.
fn swaps(hostile: &[&str], events: u64) -> u64 {
    let mut modules = SchedulerRegistry::with_builtins();
    for name in ["template", "deadline"].iter().chain(hostile) {
        modules.register(Box::new(load(library(name)).unwrap())).unwrap();
    }
    let names = modules.list();
    let x = Executor::<u32, Lock>::new(Config::new(2)).unwrap();
    let mut random = Random(5);
    let mut now = Timestamp::from_nanos(1);
    let mut tasks: Vec<TaskId> = Vec::new();
    for n in 0..300 {
        tasks.push(x.spawn(now, None, TaskSpec::new("", Intent::batch(), n)).unwrap().0);
    }
    let mut handover = None;
    let (mut swapped, mut moved) = (0, 0);
    for _ in 0..events {
        now += Duration::from_nanos(random.below(300_000));
        let cpu = random.below(2) as usize;
        let task = tasks[random.below(300) as usize];
        match random.below(10) {
            0..=3 => {
                let _ = x.schedule(cpu, now, Leave::Ask);
            }
            4..=5 => {
                let _ = x.schedule(cpu, now, Leave::Yield);
            }
            6 => {
                let _ = x.schedule(cpu, now, Leave::Block(BlockReason::Event, None));
            }
            7 | 8 => {
                let _ = x.unpark(now, task);
            }
            _ => {
                let _ = x.set_priority(now, task, random.below(256) as u8);
            }
        }
        x.switched(cpu);
        if let Some(mut under_way) = handover.take() {
            if x.advance_handover(&mut under_way, now) {
                handover = Some(under_way);
            } else {
                swapped += 1;
                moved += under_way.summary().moved;
            }
        } else if random.below(20) == 0 {
            modules.set_active(QueueType::Batch, names[random.below(names.len() as u64) as usize]).unwrap();
            let most = 1 + random.below(60) as u32;
            handover = Some(x.prepare_handover(QueueType::Batch, &modules).in_steps_of(most));
        }
    }
    while handover.as_mut().is_some_and(|handover| x.advance_handover(handover, now)) {}
    assert!(swapped > events / 100 && moved > swapped, "{swapped} policies replaced, {moved} tasks went over");
    println!("{events} events, {swapped} policies replaced, {moved} tasks went over");
    // Everybody can run and end.
    let mut turns = 0;
    while !x.task_ids().is_empty() {
        for &task in &tasks {
            if x.with_task(task, |task| task.state() == TaskState::Blocked) == Ok(true) {
                let _ = x.unpark(now, task);
            }
        }
        for cpu in 0..2 {
            now += Duration::from_millis(1);
            let _ = x.schedule(cpu, now, Leave::Exit(0)).or_else(|_| x.schedule(cpu, now, Leave::Ask));
            x.switched(cpu);
        }
        turns += 1;
        assert!(turns < 10_000, "{} tasks never run again", x.task_ids().len());
    }
    x.stats().policy_faults
}

#[test]
fn loaded_and_built_in_policies_replace_each_other() {
    let events = if cfg!(debug_assertions) { 30_000 } else { 10_000_000 };
    let events = std::env::var("DIS_EVENTS").map_or(events, |text| text.parse().expect("DIS_EVENTS is a number"));
    assert_eq!(swaps(&[], events), 0);
}

#[test]
fn hostile_ones_are_found_out_and_nobody_is_lost() {
    assert!(swaps(&["hostile_panics", "hostile_foreign", "hostile_forgets", "hostile_makes_none"], 20_000) > 10);
}
