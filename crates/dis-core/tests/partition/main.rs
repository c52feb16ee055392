//! Partitioned EDF with C=D splitting: what is admitted meets its deadlines, what is cut is cut as large as can be.

#[path = "../common/mod.rs"]
mod common;
mod machine;

use common::ns;
use common::rng::{Rng, number_from_env};
use dis_core::admission::{
    Admission, Assignment, Piece, RejectReason, Rejection, Request, Shortfall, SporadicTask, Supply, TaskSet, Verdict,
    edf,
};
use dis_core::api::{CpuMask, Duration, TaskId};
use dis_core::optimizer::Limits;
use machine::{Classes, Load, Nobody, Task, run};

fn id(i: usize) -> TaskId {
    TaskId(1 + i as u64)
}

fn implicit(wcet: u64, period: u64) -> SporadicTask {
    SporadicTask::implicit(ns(wcet), ns(period))
}

/// Tasks that nearly fill `cpus` CPUs, for periods of a few ticks.
fn random_set(rng: &mut Rng, cpus: usize) -> Vec<SporadicTask> {
    let mut left = cpus as u64 * 1000;
    let mut set = Vec::new();
    while left > 60 {
        let period = 6 + rng.below(40);
        let share = (150 + rng.below(500)).min(left);
        let wcet = (period * share / 1000).max(1);
        let deadline = if rng.chance(800) { period } else { wcet + rng.below(period - wcet + 1) };
        let jitter = if rng.chance(100) { rng.below((deadline - wcet).min(3) + 1) } else { 0 };
        set.push(SporadicTask::new(ns(wcet), ns(deadline), ns(period)).with_jitter(ns(jitter)));
        left = left.saturating_sub(wcet * 1000 / period + 1 + rng.below(20));
    }
    set
}

/// Admits what of `set` can be, and answers that with its places.
fn admitted(machine: &mut Admission, set: &[SporadicTask]) -> Vec<Task> {
    set.iter()
        .enumerate()
        .filter_map(|(i, task)| Some(Task::new(*task, machine.admit(id(i), Request::realtime(*task)).ok()?)))
        .collect()
}

#[test]
fn whatever_is_admitted_meets_its_deadlines() {
    let mut rng = Rng::new(1);
    let (mut split, mut pieces) = (0, 0);
    for _ in 0..number_from_env("DIS_SETS").unwrap_or(150) {
        let cpus = 2 + rng.below(3) as usize;
        let mut machine = Admission::dedicated(cpus);
        let set = random_set(&mut rng, cpus);
        let tasks = admitted(&mut machine, &set);
        for load in [Load::Full, Load::Random, Load::Random] {
            let miss = run(&tasks, cpus, 1_500, load, &mut Nobody, &mut rng);
            assert_eq!(miss, None, "{tasks:#?} on {cpus}");
        }
        assert!(machine.split_count() < cpus);
        split += machine.split_count();
        pieces += tasks.iter().filter(|task| task.pieces.len() > 2).count();
    }
    assert!(split > 80, "{split}");
    assert!(pieces > 0, "none was cut twice");
}

/// Three tasks of two thirds on two CPUs, which no partition holds (facts of the literature: e.g. Baruah, Cohen, Plaxton and
/// Varvel, "Proportionate progress", 1996): C=D cuts the third in half.
#[test]
fn two_cpus_are_filled_with_three_tasks() {
    let mut machine = Admission::dedicated(2);
    let task = implicit(2, 3);
    assert_eq!(machine.admit(id(0), Request::realtime(task)), Ok(&Assignment::Whole(0)));
    assert_eq!(machine.admit(id(1), Request::realtime(task)), Ok(&Assignment::Whole(1)));
    let first = Piece { cpu: 0, budget: ns(1), offset: ns(0), deadline: ns(1) };
    let last = Piece { cpu: 1, budget: ns(1), offset: ns(1), deadline: ns(3) };
    assert_eq!(machine.admit(id(2), Request::realtime(task)), Ok(&Assignment::Split(vec![first, last])));
    // Full, as a sum of thirds that are rounded up says it.
    assert_eq!([0, 1].map(|cpu| machine.utilisation_ppb(cpu)), [1_000_000_001; 2]);
    let tasks: Vec<Task> = (0..3).map(|i| Task::new(task, machine.assignment(id(i)).unwrap())).collect();
    let mut rng = Rng::new(1);
    assert_eq!(run(&tasks, 2, 300, Load::Full, &mut Nobody, &mut rng), None);
    // The same without splitting.
    let mut machine = Admission::dedicated(2).with_max_splits(0);
    let accepted = (0..3).filter(|&i| machine.admit(id(i), Request::realtime(task)).is_ok()).count();
    assert_eq!(accepted, 2);
}

/// Pieces are as large as can be: one nanosecond more, with its deadline, and the analysis of that CPU says no. Then there are
/// releases with which a deadline is missed there.
#[test]
fn a_larger_piece_does_not_fit() {
    let mut rng = Rng::new(2);
    let (mut enlarged, mut missed) = (0, 0);
    for _ in 0..120 {
        let cpus = 2 + rng.below(2) as usize;
        let mut machine = Admission::dedicated(cpus);
        for (i, task) in random_set(&mut rng, cpus).into_iter().enumerate() {
            let Ok(Assignment::Split(pieces)) = machine.admit(id(i), Request::realtime(task)).cloned() else {
                continue;
            };
            let piece = pieces[0];
            if piece.budget + ns(1) >= task.wcet {
                continue; // The rest is one tick: it could not be larger.
            }
            let mut parts = machine.tasks_on(piece.cpu).to_vec();
            let is_it = |task: &&mut SporadicTask| task.wcet == piece.budget && task.deadline == piece.deadline;
            let part = parts.iter_mut().find(is_it).unwrap();
            part.wcet += ns(1);
            part.deadline += ns(1);
            assert!(!edf::test(&TaskSet::new(&parts, Supply::dedicated())).is_schedulable(), "{parts:?}");
            enlarged += 1;
            if parts.iter().all(|part| part.jitter.is_zero()) {
                let alone: Vec<Task> = parts.iter().map(|&part| Task::new(part, &Assignment::Whole(0))).collect();
                let miss = run(&alone, 1, 10_000, Load::Full, &mut Nobody, &mut rng);
                assert!(miss.is_some(), "{parts:?}");
                missed += 1;
            }
        }
    }
    assert!(enlarged > 40 && missed > 30, "{enlarged} {missed}");
}

/// With caps: System uses all that it may, at the worst times of each window, lower classes use the cap's remainder, and
/// reservations wake at any time. Realtime meets its deadlines, reservations have their share of each window.
#[test]
fn whatever_is_admitted_under_caps_meets_its_deadlines() {
    let window = 200;
    let limits = Limits { window: ns(window), ..Limits::default() };
    let mut rng = Rng::new(3);
    let (mut split, mut reserved, mut shares) = (0, 0, 0);
    for _ in 0..number_from_env("DIS_SETS").unwrap_or(60) {
        let cpus = 2 + rng.below(2) as usize;
        let mut machine = Admission::new(cpus, limits);
        let mut tasks = Vec::new();
        for i in 0..cpus * 4 {
            if rng.chance(200) {
                let request = Request::reservation(50 + rng.below(250) as u16, limits.window);
                if let Ok(place) = machine.admit(id(i), request) {
                    tasks.push(Task { reservation: true, ..Task::new(request.task, place) });
                    reserved += 1;
                }
                continue;
            }
            let period = 60 + rng.below(900);
            let wcet = 1 + rng.below(period / 2);
            let deadline = if rng.chance(700) { period } else { wcet + rng.below(period - wcet + 1) };
            let task = SporadicTask::new(ns(wcet), ns(deadline), ns(period));
            if let Ok(place) = machine.admit(id(i), Request::realtime(task)) {
                tasks.push(Task::new(task, place));
            }
        }
        split += machine.split_count();
        let system: Vec<u64> = (0..cpus).map(|cpu| window * u64::from(machine.system_share(cpu)) / 1000).collect();
        shares += system.iter().filter(|&&ticks| ticks > 2).count();
        for load in [Load::Full, Load::Random, Load::Random] {
            let mut classes = Classes::new(window, window * 950 / 1000, system.clone());
            let miss = run(&tasks, cpus, 8_000, load, &mut classes, &mut rng);
            assert_eq!(miss, None, "System {system:?}: {tasks:#?} on {cpus}");
        }
    }
    assert!(split > 5 && reserved > 50 && shares > 50, "{split} {reserved} {shares}");
}

#[test]
fn a_plan_places_the_large_and_the_bound_first() {
    let mut machine = Admission::dedicated(2);
    let request = |wcet| Request::realtime(implicit(wcet, 10));
    // In this order, one by one, the third would take the room of the fourth, which only CPU 0 may have.
    let requests = [request(4), request(6), request(6), request(4).on(CpuMask::single(0))];
    let requests: Vec<(TaskId, Request)> = requests.into_iter().enumerate().map(|(i, r)| (id(i), r)).collect();
    let places: Vec<Assignment> = machine.plan(&requests).into_iter().map(Result::unwrap).collect();
    assert_eq!(places, [1, 0, 1, 0].map(Assignment::Whole));
    // What cannot be placed is named, the rest is; ids that are known are refused.
    let more = [(id(3), request(1)), (id(7), request(1))];
    let answers = machine.plan(&more);
    assert_eq!(answers[0], Err(Rejection { task: id(3), reason: RejectReason::Known }));
    assert!(matches!(&answers[1], Err(Rejection { reason: RejectReason::NoRoom(_), .. })));
    assert_eq!(machine.len(), 4);
}

/// A plan that fails with whole tasks first succeeds if each is cut in its turn, and the other way round.
#[test]
fn a_plan_tries_both_ways_of_splitting() {
    let mut rng = Rng::new(4);
    let mut planned = 0;
    let mut in_turn = 0;
    for _ in 0..300 {
        let mut set = random_set(&mut rng, 3);
        set.sort_by_key(|task| std::cmp::Reverse(task.wcet.mul_div(1 << 30, (task.deadline - task.jitter).as_nanos())));
        let requests: Vec<_> = set.iter().enumerate().map(|(i, &task)| (id(i), Request::realtime(task))).collect();
        let mut one_by_one = Admission::dedicated(3);
        let admitted = requests.iter().filter(|&&(id, request)| one_by_one.admit(id, request).is_ok()).count();
        let mut machine = Admission::dedicated(3);
        let answers = machine.plan(&requests);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), machine.len());
        assert!(machine.len() >= admitted, "{} {admitted}: {set:?}", machine.len());
        planned += usize::from(machine.len() == set.len());
        in_turn += usize::from(admitted == set.len());
    }
    assert!(planned > in_turn && in_turn > 10, "{planned} {in_turn}");
}

#[test]
fn affinity_is_respected_by_whole_tasks_and_by_pieces() {
    let cpus: CpuMask = [1, 200, 255].into_iter().collect();
    let mut machine = Admission::dedicated(256);
    let task = implicit(2, 3);
    let at: Vec<Assignment> =
        (0..4).map(|i| machine.admit(id(i), Request::realtime(task).on(cpus)).unwrap().clone()).collect();
    assert_eq!(at[..3], [1, 200, 255].map(Assignment::Whole));
    assert!(at[3].is_split());
    assert_eq!(at[3].cpus().union(&cpus), cpus);
    let rejection = machine.admit(id(4), Request::realtime(task).on(CpuMask::single(200)));
    assert!(matches!(rejection, Err(Rejection { reason: RejectReason::NoRoom(Shortfall { cpu: 200, .. }), .. })));
    let mut small = Admission::dedicated(4);
    let rejection = small.admit(id(0), Request::realtime(task).on(CpuMask::single(4)));
    assert_eq!(rejection, Err(Rejection { task: id(0), reason: RejectReason::NoCpu }));
}

#[test]
fn a_rejection_says_who_fails_and_by_how_much() {
    let mut machine = Admission::dedicated(1);
    machine.admit(id(0), Request::realtime(SporadicTask::new(ns(4), ns(5), ns(10)))).unwrap();
    let rejection = machine.admit(id(1), Request::realtime(SporadicTask::new(ns(3), ns(6), ns(10)))).unwrap_err();
    let RejectReason::NoRoom(Shortfall { cpu: 0, verdict: Verdict::Overload(overload), late }) = rejection.reason
    else {
        panic!("{rejection}");
    };
    assert_eq!((overload.interval, overload.demand, overload.supply), (ns(6), ns(7), ns(6)));
    assert_eq!(late, Some(id(1)));
    // A short one makes one that is there late.
    let rejection = machine.admit(id(2), Request::realtime(SporadicTask::new(ns(2), ns(3), ns(10)))).unwrap_err();
    let RejectReason::NoRoom(Shortfall { late, .. }) = rejection.reason else { panic!("{rejection}") };
    assert_eq!(late, Some(id(0)));
    assert_eq!(rejection.to_string(), "no CPU has room; CPU 0: overload: 6ns are needed within some 5ns, 5ns are sure");
    // Neither left a trace.
    assert_eq!((machine.len(), machine.tasks_on(0).len()), (1, 1));
}

#[test]
fn a_change_is_made_as_a_whole_or_not_at_all() {
    let mut machine = Admission::dedicated(2);
    machine.admit(id(0), Request::realtime(implicit(6, 10))).unwrap();
    machine.admit(id(1), Request::realtime(implicit(6, 10))).unwrap();
    assert_eq!(machine.assignment(id(1)), Some(&Assignment::Whole(1)));
    // Stays where it is, though CPU 0 would take it as well.
    assert_eq!(machine.change(id(1), Request::realtime(implicit(3, 10))), Ok(&Assignment::Whole(1)));
    let before = format!("{:?}", (machine.tasks_on(0), machine.tasks_on(1)));
    assert!(machine.change(id(1), Request::realtime(implicit(10, 10)).on(CpuMask::single(0))).is_err());
    assert_eq!(format!("{:?}", (machine.tasks_on(0), machine.tasks_on(1))), before);
    assert_eq!(machine.request(id(1)).map(|request| request.task), Some(implicit(3, 10)));
    let unknown = machine.change(id(7), Request::realtime(implicit(1, 10)));
    assert_eq!(unknown, Err(Rejection { task: id(7), reason: RejectReason::Unknown }));
    let known = machine.admit(id(1), Request::realtime(implicit(1, 10)));
    assert_eq!(known, Err(Rejection { task: id(1), reason: RejectReason::Known }));
    assert!(machine.release(id(1)) && !machine.release(id(1)));
    assert_eq!((machine.utilisation_ppb(1), machine.len()), (0, 1));
}

/// With reservations only, System may use what they and the cap's remainder leave; a task with deadlines costs it more, as its
/// window may lie anywhere.
#[test]
fn system_may_use_what_admitted_tasks_leave() {
    let limits = Limits::default();
    let window = limits.window;
    let mut machine = Admission::new(1, limits);
    assert_eq!(machine.system_share(0), 500);
    machine.admit(id(0), Request::reservation(600, window)).unwrap();
    assert_eq!(machine.system_share(0), 350);
    machine.admit(id(1), Request::reservation(340, window)).unwrap();
    assert_eq!(machine.system_share(0), 10);
    assert!(machine.admit(id(2), Request::reservation(1, window)).is_err());
    machine.release(id(1));
    machine.release(id(0));
    // 10 of 20 ms: System may take S at the end of one window and at the beginning of the next, while the task's load leaves
    // lower classes nothing of the cap: 20 - 10 >= 3 S, or, with the remainder, 20 - 10 >= 3 S + 1.5.
    let task = SporadicTask::implicit(Duration::from_millis(10), Duration::from_millis(20));
    machine.admit(id(0), Request::realtime(task)).unwrap();
    let share = machine.system_share(0);
    assert!((250..=333).contains(&share), "{share}");
}
