//! Realtime jobs that arrive at random, and run for times drawn at random.

mod common;

use common::{MS, lines, options, schedule, slices, task, workload};
use dis_sim::study::{Machine, Study};
use dis_sim::{Options, ScheduleEvent, ScheduleKind, Simulation};
use dis_workload::Workload;
use dis_workload::model::Arrivals;

fn sporadic(name: &str, [wcet, deadline, period]: [u64; 3], rest: &str) -> String {
    let times = format!("wcet = \"{wcet}ms\"\ndeadline = \"{deadline}ms\"\nperiod = \"{period}ms\"");
    task(name, &format!("intent = \"realtime\"\n{times}\n{rest}"))
}

#[test]
fn a_job_is_released_when_it_arrives() {
    let text = sporadic("a", [2, 8, 10], "offset = \"1ms\"\ninterarrival = \"15ms\"");
    let expected = [
        "1 0 a 1 release",
        "1 0 a 1 run",
        "3 0 a 1 finish",
        "16 0 a 2 release",
        "16 0 a 2 run",
        "18 0 a 2 finish",
        "31 0 a 3 release",
        "31 0 a 3 run",
        "33 0 a 3 finish",
    ];
    assert_eq!(schedule(&text, &options(1, 40)), expected);
}

#[test]
fn a_job_that_arrives_within_the_period_is_released_at_its_end() {
    let soon = sporadic("a", [2, 8, 10], "interarrival = \"4ms\"");
    let periodic = sporadic("a", [2, 8, 10], "");
    let options = options(1, 200);
    assert_eq!(schedule(&soon, &options), schedule(&periodic, &options));
}

/// What the calendar says, drawn apart from the simulation.
fn releases(workload: &Workload, seed: u64, end: u64) -> Vec<Vec<u64>> {
    let of = |mut arrivals: Arrivals, first: u64| {
        let mut releases = vec![first];
        while arrivals.next(&workload.objects) < end {
            releases.push(arrivals.release());
        }
        releases
    };
    let start = |spec: &dis_workload::model::TaskSpec| spec.offset.as_nanos();
    let one = |one: dis_workload::model::Instance<'_>| {
        let arrivals = Arrivals::of(&one, seed).unwrap().starting(start(one.spec));
        of(arrivals, start(one.spec))
    };
    workload.instances().map(one).collect()
}

fn run(workload: &Workload, options: &Options) -> (Vec<ScheduleEvent>, Vec<u64>) {
    let mut simulation = Simulation::new(workload, options).unwrap();
    simulation.run().unwrap();
    let misses = (0..workload.instances().count()).map(|task| simulation.misses(task)).collect();
    (simulation.take_schedule(), misses)
}

fn at(schedule: &[ScheduleEvent], task: u32, kind: ScheduleKind) -> Vec<u64> {
    schedule.iter().filter(|e| e.task == task && e.kind == kind).map(|e| e.at.as_nanos()).collect()
}

/// Under twice the load that there is room for jobs are late and left out: releases stay where they are, and each deadline that
/// comes before its job has ended is counted, once.
#[test]
fn releases_do_not_depend_on_what_the_scheduler_does() {
    let text =
        sporadic("a", [6, 9, 10], "offset = \"3ms\"\ninterarrival = { uniform = [\"2ms\", \"25ms\"] }\ninstances = 3");
    let workload = workload(&text);
    let options = Options { admission: false, seed: 5, ..options(1, 3_000) };
    let (schedule, misses) = run(&workload, &options);
    let expected = releases(&workload, 5, 3_000 * MS);
    for task in 0..3 {
        let expected = &expected[task as usize];
        assert!(expected.windows(2).all(|pair| pair[1] - pair[0] >= 10 * MS));
        assert_eq!(&at(&schedule, task, ScheduleKind::Release), expected);
        assert_eq!(at(&schedule, task, ScheduleKind::Miss).len() as u64, misses[task as usize]);
        let done = at(&schedule, task, ScheduleKind::Finish).len();
        assert!(done < expected.len(), "some are left out");
        // The slices of a job lie behind its release.
        for event in schedule.iter().filter(|e| e.task == task && e.kind == ScheduleKind::Run) {
            assert!(event.at.as_nanos() >= expected[event.job as usize - 1]);
        }
    }
    assert!(misses.iter().sum::<u64>() > 100 && expected[0] != expected[1]);
}

#[test]
fn a_seed_determines_arrivals_and_what_a_task_draws_in_its_body_does_not_change_them() {
    let arrivals = "interarrival = { normal = [\"15ms\", \"4ms\"] }\n";
    let text = |body: &str| sporadic("a", [3, 10, 10], &format!("{arrivals}{body}"));
    let releases = |text: &str, seed| {
        let (schedule, _) = run(&workload(text), &Options { seed, ..options(1, 500) });
        at(&schedule, 0, ScheduleKind::Release)
    };
    let (fixed, drawn) = (text(""), text("loop = [ { run = { uniform = [\"1us\", \"3ms\"] } } ]"));
    assert_eq!(releases(&fixed, 1), releases(&drawn, 1));
    assert_ne!(releases(&fixed, 1), releases(&fixed, 2));
    assert_eq!(schedule(&drawn, &options(1, 500)), schedule(&drawn, &options(1, 500)));
}

/// Without locks, caps and admission the core on one CPU is EDF, whatever arrives when.
#[test]
fn the_schedule_is_that_of_edf() {
    let text: String = [
        ([2, 9, 10], "uniform", "[\"5ms\", \"30ms\"]"),
        ([3, 14, 15], "normal", "[\"20ms\", \"5ms\"]"),
        ([7, 30, 31], "uniform", "[\"31ms\", \"62ms\"]"),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, (times, kind, pair))| {
        sporadic(&format!("t{number}"), times, &format!("interarrival = {{ {kind} = {pair} }}"))
    })
    .collect();
    let workload = workload(&text);
    for seed in 0..20 {
        let options = Options { seed, ..options(1, 1_000) };
        let (core, _) = run(&workload, &options);
        let mut study = Simulation::with_kernel(&workload, &options, Machine::new(Study::GlobalEdf, 1)).unwrap();
        study.run().unwrap();
        assert_eq!(lines(&workload, &core), lines(&workload, &study.take_schedule()), "seed {seed}");
        assert_eq!(study.all_misses(), 0);
    }
}

/// How long each job ran, ms, and how often the task was stopped.
fn jobs(rest: &str) -> (Vec<u64>, u64, u64) {
    let text = sporadic("a", [3, 10, 10], rest) + &sporadic("b", [6, 10, 10], "");
    let workload = workload(&text);
    let mut simulation = Simulation::new(&workload, &options(1, 1_000)).unwrap();
    simulation.run().unwrap();
    let report = simulation.report();
    let (schedule, mut since, mut ran) = (simulation.take_schedule(), 0, vec![0; 101]);
    for event in schedule.iter().filter(|event| event.task == 0) {
        match event.kind {
            ScheduleKind::Run => since = event.at.as_nanos(),
            ScheduleKind::Preempt | ScheduleKind::Finish => ran[event.job as usize - 1] += event.at.as_nanos() - since,
            _ => {}
        }
    }
    (ran, report.tasks[0].overruns, simulation.misses(1))
}

#[test]
fn drawn_run_times_stop_at_the_wcet_unless_the_task_says_otherwise() {
    let body = "loop = [ { run = \"1ms\" }, { run = { uniform = [\"0s\", \"5ms\"] } } ]";
    let (ran, overruns, misses) = jobs(body);
    assert!(ran.iter().all(|&ran| ran <= 3 * MS) && ran.iter().filter(|&&ran| ran == 3 * MS).count() > 40, "{ran:?}");
    assert!(ran.iter().any(|&ran| ran < 2 * MS));
    assert_eq!((overruns, misses), (0, 0));
    // Stopped when its budget is used up: it is late itself, its neighbour, which needs most of the rest of the CPU, is not.
    let (ran, overruns, misses) = jobs(&format!("overrun = true\n{body}"));
    assert!(ran.iter().any(|&ran| ran > 3 * MS), "{ran:?}");
    assert!(overruns > 40, "{overruns}");
    assert_eq!(misses, 0);
}

/// Three tasks of 60 % on two CPUs, one of them in two pieces: later arrivals make it no worse.
#[test]
fn a_split_task_may_be_sporadic() {
    let text = sporadic("a", [6, 10, 10], "instances = 3\ninterarrival = { uniform = [\"6ms\", \"14ms\"] }");
    for seed in 0..10 {
        let workload = workload(&text);
        let (schedule, misses) = run(&workload, &Options { seed, ..options(2, 2_000) });
        assert_eq!(misses, [0; 3], "seed {seed}");
        assert!(schedule.iter().any(|event| event.kind == ScheduleKind::Migrate));
    }
    assert!(slices(&text, &options(2, 20)).len() > 6);
}
