//! Soundness by experiment: what admission accepts misses nothing under the worst that it assumes, and what the exact test of
//! one CPU rejects does miss. The verdict is that of the book that `dis check` asks (`dis_core::admission::Admission`), task by task; that
//! the scheduler of the simulation agrees with it is checked for every set.
//!
//! `DIS_SETS=n` sets how many sets each test is to accept, `DIS_FIRST=n` with which set it begins. The full run is in
//! `docs/evidence.md`.

mod common;

use common::{periodic_us, task, workload};
use dis_core::admission::{Admission, Request, SporadicTask, Supply, TaskSet, Verdict, edf};
use dis_core::api::{CpuMask, Duration, TaskId};
use dis_core::executor::Executor;
use dis_core::optimizer::Limits;
use dis_core::scheduler::Config;
use dis_sim::generate::{CPU_PPB, Generator, Periods, Recipe, Shares, seed_of};
use dis_sim::{Lock, Options, SimError, Simulation};
use dis_workload::Workload;

const SEED: u64 = 20_261_128;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Who else wants the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Nobody,
    /// A Batch hog and a Background hog on each CPU, which take what the cap leaves them.
    Low,
    /// Moreover a System hog on each CPU, which takes all that it may, from the instant of the release on.
    All,
    /// Moreover the Batch hogs have reservations: a tenth of each window.
    Reserved,
}

/// A family of task sets.
#[derive(Debug, Clone, Copy)]
struct Family {
    cpus: usize,
    /// Tasks a CPU, at least and at most.
    tasks: (usize, usize),
    /// Utilisation of a CPU, per cent.
    utilisation: (u64, u64),
    periods: Periods,
    deadline_ratio: (f64, f64),
}

const IMPLICIT: (f64, f64) = (1.0, 1.0);
const CONSTRAINED: (f64, f64) = (0.3, 1.0);
const LOG: Periods = Periods::LogUniform { min: Duration::from_millis(1), max: Duration::from_millis(100) };

/// Set number `index` of a family.
fn draw(family: &Family, index: u32) -> Vec<SporadicTask> {
    let mut random = seed_of(SEED, family.cpus as u64, index);
    let mut within = |(least, most): (u64, u64)| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (random >> 33) % (most - least + 1)
    };
    let tasks = within((family.tasks.0 as u64, family.tasks.1 as u64)) as usize * family.cpus;
    let utilisation = within((family.utilisation.0 * 10, family.utilisation.1 * 10));
    let recipe = Recipe {
        tasks,
        utilisation_ppb: utilisation * family.cpus as u64 * CPU_PPB / 1_000,
        shares: Shares::FixedSum,
        periods: family.periods,
        deadline_ratio: family.deadline_ratio,
    };
    Generator::new(recipe).expect("a recipe").task_set(random).expect("a set").tasks
}

/// The set and the others as a workload: all first releases at `release`.
fn text(tasks: &[SporadicTask], others: Others, cpus: usize, release: Duration) -> String {
    let us = |time: Duration| time.as_nanos() / 1_000;
    let offset = format!("offset = \"{}us\"\n", us(release));
    let mut text: String = tasks
        .iter()
        .enumerate()
        .map(|(number, t)| periodic_us(&format!("t{number}"), us(t.wcet), us(t.deadline), us(t.period)) + &offset)
        .collect();
    let mut hog = |intent: &str, cpu: usize, more: &str| {
        let rest = format!("intent = \"{intent}\"\naffinity = [{cpu}]\n{more}loop = [ {{ run = \"1000s\" }} ]");
        text += &task(&format!("{intent}{cpu}"), &rest);
    };
    for cpu in 0..cpus {
        if others != Others::Nobody {
            hog("batch", cpu, if others == Others::Reserved { "cpu_min = \"10%\"\n" } else { "" });
            hog("background", cpu, "");
        }
        if matches!(others, Others::All | Others::Reserved) {
            hog("system", cpu, &offset);
        }
    }
    text
}

/// Sets whose overload may come later than that are left out.
const MOST: Duration = Duration::from_secs(20);

/// Simulates until the duration is over, and answers how many deadlines were missed and how many budgets overrun.
fn simulate(workload: &Workload, options: &Options, admission: bool) -> Result<Outcome, SimError> {
    let config = Config { limits: options.limits, admission, ..Config::new(options.cpus) };
    let executor = Executor::<u32, Lock>::new(config).expect("a valid configuration");
    let mut simulation = Simulation::with_kernel(workload, options, executor)?;
    simulation.run()?;
    let misses = (0..workload.instances().count()).map(|task| simulation.misses(task)).sum();
    Ok(Outcome { misses, events: simulation.events() })
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    misses: u64,
    events: u64,
}

/// How long to look: the longest period some times over.
fn horizon(tasks: &[SporadicTask], release: Duration) -> Duration {
    let longest = tasks.iter().map(|task| task.period).max().unwrap_or(Duration::ZERO);
    release + longest.mul_div(4, 1)
}

/// How long a CPU of its own is busy when all are released at once: with synchronous releases, who is late at all is late by then.
/// `None`: longer than [`MOST`].
fn busy_period(tasks: &[SporadicTask]) -> Option<Duration> {
    let mut busy: u64 = tasks.iter().map(|task| task.wcet.as_nanos()).sum();
    while busy <= MOST.as_nanos() {
        let work = tasks.iter().map(|task| busy.div_ceil(task.period.as_nanos()) * task.wcet.as_nanos()).sum();
        if work == busy {
            return Some(Duration::from_nanos(busy));
        }
        busy = work;
    }
    None
}

/// When all tasks are released: for System at its worst, at the end of a window, so that it has the part that it may use of
/// this one and that of the next without a pause; else anywhere.
fn release(book: &mut Admission, limits: Limits, index: u32) -> Duration {
    let window = limits.window;
    if index % 2 == 1 {
        return Duration::from_micros(u64::from(index) * 7_919 % 10_000);
    }
    let system = window.mul_div(book.system_share(0).into(), 1_000);
    Duration::from_nanos(window.as_nanos() - system.as_nanos())
}

#[derive(Debug, Default)]
struct Count {
    accepted: u64,
    /// Of these, sets with split tasks.
    split: u64,
    refused: u64,
    events: u64,
    /// Sets rejected by the exact test on a whole CPU, all of which miss; and those it accepts, none of which does.
    overloads: u64,
    exact: u64,
    /// Sets whose overload may come later than [`MOST`], or whose busy period is longer: not simulated.
    left_out: u64,
}

/// One set: first on the CPUs as the product shares them, then, if it is one CPU, on a whole CPU without admission.
fn check(family: &Family, index: u32, count: &mut Count) {
    let mut tasks = draw(family, index);
    // First-fit decreasing.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.wcet.as_nanos() * 1_000_000 / task.period.as_nanos()));
    let others = [Others::Nobody, Others::Low, Others::All, Others::Reserved][index as usize % 4];
    let limits = Limits::default();
    let mut book = Admission::new(family.cpus, limits);
    let mut admit = |(number, &task)| book.admit(TaskId(number as u64 + 1), Request::realtime(task)).is_ok();
    let mut known = tasks.iter().enumerate().all(&mut admit);
    for cpu in (0..family.cpus).filter(|_| others == Others::Reserved) {
        let request = Request::reservation(100, limits.window).on(CpuMask::single(cpu));
        known = known && book.admit(TaskId(1_000 + cpu as u64), request).is_ok();
    }
    let release = release(&mut book, limits, index / 4);
    let options = Options { limits, ..Options::new(family.cpus, horizon(&tasks, release)) };
    let text = text(&tasks, others, family.cpus, release);
    match simulate(&workload(&text), &options, true) {
        Ok(outcome) => {
            assert!(known, "rejected by the book and spawned: {family:?} {index} {others:?}\n{text}");
            assert_eq!(outcome.misses, 0, "accepted and missed: {family:?} {index} {others:?}\n{text}");
            count.accepted += 1;
            count.split += u64::from(book.split_count() > 0);
            count.events += outcome.events;
            count.events += sporadic(&text, &options, index);
        }
        Err(SimError::Refused { .. }) => {
            assert!(!known, "accepted by the book and refused: {family:?} {index} {others:?}\n{text}");
            count.refused += 1;
        }
        Err(error) => panic!("{error}\n{text}"),
    }
    if family.cpus == 1 {
        exact(&tasks, family, index, count);
    }
}

/// The same set with jobs that arrive at random, in part sooner than the least separation, does not miss either.
fn sporadic(text: &str, options: &Options, index: u32) -> u64 {
    let with_arrivals = |line: &str| match line.strip_prefix("period = \"").and_then(|rest| rest.strip_suffix("us\"")) {
        None => format!("{line}\n"),
        Some(period) => {
            let period: u64 = period.parse().expect("a number");
            let [low, high] = [period / 2, period * 2].map(|us| us + u64::from(index % 3));
            format!("{line}\ninterarrival = {{ uniform = [\"{low}us\", \"{high}us\"] }}\n")
        }
    };
    let text: String = text.lines().map(with_arrivals).collect();
    let outcome = simulate(&workload(&text), &Options { seed: u64::from(index), ..options.clone() }, true);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(outcome.misses, 0, "accepted and missed with seed {index}:\n{text}");
    outcome.events
}

/// On a whole CPU the test is exact: rejected sets miss a deadline within the interval that it names, others none.
fn exact(tasks: &[SporadicTask], family: &Family, index: u32, count: &mut Count) {
    let verdict = edf::test(&TaskSet::new(tasks, Supply::dedicated()));
    let duration = match verdict {
        Verdict::Schedulable => match busy_period(tasks) {
            Some(busy) => busy.max(horizon(tasks, Duration::ZERO)),
            None => return count.left_out += 1,
        },
        Verdict::Overload(overload) => overload.interval,
        // The demand exceeds U · t - Σ Ui · Di, hence t when t > Σ Ui · Di / (U - 1).
        Verdict::Overutilised { .. } => {
            let share = |task: &SporadicTask| task.wcet.as_nanos() as f64 / task.period.as_nanos() as f64;
            let excess = tasks.iter().map(share).sum::<f64>() - 1.0;
            let backlog = tasks.iter().map(|task| share(task) * task.deadline.as_nanos() as f64).sum::<f64>();
            match Duration::from_nanos((backlog / excess) as u64 + 1) {
                bound if bound <= MOST => bound,
                _ => return count.left_out += 1,
            }
        }
        Verdict::Undecided(_) => return count.left_out += 1,
    };
    let mut options = Options::new(1, duration);
    options.limits.realtime = 1_000;
    let text = text(tasks, Others::Nobody, 1, Duration::ZERO);
    let outcome = simulate(&workload(&text), &options, false).unwrap();
    assert_eq!(outcome.misses == 0, verdict.is_schedulable(), "{verdict}: {family:?} {index}\n{text}");
    count.events += outcome.events;
    *if verdict.is_schedulable() { &mut count.exact } else { &mut count.overloads } += 1;
}

/// Goes through sets until enough are accepted.
fn experiment(family: Family) {
    let sets = number("DIS_SETS", if cfg!(debug_assertions) { 150 } else { 2_000 });
    let first = number("DIS_FIRST", 0) as u32;
    let mut count = Count::default();
    for index in first.. {
        check(&family, index, &mut count);
        if count.accepted >= sets {
            break;
        }
    }
    println!("{family:?}\n{count:?}");
}

#[test]
fn one_cpu_implicit_deadlines() {
    experiment(Family { cpus: 1, tasks: (2, 10), utilisation: (50, 103), periods: LOG, deadline_ratio: IMPLICIT });
}

#[test]
fn one_cpu_constrained_deadlines() {
    experiment(Family { cpus: 1, tasks: (2, 10), utilisation: (40, 100), periods: LOG, deadline_ratio: CONSTRAINED });
}

#[test]
fn one_cpu_automotive_periods() {
    let periods = Periods::Automotive;
    experiment(Family { cpus: 1, tasks: (3, 12), utilisation: (40, 102), periods, deadline_ratio: CONSTRAINED });
}

#[test]
fn two_cpus_few_tasks() {
    experiment(Family { cpus: 2, tasks: (2, 3), utilisation: (75, 98), periods: LOG, deadline_ratio: IMPLICIT });
}

#[test]
fn three_cpus_constrained_deadlines() {
    experiment(Family { cpus: 3, tasks: (2, 5), utilisation: (50, 95), periods: LOG, deadline_ratio: CONSTRAINED });
}

#[test]
fn four_cpus_few_tasks() {
    experiment(Family { cpus: 4, tasks: (2, 3), utilisation: (75, 97), periods: LOG, deadline_ratio: IMPLICIT });
}

#[test]
fn eight_cpus() {
    experiment(Family { cpus: 8, tasks: (2, 4), utilisation: (70, 96), periods: LOG, deadline_ratio: IMPLICIT });
}
