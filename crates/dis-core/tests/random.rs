//! Random events, and what must hold after each of them.
//!
//! `DIS_EVENTS=n` sets how many events all tests together have, `DIS_FROM=n` with which seed they begin. A failure prints a few
//! steps that bring it about, and the command that repeats them.

mod common;
mod events;

use std::cell::Cell;

use common::erratic::Erratic;
use common::machine::default_wait_bounds;
use common::modules::{NAMES, with_made};
use common::rng::{Rng, number_from_env};
use common::us;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{EdfPolicy, FairPolicy};
use events::{Driver, Test, explore, shrink};

fn total_events() -> u64 {
    number_from_env("DIS_EVENTS").unwrap_or(if cfg!(debug_assertions) { 120_000 } else { 10_000_000 })
}

/// Every other machine has the product's policies, the others one of the four at random for each class.
fn policies(seed: u64, rng: &mut Rng) -> SchedulerRegistry {
    let mut modules = SchedulerRegistry::with_builtins();
    for class in QueueType::ALL.into_iter().filter(|_| seed.is_multiple_of(2)) {
        modules.set_active(class, NAMES[rng.below(4) as usize]).expect("a built-in policy");
    }
    modules
}

/// Registers are saved and interrupts delivered at once: the bounds on waiting hold to the nanosecond.
#[test]
fn a_prompt_host() {
    let machine = |seed| {
        let mut driver = Driver::new(seed, |rng| policies(seed, rng));
        driver.m.wait_bounds = default_wait_bounds();
        driver
    };
    explore(&Test { name: "a_prompt_host", machine, finish: |_| {} }, total_events() / 5 * 2);
}

/// Both take a random time, in which everything else goes on.
#[test]
fn a_slow_host() {
    let machine = |seed| {
        let mut driver = Driver::new(seed, |rng| policies(seed, rng));
        driver.m.save_delay = us(1 + driver.rng.below(400));
        driver.m.interrupt_delay = us(1 + driver.rng.below(400));
        driver
    };
    explore(&Test { name: "a_slow_host", machine, finish: |_| {} }, total_events() / 5 * 2);
}

/// Policies forget tasks, name none or the wrong ones: the core replaces them, and nobody is lost.
#[test]
fn policies_that_misbehave() {
    thread_local! {
        static FAULTS: Cell<u64> = const { Cell::new(0) };
    }
    let machine = |seed| {
        Erratic::seed(seed);
        Driver::new(seed, |rng| {
            let classes: Vec<QueueType> = QueueType::ALL.into_iter().filter(|_| rng.chance(700)).collect();
            with_made(&classes, Erratic::boxed)
        })
    };
    let finish = |driver: &Driver| {
        assert_eq!(driver.m.executor.stats().policy_faults, driver.faults());
        FAULTS.set(FAULTS.get() + driver.faults());
    };
    explore(&Test { name: "policies_that_misbehave", machine, finish }, total_events() / 5);
    assert!(FAULTS.get() > 0, "none was found out");
}

/// The policies of all classes are replaced all the time, by built-in ones and by one that misbehaves; nobody is lost, and the
/// bounds on waiting between classes hold.
#[test]
fn policies_that_are_replaced() {
    thread_local! {
        static SWAPS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }
    let machine = |seed| {
        Erratic::seed(seed);
        let mut driver = Driver::new(seed, |_| with_made(&QueueType::ALL, || Box::new(FairPolicy::new())));
        let erratic = seed.is_multiple_of(3);
        if !erratic {
            driver.m.wait_bounds = default_wait_bounds();
        }
        let made = move || if erratic { Erratic::boxed() } else { Box::new(EdfPolicy::new()) };
        driver.swap_among(with_made(&[], made));
        driver
    };
    let finish = |driver: &Driver| {
        let (swaps, moved) = driver.swapped();
        SWAPS.set((SWAPS.get().0 + swaps, SWAPS.get().1 + moved));
    };
    explore(&Test { name: "policies_that_are_replaced", machine, finish }, total_events() / 5);
    let (swaps, moved) = SWAPS.get();
    println!("{swaps} policies replaced, {moved} tasks went over");
    assert!(swaps > 0 && moved > 0);
}

/// The search for a small part that fails finds the smallest if any part that holds it fails.
#[test]
fn a_failure_is_shrunk() {
    let needed = [3, 17, 18, 941];
    let fails = |list: &[u32]| needed.iter().all(|n| list.contains(n));
    assert_eq!(shrink((0..1000).collect(), |list| Some(fails(list))), needed);
    let mut tries = 0;
    let bounded = |list: &[u32]| {
        tries += 1;
        (tries < 20).then(|| fails(list))
    };
    let list = shrink((0..1000).collect(), bounded);
    assert!(list.len() < 1000 && fails(&list));
}
