//! Runs lists of events with one seed after the other; a list that fails is shrunk and told.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::driver::Driver;
use super::event::Step;
use super::shrink::shrink;
use crate::common::rng::number_from_env;

/// Steps of one list.
const LENGTH: usize = 4_000;

/// How many questions of CPUs the search for a small part may take; half a minute.
const EFFORT: u64 = 10_000_000;

thread_local! {
    /// Panics of this thread are not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of this thread was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

pub fn is_quiet() -> bool {
    QUIET.get()
}

/// A kind of machine, and how it is tested.
pub struct Test {
    /// The name of the test function.
    pub name: &'static str,
    /// A fresh machine for a seed.
    pub machine: fn(u64) -> Driver,
    /// What else must hold at the end.
    pub finish: fn(&Driver),
}

/// Runs lists until they have had `events` events (those that did something, and the questions of CPUs), from seed `DIS_FROM` (default 1) on. `DIS_SEED` repeats the
/// list of one seed, `DIS_KEEP` the steps of it with these numbers.
///
/// # Panics
/// As the first list that fails does, after a part of it that fails in the same place has been printed.
pub fn explore(test: &Test, events: u64) {
    if let Some(seed) = number_from_env("DIS_SEED") {
        match std::env::var("DIS_KEEP") {
            Ok(keep) => {
                let number = |n: &str| n.trim().parse().expect("DIS_KEEP holds numbers of steps, separated by commas");
                replay(test, seed, &keep.split(',').map(number).collect::<Vec<usize>>());
            }
            Err(_) => drop(one(test, seed)),
        }
        return;
    }
    let from = number_from_env("DIS_FROM").unwrap_or(1);
    let (mut done, mut seed) = (0, from);
    while done < events {
        done += one(test, seed);
        seed += 1;
    }
    println!("{}: {done} events, seeds {from} to {}", test.name, seed - 1);
}

/// The whole list of a seed. How many events that were.
fn one(test: &Test, seed: u64) -> u64 {
    let done = Done::default();
    if let Ok(()) = quietly(|| run(test, seed, None, &done)) {
        return done.events.get() + done.questions.get();
    }
    let (place, steps) = (PLACE.take(), done.steps.get());
    eprintln!("{}: seed {seed} fails at {place} after {steps} steps; shrinking", test.name);
    let effort = Cell::new(0);
    let keep = shrink((0..steps).collect(), |keep| {
        let done = Done::default();
        let failed = quietly(|| run(test, seed, Some(keep), &done)).is_err();
        effort.set(effort.get() + done.questions.get());
        (effort.get() < EFFORT).then(|| failed && PLACE.take() == place)
    });
    replay(test, seed, &keep);
    panic!("seed {seed} failed at {place}, but its parts do not");
}

/// Some steps of a seed's list, aloud.
fn replay(test: &Test, seed: u64, keep: &[usize]) {
    let machine = (test.machine)(seed);
    eprintln!("{} steps of seed {seed} for {} CPUs:", keep.len(), machine.m.executor.cpu_count());
    let steps: Vec<Step> = machine.steps(seed).take(LENGTH).collect();
    keep.iter().for_each(|&n| eprintln!("{}", steps[n]));
    let numbers = keep.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    eprintln!(
        "to repeat: DIS_SEED={seed} DIS_KEEP={numbers} cargo test --profile optimised -p {} --test random {}",
        env!("CARGO_PKG_NAME"),
        test.name
    );
    run(test, seed, Some(keep), &Done::default());
}

/// How far a list has got, whether it has failed or not.
#[derive(Default)]
struct Done {
    steps: Cell<usize>,
    /// Those that did something.
    events: Cell<u64>,
    /// Questions of CPUs.
    questions: Cell<u64>,
}

/// Runs the steps of a seed's list that are numbered in `keep`, or all.
fn run(test: &Test, seed: u64, keep: Option<&[usize]>, done: &Done) {
    let mut driver = (test.machine)(seed);
    let mut wanted = keep.map(|keep| keep.iter().copied().peekable());
    for (number, step) in driver.steps(seed).take(LENGTH).enumerate() {
        if wanted.as_mut().is_some_and(|wanted| wanted.next_if_eq(&number).is_none()) {
            continue;
        }
        done.steps.set(done.steps.get() + 1);
        driver.step(&step);
        done.events.set(driver.events);
        done.questions.set(driver.m.events);
    }
    driver.finish();
    (test.finish)(&driver);
}

/// Runs `f`; if it panics, nothing is printed, and `PLACE` says where.
fn quietly(f: impl FnOnce()) -> std::thread::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |info| {
            if is_quiet() {
                PLACE.set(info.location().map_or(String::new(), ToString::to_string));
            } else {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(false);
    result
}
