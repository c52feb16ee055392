//! The tests for global EDF against a scheduler that tries them out, tick by tick.

mod common;

use common::ns;
use common::rng::{Rng, number_from_env};
use dis_core::admission::SporadicTask;
use dis_core::admission::global::{GlobalTest, ResponseBound, accepted_by, bcl, gfb, rta};

fn task(wcet: u64, deadline: u64, period: u64) -> SporadicTask {
    SporadicTask::new(ns(wcet), ns(deadline), ns(period))
}

/// When the jobs of a task are released, and how late after that they become ready.
struct Arrivals {
    next: u64,
    ready_after: u64,
}

struct Job {
    task: usize,
    release: u64,
    ready: u64,
    deadline: u64,
    left: u64,
}

/// Runs global EDF (ties: lower index) on `cpus` CPUs for `ticks`. `next(task, release)` answers when the task releases
/// again and how late that job is ready. Answers each task's longest response, or the first task that missed.
fn run(
    set: &[SporadicTask],
    cpus: usize,
    ticks: u64,
    mut next: impl FnMut(usize, Option<u64>) -> (u64, u64),
) -> Result<Vec<u64>, usize> {
    let mut arrivals: Vec<Arrivals> = (0..set.len())
        .map(|i| {
            let (next, ready_after) = next(i, None);
            Arrivals { next, ready_after }
        })
        .collect();
    let mut jobs: Vec<Job> = Vec::new();
    let mut longest = vec![0; set.len()];
    for now in 0..ticks {
        for (i, arrival) in arrivals.iter_mut().enumerate() {
            if arrival.next == now {
                let deadline = now + set[i].deadline.as_nanos();
                let (ready, left) = (now + arrival.ready_after, set[i].wcet.as_nanos());
                jobs.push(Job { task: i, release: now, ready, deadline, left });
                let (release, ready_after) = next(i, Some(now));
                *arrival = Arrivals { next: release, ready_after };
            }
        }
        if let Some(job) = jobs.iter().find(|job| job.deadline <= now) {
            return Err(job.task);
        }
        jobs.sort_by_key(|job| (job.ready > now, job.deadline, job.task));
        for job in jobs.iter_mut().take(cpus).filter(|job| job.ready <= now) {
            job.left -= 1;
            if job.left == 0 {
                longest[job.task] = longest[job.task].max(now + 1 - job.release);
            }
        }
        jobs.retain(|job| job.left > 0);
    }
    Ok(longest)
}

/// All release at once and again as soon as they may.
fn synchronous(set: &[SporadicTask]) -> impl FnMut(usize, Option<u64>) -> (u64, u64) + '_ {
    |i, last| (last.map_or(0, |at| at + set[i].period.as_nanos()), 0)
}

/// Offsets, gaps beyond the period and jitter, at random.
fn sporadic<'a>(set: &'a [SporadicTask], rng: &'a mut Rng) -> impl FnMut(usize, Option<u64>) -> (u64, u64) + 'a {
    |i, last| {
        let period = set[i].period.as_nanos();
        let gap = if rng.chance(700) { 0 } else { rng.below(period) };
        let jitter = rng.below(set[i].jitter.as_nanos() + 1);
        (last.map_or(rng.below(period), |at| at + period + gap), jitter)
    }
}

fn random_set(rng: &mut Rng, cpus: usize) -> Vec<SporadicTask> {
    let n = cpus as u64 + 1 + rng.below(4);
    (0..n)
        .map(|_| {
            let period = 2 + rng.below(14);
            let wcet = 1 + rng.below((period * 2 / 3).max(1));
            let deadline = if rng.chance(500) { period } else { wcet + rng.below(period - wcet + 1) };
            let mut task = task(wcet, deadline, period);
            if rng.chance(200) {
                task.jitter = ns(rng.below((deadline - wcet).min(3) + 1));
            }
            task
        })
        .collect()
}

#[test]
fn nothing_that_a_test_accepts_misses() {
    let sets = number_from_env("DIS_SETS").unwrap_or(6_000);
    let mut rng = Rng::new(1);
    let (mut accepted, mut missed) = ([0; 3], 0);
    for _ in 0..sets {
        let cpus = 1 + rng.below(3) as usize;
        let set = random_set(&mut rng, cpus);
        let tests = GlobalTest::ALL.map(|test| test.accepts(&set, cpus));
        let bounds = rta(&set, cpus);
        let runs = [
            run(&set, cpus, 120, synchronous(&set)),
            run(&set, cpus, 120, sporadic(&set, &mut rng)),
            run(&set, cpus, 120, sporadic(&set, &mut rng)),
        ];
        for result in runs {
            match result {
                Err(late) => {
                    assert_eq!(accepted_by(&set, cpus), None, "task {late} missed: {set:?} on {cpus}");
                    missed += 1;
                }
                Ok(responses) if tests[2] => {
                    for (i, response) in responses.into_iter().enumerate() {
                        let ResponseBound::Within(bound) = bounds[i] else { panic!("accepted without a bound") };
                        assert!(ns(response) <= bound, "task {i} took {response} > {bound}: {set:?} on {cpus}");
                    }
                }
                Ok(_) => {}
            }
        }
        for (count, accepts) in accepted.iter_mut().zip(tests) {
            *count += usize::from(accepts);
        }
        assert!(!tests[1] || tests[2], "rta rejects what bcl accepts: {set:?} on {cpus}");
    }
    // Each test says something, and so does the scheduler.
    assert!(accepted.iter().all(|&count| count > sets as usize / 30), "{accepted:?}");
    assert!(missed > sets as usize / 2, "{missed}");
}

/// Dhall and Liu 1978: on m CPUs, m light tasks and one that needs a CPU for itself miss at a utilisation just above 1.
#[test]
fn the_dhall_effect() {
    for cpus in 2..=16 {
        let mut set = vec![task(1, 999, 999); cpus];
        set.push(task(1_000, 1_000, 1_000));
        assert_eq!(run(&set, cpus, 1_100, synchronous(&set)), Err(cpus));
        assert_eq!(accepted_by(&set, cpus), None);
        // Density alone blames the heavy task; with one light task fewer it has a CPU, which interference sees.
        set.remove(0);
        assert!(run(&set, cpus, 10_000, synchronous(&set)).is_ok());
        assert!(!gfb(&set, cpus) && bcl(&set, cpus));
    }
}

/// One CPU and deadline = period: the density test is utilisation, which is exact.
#[test]
fn on_one_cpu_the_density_test_is_the_utilisation_bound() {
    let mut rng = Rng::new(2);
    for _ in 0..500 {
        let set: Vec<_> = random_set(&mut rng, 1).iter().map(|t| SporadicTask::implicit(t.wcet, t.period)).collect();
        let product: u64 = set.iter().map(|t| t.period.as_nanos()).product();
        let demand: u64 = set.iter().map(|t| product / t.period.as_nanos() * t.wcet.as_nanos()).sum();
        assert_eq!(gfb(&set, 1), demand <= product);
    }
}

/// More CPUs, or less work, never make a test reject what it accepted.
#[test]
fn acceptance_is_sustained() {
    let mut rng = Rng::new(3);
    let mut compared = 0;
    for _ in 0..2_000 {
        let cpus = 1 + rng.below(3) as usize;
        let mut set = random_set(&mut rng, cpus);
        for test in GlobalTest::ALL {
            if !test.accepts(&set, cpus) {
                continue;
            }
            assert!(test.accepts(&set, cpus + 1), "{test:?} with one CPU more: {set:?} on {cpus}");
            let one = rng.below(set.len() as u64) as usize;
            let before = set[one];
            set[one].wcet = ns((before.wcet.as_nanos() - 1).max(1));
            assert!(test.accepts(&set, cpus), "{test:?} with less work of {one}: {set:?} on {cpus}");
            set[one] = before;
            compared += 1;
        }
    }
    assert!(compared > 500);
}
