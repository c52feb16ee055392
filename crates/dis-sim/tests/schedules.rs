//! Small schedules, worked out by hand.

mod common;

use common::{MS, options, periodic, schedule, slices, task, workload};
use dis_core::api::Duration;
use dis_sim::{Costs, Options, Simulation};

#[test]
fn edf_preempts_for_a_strictly_earlier_deadline() {
    // `long` is due at 10; `short`, released at 2, at 5, and at 7 it is due at 10 as well, which is not earlier.
    let text = periodic("long", 6, 10, 10)
        + &task(
            "short",
            "intent = \"realtime\"\nperiod = \"5ms\"\ndeadline = \"3ms\"\nwcet = \"1ms\"\noffset = \"2ms\"",
        );
    assert_eq!(
        schedule(&text, &options(1, 10)),
        [
            "0 0 long 1 release",
            "0 0 long 1 run",
            "2 0 short 1 release",
            "2 0 long 1 preempt",
            "2 0 short 1 run",
            "3 0 short 1 finish",
            "3 0 long 1 run",
            "7 0 short 2 release",
            "7 0 long 1 finish",
            "7 0 short 2 run",
            "8 0 short 2 finish",
        ]
    );
}

#[test]
fn equal_deadlines_go_by_the_order_of_the_file_and_whoever_runs_keeps_the_cpu() {
    let late_first = task("b", "intent = \"realtime\"\nperiod = \"8ms\"\nwcet = \"2ms\"\noffset = \"2ms\"")
        + &task("a", "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"4ms\"")
        + &task("c", "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"1ms\"");
    // All are due at 10. At 2 `b`, although first in the file, does not take the CPU from `a`, but goes before `c`.
    let order = slices(&late_first, &options(1, 10));
    assert_eq!(
        order,
        ["0 0 a 1 run", "4 0 a 1 finish", "4 0 b 1 run", "6 0 b 1 finish", "6 0 c 1 run", "7 0 c 1 finish"]
    );
}

#[test]
fn a_job_that_is_late_is_a_miss_at_its_deadline_and_the_next_ones_keep_their_places() {
    // Needs 5 of the 4 ms it declares: stopped at 4, goes on at 10, and is complete at 11.
    let text = task(
        "t",
        "intent = \"realtime\"\nperiod = \"10ms\"\ndeadline = \"8ms\"\nwcet = \"4ms\"\nloop = [ { run = \"5ms\" } ]",
    );
    assert_eq!(
        schedule(&text, &options(1, 20)),
        [
            "0 0 t 1 release",
            "0 0 t 1 run",
            "4 0 t 1 preempt",
            "8 0 t 1 miss",
            "10 0 t 2 release",
            "10 0 t 1 run",
            "11 0 t 1 finish",
            "11 0 t 2 run",
            "14 0 t 2 preempt",
            "18 0 t 2 miss",
        ]
    );
}

#[test]
fn tasks_move_only_between_slices_that_are_seen() {
    // Three equal tasks on two CPUs take turns; each slice that moves at once is closed by `migrate`.
    let text = task("t", "intent = \"batch\"\ninstances = 3\nloop = [ { run = \"1s\" } ]");
    let lines = slices(&text, &options(2, 2_000));
    let mut open: Vec<Option<String>> = vec![None, None];
    for line in &lines {
        let [_, cpu, task, _, event] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let place = &mut open[cpu.parse::<usize>().unwrap()];
        match event {
            "run" => assert_eq!(place.replace(task.into()), None, "{line}"),
            "preempt" | "block" | "finish" | "migrate" => assert_eq!(place.take().as_deref(), Some(task), "{line}"),
            _ => panic!("{line}"),
        }
    }
    assert_eq!(open, [None, None], "the end closes all");
    assert!(lines.len() > 20);
}

#[test]
fn sleeping_blocks_and_passes_are_jobs() {
    let text = task(
        "t",
        "intent = \"interactive\"\nlatency = \"1ms\"\nrepeat = 2\nloop = [ { run = \"1ms\" }, { sleep = \"2ms\" }, { run = \"3ms\" } ]",
    );
    let options = Options { duration: None, ..options(1, 1) };
    assert_eq!(
        schedule(&text, &options),
        [
            "0 0 t 1 release",
            "0 0 t 1 run",
            "1 0 t 1 block",
            "3 0 t 1 run",
            "6 0 t 1 finish",
            "6 0 t 2 release",
            "6 0 t 2 run",
            "7 0 t 2 block",
            "9 0 t 2 run",
            "12 0 t 2 finish",
        ]
    );
}

#[test]
fn costs_are_paid() {
    let text = task("low", "intent = \"batch\"\nrepeat = 1\nloop = [ { run = \"10ms\" } ]")
        + &task("high", "intent = \"system\"\nrepeat = 1\noffset = \"4ms\"\nloop = [ { run = \"2ms\" } ]");
    let run = |costs| slices(&text, &Options { duration: None, costs, ..options(1, 1) });
    let us = |us| Duration::from_micros(us);
    let free = [
        "0 0 low 1 run",
        "4 0 low 1 preempt",
        "4 0 high 1 run",
        "6 0 high 1 finish",
        "6 0 low 1 run",
        "12 0 low 1 finish",
    ];
    assert_eq!(run(Costs::default()), free);
    // Three switches of 100 us; the slices contain them.
    let switch = run(Costs { switch: us(100), ..Costs::default() });
    assert_eq!(switch[3..], ["6.100 0 high 1 finish", "6.100 0 low 1 run", "12.300 0 low 1 finish"]);
    let preemption = run(Costs { preemption: us(500), ..Costs::default() });
    assert_eq!(preemption[3..], ["6 0 high 1 finish", "6 0 low 1 run", "12.500 0 low 1 finish"]);
    let timer = run(Costs { timer_resolution: us(3_000), ..Costs::default() });
    assert_eq!(timer[1..4], ["6 0 low 1 preempt", "6 0 high 1 run", "8 0 high 1 finish"]);
}

#[test]
fn a_migration_costs_what_it_is_said_to() {
    // From CPU 0 to CPU 1 in each pass and back.
    let text = "[[task]]\nname = \"a\"\nintent = \"batch\"\naffinity = [0]\nrepeat = 1\nloop = [ { run = \"4ms\" } ]\n"
        .to_string()
        + &task("b", "intent = \"batch\"\nrepeat = 1\nloop = [ { run = \"10ms\" } ]")
        + &task(
            "c",
            "intent = \"system\"\naffinity = [1]\nrepeat = 1\noffset = \"6ms\"\nloop = [ { run = \"20ms\" } ]",
        );
    let run = |cost| {
        let costs = Costs { migration: Duration::from_micros(cost), ..Costs::default() };
        slices(&text, &Options { duration: None, costs, ..options(2, 1) })
    };
    let free = run(0);
    assert_eq!(free[..2], ["0 0 a 1 run", "0 1 b 1 run"]);
    assert!(free.contains(&"6 1 b 1 migrate".into()) && free.contains(&"10 0 b 1 finish".into()), "{free:?}");
    assert!(run(700).contains(&"10.700 0 b 1 finish".into()));
}

#[test]
fn the_report_counts_what_the_schedule_shows() {
    let text = periodic("a", 3, 10, 10) + &periodic("b", 4, 20, 20);
    let workload = workload(&text);
    let mut simulation = Simulation::new(&workload, &options(1, 100)).unwrap();
    simulation.run().unwrap();
    let report = simulation.report();
    assert_eq!((report.host.as_str(), report.cpus, report.duration_ns), ("sim", 1, 100 * MS));
    let a = &report.tasks[0];
    assert_eq!((a.jobs, a.deadline_misses, a.cpu_ns, a.preemptions), (10, 0, 30 * MS, 0));
    assert_eq!(a.response_ns.map(|r| (r.min, r.max)), Some((3 * MS, 3 * MS)));
    let b = &report.tasks[1];
    assert_eq!((b.jobs, b.cpu_ns, b.response_ns.map(|r| r.max)), (5, 20 * MS, Some(7 * MS)));
    assert_eq!(report.noise, Default::default());
}
