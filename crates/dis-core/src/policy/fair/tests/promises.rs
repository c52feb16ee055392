//! What the policy promises to those who rely on it.

use super::*;
use alloc::vec;

const MS: u64 = 1_000_000;

#[test]
fn shares_are_proportional_to_weights() {
    let weights = [256, 128, 37, 1, 200, 90];
    for policy in [FairPolicy::new(), exact(Duration::ZERO)] {
        let mut machine = Machine::new(policy);
        let mut slices = [3, 20, 1, 7, 11, 5].into_iter();
        weights.iter().for_each(|&weight| {
            machine.spawn(weight, slices.next().unwrap() * MS);
        });
        machine.turns_until(600_000 * MS);
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        for (weight, used) in weights.iter().zip(&machine.used) {
            let fair = machine.clock * u64::from(*weight) / total;
            assert!(used.abs_diff(fair) * 100 <= fair, "weight {weight}: {used} instead of {fair}");
        }
    }
}

#[test]
fn slices_are_those_of_the_reference() {
    let policy = FairPolicy::new();
    for (priority, nanos) in [(0, 20 * MS), (128, 10 * MS), (240, 1_250_000), (255, MS)] {
        assert_eq!(policy.time_slice(&Entity { priority, ..entity(0) }).as_nanos(), nanos);
    }
}

#[test]
fn a_newcomer_does_not_starve_the_old_nor_the_old_the_newcomer() {
    let mut machine = Machine::new(FairPolicy::new());
    let old = machine.spawn(100, 0);
    machine.turns_until(100_000 * MS);
    let (before, new) = (machine.used[old], machine.spawn(100, 0));
    machine.turns_until(100_400 * MS);
    assert!(machine.used[old] - before >= 190 * MS && machine.used[new] >= 190 * MS);
}

#[test]
fn an_endless_stream_of_newcomers_leaves_the_old_its_share() {
    let mut machine = Machine::new(FairPolicy::new());
    let old = machine.spawn(100, 0);
    machine.spawn(100, 0);
    while machine.clock < 10_000 * MS {
        // Every newcomer runs for one slice and ends; the next one is there already.
        let task = machine.select().unwrap();
        machine.run(machine.slice());
        if task == old {
            machine.put_back(Arrival::SliceEnd);
        } else {
            machine.block();
            machine.spawn(100, 0);
        }
    }
    assert!(machine.used[old] * 100 >= machine.clock * 49, "{} of {}", machine.used[old], machine.clock);
}

#[test]
fn a_sleeper_hoards_no_credit() {
    let mut machine = Machine::new(FairPolicy::new());
    let (hog, sleeper) = (machine.spawn(256, 0), machine.spawn(256, 0));
    // The sleeper is owed most of a slice when it goes to sleep.
    while machine.select() != Some(sleeper) {
        machine.run(20 * MS);
        machine.put_back(Arrival::SliceEnd);
    }
    machine.run(1);
    machine.block();
    let saved = machine.tasks[sleeper].virt.lag;
    assert!(saved > 0 && saved <= virtual_length(Duration::from_millis(20), 256));
    machine.turns_until(50_000 * MS);
    machine.ready(sleeper, Arrival::Wake);
    let (from, hogged) = (machine.clock, machine.used[hog]);
    machine.turns_until(from + 400 * MS);
    let got = machine.used[hog] - hogged;
    assert!((160 * MS..=220 * MS).contains(&got), "the hog had {got} of 400 ms");
}

#[test]
fn a_nap_does_not_wipe_out_an_overdraft() {
    let mut machine = Machine::new(FairPolicy::new());
    let (honest, napper) = (machine.spawn(256, 0), machine.spawn(256, 0));
    while machine.clock < 10_000 * MS {
        let task = machine.select().unwrap();
        // It blocks just before the end of each slice and is back at once.
        machine.run(machine.slice() - u64::from(task == napper));
        if task == napper {
            machine.block();
            machine.ready(napper, Arrival::Wake);
        } else {
            machine.put_back(Arrival::SliceEnd);
        }
    }
    assert!(machine.used[honest] * 100 >= machine.clock * 49, "{} of {}", machine.used[honest], machine.clock);
}

#[test]
fn lag_travels_to_another_queue() {
    let mut from = Machine::new(FairPolicy::new());
    let (_, mover) = (from.spawn(256, 0), from.spawn(256, 0));
    from.turn();
    assert!(from.policy.remove(&mut from.tasks[mover], NOW));
    let lag = from.tasks[mover].virt.lag;
    assert_eq!(lag, virtual_length(Duration::from_millis(10), 256), "it is owed half of the other's slice");

    let mut to = Machine::new(FairPolicy::new());
    to.spawn(1, 0);
    to.turns_until(5_000 * MS);
    to.tasks.push(Entity { key: TaskKey(1), ..from.tasks[mover] });
    to.ready(1, Arrival::Migrate);
    let kept = to.policy.clock.now().since(to.member(1).unwrap().vruntime);
    assert!((kept - lag).abs() <= 1);
}

#[test]
fn yielding_tasks_alternate() {
    for span in [0, 1, 1000] {
        let mut machine = Machine::new(FairPolicy::new());
        let expected: Vec<usize> = (0..12).map(|turn| turn % 3).collect();
        (0..3).for_each(|_| {
            machine.spawn(156, 0);
        });
        let order: Vec<usize> = expected
            .iter()
            .map(|_| {
                let task = machine.select().unwrap();
                machine.run(span);
                machine.put_back(Arrival::Yield);
                task
            })
            .collect();
        assert_eq!(order, expected, "turns of {span} ns");
    }
}

#[test]
fn a_task_that_yields_lets_its_peers_go_first() {
    let mut machine = Machine::new(FairPolicy::new());
    machine.spawn(256, 0);
    machine.select();
    machine.run(5 * MS);
    // The peer's request began later and is due later, but as late as the fresh one of the task that yields.
    machine.spawn(256, 0);
    machine.put_back(Arrival::Yield);
    assert_eq!(machine.select(), Some(1));
}

#[test]
fn a_preempted_task_keeps_its_place_among_equals() {
    let mut machine = Machine::new(FairPolicy::new());
    (0..3).for_each(|_| {
        machine.spawn(256, 0);
    });
    assert_eq!(machine.select(), Some(0));
    machine.put_back(Arrival::Preempt);
    assert_eq!(machine.select(), Some(0));
}

#[test]
fn late_charges_do_not_delay_the_requests_to_come() {
    let mut machine = Machine::new(exact(Duration::ZERO));
    let task = machine.spawn(256, 10);
    machine.select();
    machine.run(13);
    assert_eq!(machine.slice(), 7, "it began at 10");
    machine.run(100);
    assert_eq!(machine.slice(), 10, "whole requests that were missed are forgotten");
    assert_eq!(machine.member(task).unwrap().vruntime.0, 113 << 8);
}

#[test]
fn a_lag_is_at_most_a_request_whatever_has_happened() {
    let mut machine = Machine::new(FairPolicy::new());
    let (other, task) = (machine.spawn(256, 0), machine.spawn(256, 0));
    assert_eq!(machine.select(), Some(other));
    machine.put_back(Arrival::Yield);
    assert_eq!(machine.select(), Some(task));
    // The host did not come back for a second.
    machine.run(1_000 * MS);
    machine.block();
    let request = virtual_length(Duration::from_millis(20), 256);
    assert_eq!(machine.tasks[task].virt.lag, -request);
    machine.tasks[task].virt.lag = i64::MIN;
    machine.ready(task, Arrival::Wake);
    let lag = machine.policy.clock.now().since(machine.member(task).unwrap().vruntime);
    assert!((lag + request).abs() <= 1, "numbers from elsewhere are not trusted either");
}

/// From a slower CPU a task may bring more than a request, but not without bound; it is served until it has caught up.
#[test]
fn what_a_task_from_elsewhere_is_owed_is_bounded() {
    let most = virtual_length(MOST_OWED, 256);
    for (brought, kept) in [(most / 2, most / 2), (i64::MAX, most)] {
        let mut machine = Machine::new(FairPolicy::new());
        machine.spawn(256, 0);
        let task = machine.task(256, 0);
        machine.tasks[task].virt.lag = brought;
        machine.ready(task, Arrival::Migrate);
        let progress = machine.policy.progress().unwrap();
        assert_eq!(progress.weight, 512);
        assert!((progress.mean - machine.policy.vruntime(TaskKey(task as u32)).unwrap() - kept).abs() <= 1);
        // Half of what it gets by then would have been its share anyway.
        let behind = 2 * service(kept, 256).as_nanos();
        machine.turns_until(behind);
        assert!(machine.used[task] + 40 * MS >= behind, "{} of {behind}", machine.used[task]);
    }
}

#[test]
fn a_new_task_starts_without_lag() {
    let mut machine = Machine::new(FairPolicy::new());
    let task = machine.task(256, 0);
    machine.spawn(256, 0);
    machine.tasks[task].virt.lag = 1 << 20;
    machine.ready(task, Arrival::Spawn);
    assert_eq!(machine.owed(task), Some(0));
}

#[test]
fn a_preempted_request_goes_on_and_runs_to_its_end() {
    let mut machine = Machine::new(FairPolicy::new());
    machine.spawn(256, 0);
    machine.spawn(256, 0);
    assert_eq!((machine.select(), machine.slice()), (Some(0), 20 * MS));
    machine.run(4 * MS);
    machine.put_back(Arrival::Preempt);
    // It has had more than the other, so the other comes first; then it has the rest of its request.
    assert_eq!(machine.turn(), 1);
    assert_eq!((machine.select(), machine.slice()), (Some(0), 16 * MS));
    machine.run(15 * MS + MS / 2);
    assert_eq!(machine.slice(), MS, "no slice is below the minimum granularity");
}

#[test]
fn only_a_more_urgent_and_eligible_task_preempts() {
    let mut machine = Machine::new(exact(Duration::from_millis(1)));
    machine.spawn(256, 20 * MS);
    machine.select();
    let (short, long) = (machine.spawn(256, 2 * MS), machine.spawn(256, 30 * MS));
    let preempts = |machine: &Machine, task: usize| machine.policy.preempts(&machine.tasks[task], &machine.tasks[0]);
    assert!(!preempts(&machine, short), "the running task has the minimum granularity for itself");
    machine.run(MS);
    assert!(preempts(&machine, short) && !preempts(&machine, long));
    machine.shift(short, 3 << 40);
    assert!(!preempts(&machine, short), "not eligible");
}

#[test]
fn a_new_weight_keeps_what_a_task_is_owed() {
    let mut machine = Machine::new(FairPolicy::new());
    let tasks = vec![machine.spawn(100, 0), machine.spawn(200, 0), machine.spawn(50, 0)];
    machine.turn();
    machine.turn();
    machine.select();
    machine.run(MS);
    for task in tasks {
        let before = (machine.owed(task).unwrap(), machine.policy.clock.exact());
        machine.policy.update(&mut machine.tasks[task], 7, Timestamp::MAX, NOW);
        let after = (machine.owed(task).unwrap(), machine.policy.clock.exact());
        // The same service, in 2^-16 ns, but for rounding by a unit for each unit of weight.
        assert!((before.0 / before.1.1 - after.0 / after.1.1).abs() <= 256);
        assert!((before.1.0 / before.1.1 - after.1.0 / after.1.1).abs() <= 1, "V stays");
        assert_eq!(machine.tasks[task].priority, 7);
    }
}

#[test]
fn nobody_starves_while_others_come_and_go() {
    let mut machine = Machine::new(FairPolicy::new());
    (0..10).for_each(|i| {
        machine.spawn(1 + 28 * i, 0);
    });
    let (mut asleep, mut last_ran, mut seed) = (Vec::new(), vec![0; 10], 1u64);
    let mut random = move |n: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    while machine.clock < 100_000 * MS {
        while !asleep.is_empty() && (machine.policy.is_empty() || random(3) == 0) {
            let task = asleep.swap_remove(random(asleep.len() as u64) as usize);
            last_ran[task] = machine.clock;
            machine.ready(task, Arrival::Wake);
        }
        let task = machine.select().unwrap();
        machine.run(1 + random(machine.slice()));
        // The lightest task never sleeps.
        if task != 0 && random(2) == 0 {
            machine.block();
            asleep.push(task);
        } else {
            machine.put_back([Arrival::Yield, Arrival::Preempt, Arrival::SliceEnd][random(3) as usize]);
        }
        last_ran[task] = machine.clock;
        for waiting in (0..10).filter(|task| !asleep.contains(task)) {
            // A request of 1 ms at weight 1 takes as long as all the weight there is (1270 ms) to be earned, and as
            // much again may have been overdrawn.
            let waited = machine.clock - last_ran[waiting];
            assert!(waited <= 2 * 1_270 * MS, "{waiting} has waited {waited} ns at {}", machine.clock);
        }
    }
}

#[test]
fn a_yield_lets_the_other_go_whatever_the_jitter() {
    // Stretches of 60 to 100 ns, and once in a while an interrupt of 20 µs in one of them.
    let alternate = |policy: FairPolicy| {
        let mut machine = Machine::new(policy);
        machine.spawn(128, 10_000_000);
        machine.spawn(128, 10_000_000);
        let (mut last, mut again) = (None, 0);
        for i in 0..1_000u64 {
            let now = machine.select();
            again += u32::from(now == last);
            last = now;
            machine.run(60 + i * 7919 % 41 + if i % 400 == 200 { 20_000 } else { 0 });
            machine.put_back(Arrival::Yield);
        }
        again
    };
    assert_eq!(alternate(FairPolicy::with_intent_slices(Duration::from_millis(1))), 0);
    assert!(alternate(exact(Duration::from_millis(1))) > 100, "without the slack they wait for each other's jitter");
}
