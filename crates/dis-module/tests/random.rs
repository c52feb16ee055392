//! Random events in the simulated machine of the core's own tests, while the policies of all classes are replaced by built-in ones and
//! two loaded ones: each invariant is checked after each event, nobody is lost, and the bounds on waiting between classes hold.
//!
//! `DIS_EVENTS=n` sets how many events there are, `DIS_FROM=n` with which seed they begin.

#[path = "../../dis-core/tests/common/mod.rs"]
mod common;
#[path = "../../dis-core/tests/events/mod.rs"]
#[allow(dead_code, unused_imports, reason = "another test's, of which this one needs a part")]
mod events;
#[path = "common/mod.rs"]
mod libraries;

use std::cell::Cell;
use std::path::PathBuf;

use common::machine::default_wait_bounds;
use common::modules::with_made;
use common::rng::number_from_env;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::FairPolicy;
use dis_module::load;
use events::{Driver, Test, explore};

thread_local! {
    static SWAPS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    static FILES: [PathBuf; 2] = ["template", "deadline"].map(libraries::library);
}

/// The four built-in modules, and two that are loaded.
fn modules() -> SchedulerRegistry {
    let mut modules = SchedulerRegistry::with_builtins();
    FILES.with(|files| {
        for file in files {
            modules.register(Box::new(load(file).expect("it is a module"))).expect("a new name");
        }
    });
    assert_eq!(modules.list().len(), 6);
    modules
}

#[test]
fn loaded_and_built_in_policies_replace_each_other_in_all_classes() {
    let machine = |seed| {
        // A policy without a known order, as the order inside a class changes all the time.
        let mut driver = Driver::new(seed, |_| with_made(&QueueType::ALL, || Box::new(FairPolicy::new())));
        driver.m.wait_bounds = default_wait_bounds();
        driver.swap_among(modules());
        driver
    };
    let finish = |driver: &Driver| {
        assert_eq!(driver.faults(), 0, "no policy was at fault");
        let (swaps, moved) = driver.swapped();
        SWAPS.set((SWAPS.get().0 + swaps, SWAPS.get().1 + moved));
    };
    let events = number_from_env("DIS_EVENTS").unwrap_or(if cfg!(debug_assertions) { 20_000 } else { 1_000_000 });
    explore(&Test { name: "loaded_and_built_in_policies_replace_each_other_in_all_classes", machine, finish }, events);
    let (swaps, moved) = SWAPS.get();
    println!("{events} events, {swaps} policies replaced, {moved} tasks went over");
    assert!(swaps > 0 && moved > 0);
}
