//! Workloads as text, schedules as text.
#![allow(dead_code, reason = "each test file uses its own part")]

use dis_core::api::Duration;
use dis_sim::{Options, ScheduleEvent, SimError, Simulation};
use dis_workload::Workload;

pub const MS: u64 = 1_000_000;

pub fn workload(text: &str) -> Workload {
    Workload::from_toml(text, "test.toml").unwrap()
}

/// A task of the file.
pub fn task(name: &str, rest: &str) -> String {
    format!("[[task]]\nname = \"{name}\"\n{rest}\n")
}

/// A periodic task: deadline, period and wcet in ms.
pub fn periodic(name: &str, wcet: u64, deadline: u64, period: u64) -> String {
    let times = format!("wcet = \"{wcet}ms\"\ndeadline = \"{deadline}ms\"\nperiod = \"{period}ms\"");
    task(name, &format!("intent = \"realtime\"\n{times}"))
}

/// So many CPUs for so many ms, Realtime may have all of them, the schedule is recorded.
pub fn options(cpus: usize, ms: u64) -> Options {
    let mut options = Options { schedule: true, ..Options::new(cpus, Duration::from_millis(ms)) };
    options.limits.realtime = 1_000;
    options
}

/// The schedule, one event a line: `time cpu task job event`, in ms.
pub fn schedule(text: &str, options: &Options) -> Vec<String> {
    let workload = workload(text);
    let mut simulation = Simulation::new(&workload, options).unwrap();
    simulation.run().unwrap();
    lines(&workload, &simulation.take_schedule())
}

pub fn lines(workload: &Workload, events: &[ScheduleEvent]) -> Vec<String> {
    let names: Vec<String> = workload.instances().map(|instance| instance.name()).collect();
    let line = |event: &ScheduleEvent| {
        let ns = event.at.as_nanos();
        let time = if ns.is_multiple_of(MS) { format!("{}", ns / MS) } else { format!("{:.3}", ns as f64 / 1e6) };
        format!("{time} {} {} {} {}", event.cpu, names[event.task as usize], event.job, event.kind.name())
    };
    events.iter().map(line).collect()
}

/// Only the slices and their ends.
pub fn slices(text: &str, options: &Options) -> Vec<String> {
    let mut lines = schedule(text, options);
    lines.retain(|line| !line.ends_with("release"));
    lines
}

/// What goes wrong.
pub fn failure(text: &str, options: &Options) -> SimError {
    let workload = workload(text);
    match Simulation::new(&workload, options) {
        Ok(mut simulation) => simulation.run().unwrap_err(),
        Err(error) => error,
    }
}

/// The same in µs.
pub fn periodic_us(name: &str, wcet: u64, deadline: u64, period: u64) -> String {
    let times = format!("wcet = \"{wcet}us\"\ndeadline = \"{deadline}us\"\nperiod = \"{period}us\"");
    task(name, &format!("intent = \"realtime\"\n{times}\n"))
}

/// Numbers that follow from a seed: Knuth's generator (MMIX), whose upper bits are the good ones.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}
