//! How fast the simulator is on one core of this machine.
//!
//! `cargo bench -p dis-sim --bench sim [NAME]`: 1,000 tasks on 8 CPUs, medians. *Scheduling events* are the events of the
//! schedule as `dis sim --schedule` writes it (a release, the begin or the end of a slice), which is what simulators of
//! real-time systems count; *calls* are calls of the core, each of which brings about several of them. The events are counted
//! in a run of its own; the runs that are timed record nothing but the report.

use std::time::Instant;

use dis_core::api::Duration;
use dis_core::intent::Intent;
use dis_sim::{Options, Simulation};
use dis_workload::Workload;
use dis_workload::model::{Step, TaskSpec};

const CPUS: usize = 8;
const TASKS: u64 = 1_000;
const RUNS: usize = 9;

fn main() {
    println!("{TASKS} tasks on {CPUS} CPUs, medians of {RUNS} runs (and the fastest)");
    let only = std::env::args().nth(1).unwrap_or_default();
    for (name, workload, seconds) in [("periodic", periodic(), 10), ("mixed", mixed(), 10)] {
        if only.is_empty() || only.starts_with('-') || only == name {
            measure(name, &workload, seconds);
        }
    }
}

/// Simulates so many seconds.
fn measure(name: &str, workload: &Workload, seconds: u64) {
    let options = Options::new(CPUS, Duration::from_secs(seconds));
    let events = scheduling_events(workload, &options);
    let mut times = Vec::new();
    let (mut calls, mut jobs) = (0, 0);
    for _ in 0..RUNS {
        let mut simulation = Simulation::new(workload, &options).expect("admitted");
        let start = Instant::now();
        simulation.run().expect("runs");
        times.push(start.elapsed().as_secs_f64());
        calls = simulation.events();
        jobs = (0..TASKS as usize).map(|task| simulation.jobs(task)).sum();
    }
    times.sort_by(f64::total_cmp);
    let rate = |count: u64, time: f64| count as f64 / time / 1e6;
    let (median, best) = (times[RUNS / 2], times[0]);
    println!(
        "  {name:<9} {:5.2} ({:.2}) million scheduling events/s, {:5.2} million calls/s; {events} events, {calls} calls, \
         {jobs} jobs in {seconds} s of virtual time",
        rate(events, median),
        rate(events, best),
        rate(calls, median),
    );
}

/// Events of the schedule.
fn scheduling_events(workload: &Workload, options: &Options) -> u64 {
    let options = Options { schedule: true, ..options.clone() };
    let mut simulation = Simulation::new(workload, &options).expect("admitted");
    simulation.run().expect("runs");
    simulation.take_schedule().len() as u64
}

fn workload(tasks: Vec<TaskSpec>) -> Workload {
    Workload { tasks, ..Workload::default() }
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Realtime tasks with periods of 5 to 54 ms; each uses 0.7 % of a CPU, so 88 % of the machine is used.
fn periodic() -> Workload {
    let task = |n: u64| {
        let period = 5_000 + n * 7_919 % 49_000;
        let wcet = period * 7 / 1_000;
        TaskSpec::new(format!("t{n}"), Intent::realtime(period, period, wcet), vec![Step::Run(us(wcet))])
    };
    workload((0..TASKS).map(task).collect())
}

/// A tenth Realtime, four tenths Interactive, four tenths Batch that sleep, a tenth Background.
fn mixed() -> Workload {
    let task = |n: u64| {
        let spread = n * 7_919 % 9_000;
        let sleeps = |run, sleep| vec![Step::Run(us(run)), Step::Sleep(us(sleep + spread))];
        let (intent, steps) = match n % 10 {
            0 => (Intent::realtime(20_000, 20_000, 500), vec![Step::Run(us(400))]),
            1..5 => (Intent::interactive(2_000), sleeps(60, 5_000)),
            5..9 => (Intent::batch(), sleeps(150, 40_000)),
            _ => (Intent::background(), sleeps(1_000, 100_000)),
        };
        TaskSpec::new(format!("t{n}"), intent, steps)
    };
    workload((0..TASKS).map(task).collect())
}
