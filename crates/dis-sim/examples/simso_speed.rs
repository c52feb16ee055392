//! How fast the simulator is beside SimSo on the same task sets.
//!
//! ```text
//! target/simso/venv/bin/python crates/dis-sim/tests/oracle/simso_oracle.py speed > target/simso/speed.jsonl
//! cargo run --release -p dis-sim --example simso_speed -- target/simso/speed.jsonl
//! ```
//!
//! Each line of the file has a set and the seconds that SimSo took for it. Both make the whole schedule, with every slice, from
//! tasks that are in memory.

use std::time::Instant;

use dis_core::api::Duration;
use dis_sim::study::{Machine, Study};
use dis_sim::{Options, Simulation};
use dis_workload::Workload;
use serde_json::Value;

const ROUNDS: usize = 5;

fn main() -> Result<(), String> {
    let path =
        std::env::args().nth(1).ok_or("usage: simso_speed FILE, as the comment at the top of this example says")?;
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    println!(
        "{:12} {:>4} {:>6} {:>8} {:>10} {:>12} {:>8}",
        "policy", "CPUs", "tasks", "jobs", "SimSo", "dis-sim", "ratio"
    );
    for (number, line) in (1..).zip(text.lines()) {
        let set: Value = serde_json::from_str(line).map_err(|error| format!("{path}:{number}: {error}"))?;
        compare(&set).ok_or_else(|| format!("{path}:{number}: not a line that the script writes"))?;
    }
    Ok(())
}

fn compare(set: &Value) -> Option<()> {
    let (policy, seconds) = (set["policy"].as_str()?, set["seconds"].as_f64()?);
    let (cpus, end) = (set["cpus"].as_u64()? as usize, set["end"].as_u64()?);
    let tasks = set["tasks"].as_array()?;
    let mut text = String::new();
    for (number, task) in tasks.iter().enumerate() {
        let [wcet, deadline, period] = [0, 1, 2].map(|i| task[i].as_u64());
        text += &format!("[[task]]\nname = \"t{number}\"\nintent = \"realtime\"\nwcet = \"{}ms\"\n", wcet?);
        text += &format!("deadline = \"{}ms\"\nperiod = \"{}ms\"\n", deadline?, period?);
    }
    let workload = Workload::from_toml(&text, "set").ok()?;
    let mut options = Options { schedule: true, ..Options::new(cpus, Duration::from_millis(end)) };
    options.limits.realtime = 1_000;
    let (mut best, mut jobs) = (f64::MAX, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        jobs = if policy == "edf" {
            finish(Simulation::new(&workload, &options).ok()?, tasks.len())?
        } else {
            let machine = Machine::new(Study::GlobalEdf, cpus);
            finish(Simulation::with_kernel(&workload, &options, machine).ok()?, tasks.len())?
        };
        best = best.min(start.elapsed().as_secs_f64());
    }
    let ratio = seconds / best;
    println!(
        "{policy:12} {cpus:>4} {:>6} {jobs:>8} {seconds:>8.3} s {:>9.3} ms {ratio:>7.0}x",
        tasks.len(),
        best * 1e3
    );
    Some(())
}

/// Runs it, and answers how many jobs were finished.
fn finish<K: dis_sim::Kernel>(mut simulation: Simulation<'_, K>, tasks: usize) -> Option<u64> {
    simulation.run().ok()?;
    assert!(!simulation.take_schedule().is_empty());
    Some((0..tasks).map(|task| simulation.jobs(task)).sum())
}
