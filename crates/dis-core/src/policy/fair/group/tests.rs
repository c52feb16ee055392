use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::weights::fraction;
use super::*;
use crate::policy::testing::entity;
use crate::policy::{Arrival, SchedulingPolicy};

const NOW: Timestamp = Timestamp::ZERO;

/// A policy with groups 1, 2 within 1, and 3, of these weights; their keys are 101, 102 and 103.
fn policy(weights: [u16; 3]) -> (Box<dyn SchedulingPolicy>, [Arc<GroupShare>; 3]) {
    let mut policy: Box<dyn SchedulingPolicy> = Box::new(FairPolicy::with_intent_slices(Duration::from_nanos(1)));
    let shares = [(1, 0), (2, 1), (3, 0)];
    let shares = [0, 1, 2].map(|n| Arc::new(GroupShare::new(shares[n].0, shares[n].1, 156, weights[n])));
    for share in &shares {
        let mut room = GroupRoom::new(4, 200);
        if let Some(other) = policy.add_group(TaskKey(100 + u32::from(share.slot)), share, &mut room) {
            policy = other;
        }
    }
    (policy, shares)
}

fn task(key: u32, group: u16) -> Entity {
    Entity { priority: 100, group, slice: Duration::from_micros(10), ..entity(key) }
}

/// Runs tasks that never block to the end of their slices. What each got, in slices of 10 µs.
fn run(policy: &mut dyn SchedulingPolicy, tasks: &mut [Entity], slices: u64) -> Vec<u64> {
    tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, NOW));
    let mut key = policy.select(NOW).expect("somebody");
    go_on(policy, tasks, &mut key, slices)
}

/// The same from where `key` runs on.
fn go_on(policy: &mut dyn SchedulingPolicy, tasks: &mut [Entity], key: &mut TaskKey, slices: u64) -> Vec<u64> {
    let mut got = Vec::from_iter(tasks.iter().map(|_| 0));
    let mut left = slices * 10_000;
    while left > 0 {
        let task = tasks.iter_mut().find(|task| task.key == *key).expect("one of them");
        let ran = policy.time_slice(task).as_nanos().min(left);
        policy.on_tick(task, Duration::from_nanos(ran), NOW);
        left -= ran;
        got[task.key.index()] += ran;
        *key = policy.exchange(task, Arrival::SliceEnd, NOW).expect("somebody");
    }
    got.iter().map(|got| (got + 5_000) / 10_000).collect()
}

#[test]
fn groups_share_as_one_at_every_level() {
    let (mut policy, _) = policy([100, 100, 200]);
    // One task beside the groups; two and a group of three in the first; four in the third.
    let mut tasks: Vec<_> =
        [0, 1, 1, 2, 2, 2, 3, 3, 3, 3].iter().zip(0..).map(|(&group, key)| task(key, group)).collect();
    let got = run(&mut *policy, &mut tasks, 4 * 36 * 10);
    // A quarter; a quarter in three, of which one third in three; a half in four.
    for (got, wanted) in got.iter().zip([360, 120, 120, 40, 40, 40, 180, 180, 180, 180]) {
        assert!(got.abs_diff(wanted) <= 1, "{got} instead of {wanted}");
    }
}

#[test]
fn a_share_may_be_any_fraction() {
    let (mut policy, _) = policy([1, 100, 7500]);
    let mut tasks = [task(0, 0), task(1, 1), task(2, 3)];
    let got = run(&mut *policy, &mut tasks, 7601 * 4);
    assert!(got[0].abs_diff(400) <= 1 && got[1].abs_diff(4) <= 1 && got[2].abs_diff(30_000) <= 1, "{got:?}");
}

#[test]
fn what_competes_elsewhere_takes_its_part() {
    let (mut policy, shares) = policy([100, 100, 100]);
    // Nine times as much of the first group, on other CPUs: a tenth of its weight is left for here.
    shares[0].publish(0, 9 * fraction(100));
    let mut tasks = [task(0, 0), task(1, 1)];
    let got = run(&mut *policy, &mut tasks, 1100);
    assert!(got[0].abs_diff(1000) <= 2 && got[1].abs_diff(100) <= 2, "{got:?}");
}

/// Other CPUs get tasks of the group, or of the one above it, while those here only run on.
#[test]
fn what_begins_to_compete_elsewhere_counts_from_then_on() {
    for (level, wanted) in [(0, 100), (1, 100)] {
        let (mut policy, shares) = policy([100, 100, 100]);
        let mut tasks = [task(0, 0), task(1, 2)];
        tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, NOW));
        let mut key = policy.select(NOW).expect("somebody");
        let before = go_on(&mut *policy, &mut tasks, &mut key, 1100);
        assert!(before[0].abs_diff(550) <= 2, "{before:?}");
        shares[level].publish(0, 9 * fraction(100));
        if level == 1 {
            // The inner group has a tenth of its weight here, and what is elsewhere weighs nine times that in the outer one.
            shares[0].publish(0, 9 * fraction(100) / 10);
        }
        let after = go_on(&mut *policy, &mut tasks, &mut key, 1100);
        assert!(after[1].abs_diff(wanted) <= 3, "{level}: {after:?}");
    }
}

/// Random calls: nobody is lost, nobody is queued twice, whoever is shown is queued, and what competes adds up.
#[test]
fn random_calls_lose_nobody() {
    for seed in 0..40u64 {
        let mut state = seed;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let (mut policy, shares) = policy([100, 300, 50]);
        let mut tasks: Vec<Entity> = (0..24).map(|key| task(key, random(4) as u16)).collect();
        let (mut queued, mut running) = (BTreeSet::new(), None::<usize>);
        for _ in 0..3000 {
            let n = random(24) as usize;
            let away = !queued.contains(&n) && running != Some(n);
            match random(7) {
                0 | 1 if away => {
                    let why = [Arrival::Wake, Arrival::Spawn, Arrival::Migrate][random(3) as usize];
                    tasks[n].virt.lag = random(1 << 40) as i64 - (1 << 39);
                    policy.on_ready(&mut tasks[n], why, NOW);
                    queued.insert(n);
                }
                2 if queued.contains(&n) => {
                    assert!(policy.remove(&mut tasks[n], NOW));
                    queued.remove(&n);
                }
                3 if !away => policy.update(&mut tasks[n], random(256) as u8, Timestamp::MAX, NOW),
                _ => {
                    if let Some(n) = running.take() {
                        policy.on_tick(&mut tasks[n], Duration::from_nanos(random(30_000)), NOW);
                        assert!(policy.time_slice(&tasks[n]) > Duration::ZERO);
                        if random(3) == 0 {
                            policy.on_block(&mut tasks[n], NOW);
                        } else {
                            let why = [Arrival::Yield, Arrival::Preempt, Arrival::SliceEnd][random(3) as usize];
                            policy.on_ready(&mut tasks[n], why, NOW);
                            queued.insert(n);
                        }
                    }
                    let first = policy.peek(NOW);
                    assert_eq!(policy.select(NOW), first);
                    running = first.map(TaskKey::index);
                    assert_eq!(running.is_some_and(|n| queued.remove(&n)), running.is_some());
                }
            }
            assert_eq!(policy.len(), queued.len());
            let mut shown = BTreeSet::new();
            policy.visit(&mut |key| !shown.insert(key.index()));
            assert_eq!(shown, queued);
            for share in &shares {
                let inside = |n: &usize| tasks[*n].group == share.slot || (share.slot == 1 && tasks[*n].group == 2);
                let competes = queued.iter().chain(&running).any(inside);
                let none = share.all() == 0;
                assert!(competes || none, "group {} seems to compete", share.slot);
            }
        }
    }
}
