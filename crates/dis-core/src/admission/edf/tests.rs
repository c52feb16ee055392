//! Known sets, and QPA against the definition.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::super::{Locking, Supply};
use super::*;

fn d(n: u64) -> Duration {
    Duration::from_nanos(n)
}

/// (C, D, T).
fn tasks(triples: &[(u64, u64, u64)]) -> Vec<SporadicTask> {
    triples.iter().map(|&(c, dl, t)| SporadicTask::new(d(c), d(dl), d(t))).collect()
}

fn verdict(triples: &[(u64, u64, u64)]) -> Verdict {
    test(&TaskSet::new(&tasks(triples), Supply::dedicated()))
}

/// A linear congruential generator (Knuth's constants).
struct Random(u64);

impl Random {
    fn from(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + (((self.0 >> 33) * (high - low + 1)) >> 31)
    }

    /// Tiny, and near full load as often as not.
    fn task(&mut self) -> SporadicTask {
        let period = self.from(2, 12);
        let wcet = self.from(1, period.div_ceil(2));
        let deadline = self.from(wcet, period);
        let jitter = if self.from(0, 3) == 0 { self.from(0, deadline - wcet) } else { 0 };
        let section = if self.from(0, 3) == 0 { self.from(0, wcet) } else { 0 };
        SporadicTask::new(d(wcet), d(deadline), d(period)).with_jitter(d(jitter)).with_section(d(section))
    }

    fn supply(&mut self) -> Supply {
        if self.from(0, 2) == 0 {
            return Supply::dedicated();
        }
        let window = self.from(1, 9);
        let cap = self.from(window.div_ceil(2), window);
        let system = self.from(0, cap / 3);
        let supply = Supply::windowed(d(window), d(cap), d(system));
        if self.from(0, 5) == 0 { supply.less(d(self.from(0, 3))) } else { supply }
    }
}

/// By definition: every interval, each summand as the literature writes it.
fn fits(set: &TaskSet<'_>, horizon: u64) -> bool {
    (0..horizon).all(|t| {
        let mut demand = 0;
        let (mut longest, mut sum) = (0, 0);
        for task in set.tasks {
            let [c, dl, period, jitter, section] =
                [task.wcet, task.deadline, task.period, task.jitter, task.section].map(|d| d.as_nanos());
            // Job k becomes ready at k T, is due at k T + D - J.
            demand += c * (0..=t / period).filter(|k| k * period + dl - jitter <= t).count() as u64;
            if dl > t {
                longest = longest.max(section);
                sum += section;
            }
        }
        let b = if set.locking == Locking::Ceiling { longest } else { sum };
        // Nothing that is due is nothing that waits.
        demand == 0 || demand + b <= set.supply.within(d(t)).as_nanos()
    })
}

#[test]
fn implicit_deadlines_fill_the_cpu() {
    assert_eq!(verdict(&[(1, 2, 2), (1, 3, 3), (1, 6, 6)]), Verdict::Schedulable);
    assert_eq!(verdict(&[]), Verdict::Schedulable);
    let verdict = verdict(&[(1, 2, 2), (1, 3, 3), (2, 6, 6)]);
    assert_eq!(verdict, Verdict::Overutilised { utilisation_ppb: 1_166_666_667, supply_ppb: 1_000_000_000 });
    assert_eq!(verdict.to_string(), "overload: 116.66 % of a CPU are needed, 100.00 % are sure");
}

/// Density 1.1, and schedulable (Brandenburg's tests of schedcat, tests/edf.py).
#[test]
fn density_is_not_the_test() {
    assert!(verdict(&[(50, 50, 100), (10, 100, 100)]).is_schedulable());
    let overload = Overload { interval: d(59), demand: d(60), supply: d(59) };
    assert_eq!(verdict(&[(50, 50, 100), (10, 59, 100)]), Verdict::Overload(overload));
    assert_eq!(overload.excess(), d(1));
}

/// Sets that fill the CPU and have constrained deadlines need the busy period, as the lines never meet.
#[test]
fn a_full_cpu_with_short_deadlines_is_decided() {
    assert!(verdict(&[(1, 1, 2), (1, 4, 4), (2, 8, 8)]).is_schedulable());
    assert!(!verdict(&[(1, 1, 2), (1, 2, 4), (2, 5, 8)]).is_schedulable());
}

#[test]
fn jitter_brings_jobs_closer_together() {
    let first = SporadicTask::implicit(d(2), d(5));
    let second = SporadicTask::new(d(3), d(6), d(10));
    let set = |jitter| [first.with_jitter(d(jitter)), second];
    assert!(test(&TaskSet::new(&set(0), Supply::dedicated())).is_schedulable());
    assert!(test(&TaskSet::new(&set(1), Supply::dedicated())).is_schedulable());
    // At 6, after a delay of 3: one job that is due at 2, the next at 7; with 4, at 1 and at 6.
    let late = test(&TaskSet::new(&set(4), Supply::dedicated()));
    assert_eq!(late, Verdict::Overload(Overload { interval: d(6), demand: d(7), supply: d(6) }));
}

#[test]
fn a_later_task_that_does_not_give_way_counts_up_to_its_deadline() {
    let first = SporadicTask::new(d(2), d(5), d(10));
    let second = SporadicTask::new(d(2), d(8), d(10)).with_section(d(2));
    let third = SporadicTask::new(d(4), d(20), d(20));
    let set = |section| [first, second, third.with_section(d(section))];
    let check = |section, locking| {
        test(&TaskSet::new(&set(section), Supply::dedicated()).with_locking(locking)).is_schedulable()
    };
    assert!(check(3, Locking::Ceiling));
    assert!(!check(4, Locking::Ceiling));
    assert!(check(1, Locking::Inheritance));
    assert!(!check(2, Locking::Inheritance));
}

#[test]
fn the_supply_is_what_counts() {
    let task = tasks(&[(3, 9, 20)]);
    // System takes 2 of each 10, at worst 4 at once.
    let supply = Supply::windowed(d(10), d(10), d(2));
    assert!(test(&TaskSet::new(&task, supply)).is_schedulable());
    assert!(!test(&TaskSet::new(&tasks(&[(6, 9, 20)]), supply)).is_schedulable());
    assert!(!test(&TaskSet::new(&task, Supply::windowed(d(10), d(7), d(2)))).is_schedulable());
    assert!(!test(&TaskSet::new(&task, Supply::dedicated().less(d(7)))).is_schedulable());
}

#[test]
fn qpa_agrees_with_the_definition() {
    let mut random = Random(1);
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..6_000 {
        let tasks: Vec<SporadicTask> = (0..random.from(1, 4)).map(|_| random.task()).collect();
        let mut set = TaskSet::new(&tasks, random.supply());
        if random.from(0, 1) == 0 {
            set = set.with_locking(Locking::Inheritance);
        }
        match test(&set) {
            Verdict::Schedulable => {
                assert!(fits(&set, 300), "accepted: {set:?}");
                accepted += 1;
            }
            Verdict::Overload(Overload { interval, demand, supply }) => {
                assert!(demand > supply, "{set:?}");
                assert!(!fits(&set, interval.as_nanos() + 1), "rejected: {set:?}");
                rejected += 1;
            }
            Verdict::Overutilised { .. } => {
                assert!(!fits(&set, 100_000), "rejected: {set:?}");
                rejected += 1;
            }
            Verdict::Undecided(why) => panic!("{why:?}: {set:?}"),
        }
    }
    assert!(accepted > 1_000 && rejected > 1_000, "{accepted} {rejected}");
}

/// Hyperperiods of 10^18 and more, utilisation one part in 10^9 below 1.
#[test]
fn long_hyperperiods_do_not_hang() {
    let primes = [999_999_937u64, 999_999_893, 999_999_883, 999_999_797, 999_999_761];
    let mut set: Vec<SporadicTask> = primes.iter().map(|&p| SporadicTask::new(d(p / 5), d(p / 2), d(p))).collect();
    let answer = test(&TaskSet::new(&set, Supply::dedicated()).with_work(100_000));
    assert_eq!(answer, Verdict::Undecided(Undecided::Work));
    set.iter_mut().for_each(|task| task.deadline = d(task.period.as_nanos() - 7));
    assert_eq!(test(&TaskSet::new(&set, Supply::dedicated()).with_work(10)), Verdict::Undecided(Undecided::Work));
    let long = 1 << 63;
    let set = tasks(&[(long / 8 - 1, long / 2, long); 8]);
    assert_eq!(test(&TaskSet::new(&set, Supply::dedicated())), Verdict::Undecided(Undecided::Range));
}

/// Whether EDF misses a deadline within `length` if all tasks become ready at `start` of a window, as late as they can be, and come as
/// often as they may; tick by tick. System and lower classes are in the way as early as they can be.
fn misses(tasks: &[SporadicTask], (window, cap, system): (u64, u64, u64), start: u64, length: u64) -> bool {
    // Of the present job of each task: when it becomes ready, when it is due, what is left.
    let [jitter, deadline, period, wcet] = [0, 1, 2, 3].map(|which| {
        let of = |task: &SporadicTask| [task.jitter, task.deadline, task.period, task.wcet][which].as_nanos();
        tasks.iter().map(of).collect::<Vec<_>>()
    });
    let mut jobs: Vec<(u64, u64, u64)> = (0..tasks.len()).map(|i| (0, deadline[i] - jitter[i], wcet[i])).collect();
    let mut left = system;
    for t in 0..length {
        for (i, job) in jobs.iter_mut().enumerate() {
            if job.2 > 0 && job.1 <= t {
                return true;
            }
            // Only the first job comes late.
            let next = (job.1 + period[i]).saturating_sub(deadline[i]);
            if job.2 == 0 && next <= t {
                *job = (next, job.1 + period[i], wcet[i]);
            }
        }
        if (start + t).is_multiple_of(window) {
            left = system;
        }
        if (start + t) % window >= cap {
            continue;
        }
        if left > 0 {
            left -= 1;
        } else if let Some(job) = jobs.iter_mut().filter(|job| job.2 > 0 && job.0 <= t).min_by_key(|job| job.1) {
            job.2 -= 1;
        }
    }
    false
}

/// The windows as the arbiter keeps them, tried out at every phase.
#[test]
fn the_test_agrees_with_simulated_windows() {
    let mut random = Random(7);
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..3_000 {
        let tasks: Vec<SporadicTask> =
            (0..random.from(1, 3)).map(|_| random.task().with_section(Duration::ZERO)).collect();
        let window = random.from(2, 9);
        let cap = random.from(window.div_ceil(2), window);
        let shape = (window, cap, random.from(0, cap / 3));
        let set = TaskSet::new(&tasks, Supply::windowed(d(window), d(cap), d(shape.2)));
        let verdict = test(&set);
        let length = match verdict {
            Verdict::Overload(Overload { interval, .. }) => interval.as_nanos() + 1,
            Verdict::Overutilised { .. } => continue,
            _ => 120,
        };
        let missed = (0..window).any(|start| misses(&tasks, shape, start, length));
        assert_eq!(missed, !verdict.is_schedulable(), "{verdict} {set:?}");
        accepted += u32::from(!missed);
        rejected += u32::from(missed);
    }
    assert!(accepted > 300 && rejected > 300, "{accepted} {rejected}");
}
