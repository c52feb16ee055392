//! Mutexes, events, barriers and timers; waits that never end.

mod common;

use common::{MS, failure, options, slices, task, workload};
use dis_core::api::Timestamp;
use dis_sim::{Options, SimError, Simulation, WaitsFor};

#[test]
fn the_holder_of_a_mutex_inherits_from_whoever_waits() {
    // Without inheritance `mid` would run before `low` lets `high` go on.
    let text = task(
        "low",
        "intent = \"background\"\nrepeat = 1\nloop = [ { lock = \"m\" }, { run = \"4ms\" }, { unlock = \"m\" } ]",
    ) + &task(
        "high",
        "intent = \"system\"\nrepeat = 1\noffset = \"1ms\"\nloop = [ { lock = \"m\" }, { run = \"1ms\" }, { unlock = \"m\" } ]",
    ) + &task("mid", "intent = \"batch\"\nrepeat = 1\noffset = \"2ms\"\nloop = [ { run = \"10ms\" } ]");
    assert_eq!(
        slices(&text, &Options { duration: None, ..options(1, 1) }),
        [
            "0 0 low 1 run",
            "4 0 low 1 finish",
            "4 0 high 1 run",
            "5 0 high 1 finish",
            "5 0 mid 1 run",
            "15 0 mid 1 finish",
        ]
    );
}

#[test]
fn the_most_urgent_waiter_is_the_heir() {
    let text = task(
        "holder",
        "intent = \"batch\"\nrepeat = 1\nloop = [ { lock = \"m\" }, { run = \"5ms\" }, { unlock = \"m\" } ]",
    ) + &task(
        "first",
        "intent = \"batch\"\nrepeat = 1\noffset = \"1ms\"\nloop = [ { lock = \"m\" }, { run = \"1ms\" }, { unlock = \"m\" } ]",
    ) + &task(
        "urgent",
        "intent = \"system\"\nrepeat = 1\noffset = \"2ms\"\nloop = [ { lock = \"m\" }, { run = \"1ms\" }, { unlock = \"m\" } ]",
    );
    let lines = slices(&text, &Options { duration: None, ..options(3, 1) });
    let finishes: Vec<&str> =
        lines.iter().filter(|l| l.ends_with("finish")).map(|l| l.split(' ').nth(2).unwrap()).collect();
    assert_eq!(finishes, ["holder", "urgent", "first"]);
}

#[test]
fn locks_in_opposite_orders_deadlock_and_the_circle_is_told() {
    let body = |x, y| {
        format!(
            "intent = \"batch\"\nloop = [ {{ lock = \"{x}\" }}, {{ run = \"1ms\" }}, {{ lock = \"{y}\" }}, {{ unlock = \"{y}\" }}, {{ unlock = \"{x}\" }} ]"
        )
    };
    let text = task("a", &body("m", "n")) + &task("b", &body("n", "m"));
    let error = failure(&text, &options(2, 100));
    let SimError::Deadlock { at, cycle } = &error else { panic!("{error}") };
    assert_eq!((*at, cycle.len()), (Timestamp::from_nanos(MS), 2));
    assert!(cycle.iter().all(|blocked| matches!(blocked.waits_for, WaitsFor::Mutex { .. })));
    let text = error.to_string();
    assert!(text.contains("\"b\"") && text.contains("waits for the mutex `m`, which \"a\" holds"), "{text}");
    assert!(text.contains("waits for the mutex `n`, which \"b\" holds"), "{text}");
}

#[test]
fn a_mutex_held_by_one_who_waits_for_ever_is_a_deadlock_too() {
    let text = task(
        "a",
        "intent = \"batch\"\nrepeat = 1\nloop = [ { lock = \"m\" }, { wait = \"e\" }, { unlock = \"m\" } ]",
    ) + &task(
        "b",
        "intent = \"batch\"\nrepeat = 1\nloop = [ { run = \"1ms\" }, { lock = \"m\" }, { signal = \"e\" }, { unlock = \"m\" } ]",
    );
    let error = failure(&text, &Options { duration: None, ..options(1, 1) }).to_string();
    assert!(error.contains("\"b\" (line 6, step 2) waits for the mutex `m`, which \"a\" holds"), "{error}");
    assert!(error.contains("\"a\" (line 1, step 2) waits for the event `e`"), "{error}");
}

#[test]
fn events_wake_one_or_all_and_remember_one() {
    let text = task(
        "sink",
        "intent = \"batch\"\ninstances = 3\nrepeat = 1\nloop = [ { wait = \"e\" }, { run = \"1ms\" } ]",
    ) + &task(
        "source",
        "intent = \"system\"\nrepeat = 1\noffset = \"1ms\"\nloop = [ { signal = \"e\" }, { sleep = \"5ms\" }, { broadcast = \"e\" } ]",
    ) + &task(
        "late",
        "intent = \"batch\"\nrepeat = 1\noffset = \"20ms\"\nloop = [ { signal = \"f\" }, { signal = \"f\" }, { wait = \"f\" }, { run = \"1ms\" } ]",
    );
    let lines = slices(&text, &Options { duration: None, ..options(1, 1) });
    let finishes: Vec<&str> = lines.iter().filter(|line| line.ends_with("finish")).map(String::as_str).collect();
    assert_eq!(
        finishes,
        [
            "2 0 sink/0 1 finish",
            "6 0 source 1 finish",
            "7 0 sink/1 1 finish",
            "8 0 sink/2 1 finish",
            "21 0 late 1 finish"
        ]
    );
}

#[test]
fn a_barrier_opens_when_all_are_there_and_timers_keep_their_grid() {
    let text = task(
        "t",
        "intent = \"batch\"\ninstances = 2\nrepeat = 2\nloop = [ { run = \"2ms\" }, { barrier = \"b\" }, { timer = \"10ms\", mode = \"absolute\" } ]",
    );
    let workload = workload(&text);
    let options = Options { duration: None, ..options(2, 1) };
    let mut simulation = Simulation::new(&workload, &options).unwrap();
    simulation.run().unwrap();
    assert_eq!((simulation.now().as_nanos(), simulation.jobs(0), simulation.jobs(1)), (20 * MS, 2, 2));
}

#[test]
fn whoever_waits_for_an_event_to_the_end_does_not_stop_the_clock() {
    let text = task("sink", "intent = \"batch\"\nloop = [ { wait = \"e\" }, { run = \"1ms\" } ]")
        + &task("source", "intent = \"batch\"\nrepeat = 3\nloop = [ { signal = \"e\" }, { run = \"1ms\" } ]");
    let workload = workload(&text);
    let mut simulation = Simulation::new(&workload, &options(1, 50)).unwrap();
    simulation.run().unwrap();
    assert_eq!((simulation.now().as_nanos(), simulation.report().duration_ns), (50 * MS, 50 * MS));
}

#[test]
fn time_that_stands_still_is_told() {
    let text = task("ping", "intent = \"batch\"\nloop = [ { signal = \"a\" }, { wait = \"b\" } ]")
        + &task("pong", "intent = \"batch\"\nloop = [ { wait = \"a\" }, { signal = \"b\" } ]");
    let error = failure(&text, &options(1, 50));
    assert!(matches!(error, SimError::TimeStands { at: Timestamp::ZERO, .. }), "{error}");
}

#[test]
fn what_cannot_be_simulated_is_told() {
    let endless = task("a", "intent = \"batch\"\nloop = [ { run = \"1ms\" } ]");
    assert_eq!(failure(&endless, &Options { duration: None, ..options(1, 1) }), SimError::Endless { task: "a".into() });
    let error = failure(&endless, &Options { cpus: 257, ..options(1, 1) });
    assert_eq!(error.to_string(), "257 CPUs; it must be 1 to 256");
    let empty = dis_workload::Workload::default();
    assert_eq!(Simulation::new(&empty, &options(1, 1)).err(), Some(SimError::NoTask));
    let heavy = common::periodic("a", 6, 10, 10) + &common::periodic("b", 5, 10, 10);
    assert!(matches!(failure(&heavy, &options(1, 1)), SimError::Refused { index: 1, .. }));
}
