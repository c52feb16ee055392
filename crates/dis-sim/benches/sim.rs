//! How fast the simulator is: calls of the core a second, on one core of this machine.
//!
//! `cargo bench -p dis-sim --bench sim`: 1,000 tasks on 8 CPUs, the median of so many runs as fit into some seconds.

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
    let mut rates = Vec::new();
    let (mut events, mut jobs) = (0, 0);
    for _ in 0..RUNS {
        let mut simulation = Simulation::new(workload, &options).expect("admitted");
        let start = Instant::now();
        simulation.run().expect("runs");
        let elapsed = start.elapsed().as_secs_f64();
        events = simulation.events();
        jobs = (0..TASKS as usize).map(|task| simulation.jobs(task)).sum();
        rates.push(events as f64 / elapsed / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    let (median, best) = (rates[RUNS / 2], rates[RUNS - 1]);
    println!(
        "  {name:<10} {median:6.2} ({best:.2}) million events/s   {events} events, {jobs} jobs in {seconds} s of virtual time"
    );
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
