//! Differential test: the schedules of SimSo, an independent simulator, for random integer task sets.
//!
//! `oracle/simso_oracle.py` makes them; `oracle/simso.jsonl` holds what it wrote. `DIS_SIMSO=FILE` takes another file, such
//! as one that SimSo has just written (`cargo xtask test --only simso`).

mod common;

use common::{MS, options, task, workload};
use dis_core::admission::{SporadicTask, Supply, TaskSet, edf};
use dis_core::api::Duration;
use dis_core::executor::Executor;
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use dis_sim::study::{Machine, Study};
use dis_sim::{Lock, ScheduleEvent, ScheduleKind, SimError, Simulation};
use serde_json::Value;

/// Task, job, from, to, CPU; in ticks.
type Slice = [u64; 5];

/// Who makes our schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// The core, with admission.
    Admitted,
    /// The core without.
    Core,
    /// The machine of the policies for study, which admits everything. On one CPU, global EDF is EDF.
    Study,
}

/// A task set and SimSo's schedule of it.
#[derive(Debug)]
struct Case {
    policy: String,
    cpus: usize,
    /// wcet, deadline, period, offset.
    tasks: Vec<[u64; 4]>,
    /// What is simulated.
    end: u64,
    /// The first deadline missed.
    miss: Option<u64>,
    /// The first instant at which two jobs of equal rank wanted a CPU.
    tie: Option<u64>,
    slices: Vec<Slice>,
}

impl Case {
    fn parse(line: &str) -> Case {
        let value: Value = serde_json::from_str(line).expect("a line of JSON");
        let number = |value: &Value| value.as_u64().expect("a whole number");
        let rows = |name: &str| value[name].as_array().expect("a list").iter();
        let row = |row: &Value| row.as_array().expect("a list").iter().map(number).collect::<Vec<_>>();
        Case {
            policy: value["policy"].as_str().expect("a name").to_owned(),
            cpus: number(&value["cpus"]) as usize,
            tasks: rows("tasks").map(|task| row(task).try_into().expect("four numbers")).collect(),
            end: number(&value["end"]),
            miss: value["miss"].as_u64(),
            tie: value["tie"].as_u64(),
            slices: rows("slices").map(|slice| row(slice).try_into().expect("five numbers")).collect(),
        }
    }

    /// A tick is a millisecond.
    fn text(&self) -> String {
        let tasks = self.tasks.iter().enumerate().map(|(number, &[wcet, deadline, period, offset])| {
            let times = format!("wcet = \"{wcet}ms\"\ndeadline = \"{deadline}ms\"\nperiod = \"{period}ms\"");
            let rank = format!("offset = \"{offset}ms\"\npriority = {period}");
            task(&format!("t{number}"), &format!("intent = \"realtime\"\n{times}\n{rank}"))
        });
        tasks.collect()
    }

    /// Our schedule, or `None` if the set is not admitted.
    fn simulate(&self, host: Host) -> Option<Vec<Slice>> {
        let workload = workload(&self.text());
        let options = options(self.cpus, self.end);
        if host == Host::Study {
            let study = if self.policy == "rm" { Study::Rm } else { Study::GlobalEdf };
            let machine = Machine::new(study, self.cpus);
            let mut simulation = Simulation::with_kernel(&workload, &options, machine).unwrap();
            simulation.run().unwrap();
            return Some(slices(&simulation.take_schedule()));
        }
        let mut modules = SchedulerRegistry::with_builtins();
        if self.policy == "rm" {
            modules.set_active(QueueType::Realtime, "priority").expect("a built-in policy");
        }
        let config = Config { limits: options.limits, admission: host == Host::Admitted, ..Config::new(options.cpus) };
        let executor = Executor::<u32, Lock>::with_modules(config, &modules).expect("a valid configuration");
        let mut simulation = match Simulation::with_kernel(&workload, &options, executor) {
            Ok(simulation) => simulation,
            Err(SimError::Refused { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        simulation.run().unwrap();
        Some(slices(&simulation.take_schedule()))
    }

    /// Slices up to `end`, sorted.
    fn until(slices: &[Slice], end: u64) -> Vec<Slice> {
        let cut = |&[task, job, from, to, cpu]: &Slice| (from < end).then(|| [task, job, from, to.min(end), cpu]);
        let mut slices: Vec<Slice> = slices.iter().filter_map(cut).collect();
        slices.sort_unstable();
        slices
    }
}

fn slices(events: &[ScheduleEvent]) -> Vec<Slice> {
    let mut open: Vec<Option<(u64, u64, u64)>> = vec![None; 256];
    let mut slices = Vec::new();
    for event in events {
        let (at, task) = (event.at.as_nanos(), u64::from(event.task));
        assert_eq!(at % MS, 0, "whole ticks in, whole ticks out");
        match event.kind {
            ScheduleKind::Run => open[event.cpu] = Some((task, event.job, at / MS)),
            ScheduleKind::Release | ScheduleKind::Miss => {}
            _ => {
                if let Some((task, job, from)) = open[event.cpu].take() {
                    slices.push([task, job, from, at / MS, event.cpu as u64]);
                }
            }
        }
    }
    slices
}

fn cases() -> Vec<Case> {
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/simso.jsonl");
    let path = std::env::var("DIS_SIMSO").unwrap_or_else(|_| stored.to_owned());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(Case::parse).collect()
}

/// What came of comparing.
#[derive(Debug, Default)]
struct Count {
    sets: usize,
    slices: usize,
    refused: usize,
    /// Sets in which jobs of equal rank wanted a CPU, the same all the same.
    ties: usize,
    /// Sets that differ from such an instant on.
    differ: usize,
}

fn compare(policy: &str, cpus: usize, host: Host) -> Count {
    let mut count = Count::default();
    for case in cases().iter().filter(|case| case.policy == policy && case.cpus == cpus) {
        count.sets += 1;
        let Some(ours) = case.simulate(host) else {
            count.refused += 1;
            continue;
        };
        // What becomes of jobs that are late is another question.
        let end = case.miss.unwrap_or(case.end);
        let (ours, theirs) = (Case::until(&ours, end), Case::until(&case.slices, end));
        count.slices += theirs.len();
        count.ties += usize::from(case.tie.is_some_and(|tie| tie < end));
        if ours == theirs {
            continue;
        }
        let first = ours.iter().filter(|slice| !theirs.contains(slice)).map(|slice| slice[2]).min();
        assert!(case.tie.is_some_and(|tie| first.is_some_and(|first| tie <= first)), "{case:?}\n{ours:?}");
        count.differ += 1;
    }
    println!("{policy} on {cpus}, {host:?}: {count:?}");
    count
}

#[test]
fn edf() {
    let count = compare("edf", 1, Host::Admitted);
    assert!(count.refused < count.sets / 2, "{count:?}");
    assert_eq!(count.differ, 0, "equal deadlines are served in the same order");
    for host in [Host::Core, Host::Study] {
        let count = compare("edf", 1, host);
        assert!(count.sets > 20 && count.ties > 10, "{count:?}");
        assert_eq!((count.refused, count.differ), (0, 0));
    }
}

#[test]
fn rate_monotonic() {
    for host in [Host::Core, Host::Study] {
        let count = compare("rm", 1, host);
        assert!(count.sets > 20, "{count:?}");
        assert_eq!((count.refused, count.ties, count.differ), (0, 0, 0), "no two periods are equal");
    }
}

/// Several CPUs that share a queue: CPU for CPU the same, ties and all.
#[test]
fn global_edf() {
    for cpus in [2, 4] {
        let count = compare("global-edf", cpus, Host::Study);
        assert!(count.sets > 20 && count.ties > 10, "{count:?}");
        assert_eq!((count.refused, count.differ), (0, 0), "equal deadlines are served in the same order");
    }
}

/// SimSo's first miss within the hyperperiod against our verdict: exact where all first releases fall together.
#[test]
fn edf_verdicts() {
    let ticks = |ticks: u64| Duration::from_millis(ticks);
    let (mut accepted, mut rejected) = (0, 0);
    for case in cases().iter().filter(|case| case.policy == "edf") {
        let tasks: Vec<SporadicTask> =
            case.tasks.iter().map(|&[c, d, t, _]| SporadicTask::new(ticks(c), ticks(d), ticks(t))).collect();
        let verdict = edf::test(&TaskSet::new(&tasks, Supply::dedicated()));
        let synchronous = case.tasks.iter().all(|task| task[3] == 0);
        assert!(case.miss.is_none() || !verdict.is_schedulable(), "{case:?}: {verdict}");
        if synchronous {
            assert_eq!(case.miss.is_none(), verdict.is_schedulable(), "{case:?}: {verdict}");
        }
        *if verdict.is_schedulable() { &mut accepted } else { &mut rejected } += 1;
    }
    println!("{accepted} accepted, {rejected} rejected");
    assert!(accepted > 20 && rejected > 5);
}
