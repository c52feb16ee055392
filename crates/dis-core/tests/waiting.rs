//! Nobody waits longer than promised: cases that random events have found.

mod common;

use common::machine::{Machine, Op::*};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, TaskSpec};
use dis_core::intent::Intent;

/// What a task ran while it was alone is no debt towards one that comes later.
#[test]
fn a_newcomer_shares_from_now_on() {
    for class in [Intent::batch(), Intent::background()] {
        let mut m = Machine::new(1);
        let old = m.spawn(class.clone(), &[]);
        m.run_until(ms(1_000));
        let new = m.spawn(class.clone(), &[]);
        m.run_until(ms(1_400));
        m.reconcile();
        let [old, new] = [old, new].map(|task| m.actors[task].ran_between(ms(1_000), ms(1_400)));
        assert!(old.abs_diff(new) <= ms(50), "{old} and {new}");
    }
}

/// Saturated Realtime leaves half a millisecond of each window, which is just half a slice of an Interactive task: every
/// other slice ends when the next window begins. It has ended all the same, and the next task's turn has come.
#[test]
fn a_slice_that_ends_with_the_window_has_ended() {
    let mut m = Machine::new(1);
    m.spawn(Intent::realtime(10_000, 10_000, 9_300), &[]);
    let tasks: Vec<usize> = (0..3).map(|_| m.spawn(Intent::interactive(1_000), &[])).collect();
    m.run_until(ms(600));
    m.reconcile();
    for task in tasks {
        let ran = m.actors[task].cpu_time;
        assert!(ran.abs_diff(ms(14)) <= ms(2), "task {task} ran {ran} ns of the 42 ms that are left");
    }
}

/// The rest of a long slice of one class does not go on in another.
#[test]
fn a_slice_belongs_to_its_class() {
    let mut m = Machine::new(1);
    let changed = m.spawn(Intent::background(), &[]);
    m.run_until(ms(1));
    m.spawn(Intent::system(), &[Run(ms(2)), Block(BlockReason::Event)]);
    m.run_until(ms(2));
    m.set_intent(changed, &Intent::interactive(1_000)).unwrap();
    let other = m.spawn(Intent::interactive(1_500), &[]);
    m.run_until(ms(10));
    m.reconcile();
    assert!(m.actors[changed].ran_between(ms(3), ms(4)) > 0, "it goes first");
    assert_eq!(m.actors[other].ran_between(ms(3), ms(5)), ms(1), "after a slice of 1 ms");
}

/// Whoever is declared anew while it runs has its new target from then on: with the old one and a new slice it would go on before
/// those whose targets have passed, as often as it declares itself.
#[test]
fn a_running_task_with_a_new_intent_goes_behind_those_who_wait() {
    let mut m = Machine::new(1);
    let hog = m.spawn(Intent::interactive(1_000), &[]);
    m.run_until(us(100));
    let other = m.spawn(Intent::interactive(1_000), &[Run(us(500)), Block(BlockReason::Event)]);
    for n in 1..=5 {
        m.run_until(us(100 + n * 200));
        m.set_intent(hog, &Intent::interactive(1_000)).unwrap();
    }
    m.run_until(ms(2));
    m.reconcile();
    assert_eq!(m.actors[other].ran_between(us(300), us(800)), us(500), "from the first declaration on");
}

/// The same for one that had no target: it would have gone behind all who have one.
#[test]
fn a_running_task_that_becomes_interactive_has_a_target() {
    let mut m = Machine::new(1);
    let task = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1));
    m.set_intent(task, &Intent::interactive(1_000)).unwrap();
    assert_eq!(m.executor.urgency(m.actors[task].id).unwrap().deadline, at(ms(2)));
    m.spawn(Intent::interactive(5_000), &[]);
    m.run_until(ms(3));
    m.reconcile();
    assert_eq!(m.actors[task].ran_between(ms(1), ms(2)), ms(1), "its target comes first");
}

/// A sleeper that is sent to an idle CPU with a new intent wakes up there in time.
#[test]
fn a_sleeper_with_a_new_intent_wakes_in_time() {
    let mut m = Machine::new(2);
    let task = m.spawn(Intent::batch().with_affinity(CpuMask::single(0)), &[Run(us(1)), Sleep(ms(5)), Run(ms(50))]);
    // Takes the registers, so that the sleeper may go at once.
    m.spawn(Intent::batch().with_affinity(CpuMask::single(0)), &[]);
    m.run_until(ms(1));
    m.set_intent(task, &Intent::background().with_affinity(CpuMask::single(1))).unwrap();
    m.run_until(ms(20));
    m.reconcile();
    assert_eq!(m.actors[task].ran_between(0, ms(20)), us(1) + ms(15) - us(1), "from 5 ms and 1 µs on");
}

/// A reservation leaves less to System from the moment at which it is made, also if its first job comes later.
#[test]
fn a_reservation_bounds_a_system_task_that_runs() {
    let mut m = Machine::new(1);
    let system = m.spawn(Intent::system(), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(10) + us(100));
    let spec = TaskSpec { start: Some(at(ms(50))), ..TaskSpec::new("", Intent::realtime(10_000, 10_000, 8_500), 0) };
    m.try_spawn(spec, &[Run(us(100)), NextPeriod]).unwrap();
    m.run_until(ms(20));
    m.reconcile();
    assert_eq!(
        m.actors[system].ran_between(ms(10), ms(20)),
        us(500),
        "half of 95 % less 85 %, as it may have that twice at once"
    );
    assert_eq!(m.actors[batch].ran_between(ms(10), ms(20)), us(9_500));
}
