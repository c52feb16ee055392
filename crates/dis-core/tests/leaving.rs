//! What tasks that end have held, against those who come after them.

mod common;

use common::machine::{Machine, Op::*};
use common::rng::{Rng, number_from_env};
use common::{ms, ns, us};
use dis_core::api::{SchedError, TaskSpec};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

/// CPUs on which nobody but Realtime gets anything: the window is so short that no share of it is a nanosecond.
fn whole(cpus: usize) -> Config {
    let mut config = Config::new(cpus);
    (config.limits.realtime, config.limits.system, config.limits.window) = (1000, 1, ns(999));
    config
}

/// Times in us.
fn realtime(wcet: u64, deadline: u64, period: u64) -> Intent {
    Intent::realtime(period, deadline, wcet)
}

fn spawn(m: &mut Machine, [wcet, deadline, period]: [u64; 3]) -> Result<usize, SchedError> {
    m.try_spawn(TaskSpec::new("", realtime(wcet, deadline, period), 0), &[Run(us(wcet)), NextPeriod])
}

/// Two of 5 in 10 ms. The first one's job ends at 5, and so does the task. The other one's has waited for it, and would be late if
/// one of 1 in 2 ms took the place at once: of the five milliseconds to its deadline it would get three.
#[test]
fn who_has_waited_for_one_that_ends_does_not_wait_for_the_next_as_well() {
    let mut m = Machine::with(whole(1));
    let ends = m.spawn(realtime(5_000, 10_000, 10_000), &[Run(ms(5)), Exit(0)]);
    let stays = spawn(&mut m, [5_000, 10_000, 10_000]).unwrap();
    let newcomer = [1_000, 2_000, 2_000];
    m.run_until(us(5_001));
    assert_eq!(m.actors[ends].runs, [(0, ms(5), 0)]);
    assert_eq!(spawn(&mut m, newcomer), Err(SchedError::NoCpu));
    assert_eq!(m.executor.reserved_ppm(), [1_000_000]);
    // At 10 the next job comes as the first one ends, so there is no pause up to 15.
    m.run_until(us(14_999));
    assert_eq!(spawn(&mut m, newcomer), Err(SchedError::NoCpu));
    m.run_until(us(15_001));
    assert_eq!(m.executor.reserved_ppm(), [500_000]);
    let comes = spawn(&mut m, newcomer).unwrap();
    m.run_until(ms(1_000));
    assert_eq!([stays, comes].map(|task| m.task(task, |t| t.stats.deadline_misses)), [0, 0]);
}

/// Nobody has to wait where there is nothing to do: for one that sleeps and is killed, or ends as the last.
#[test]
fn a_share_is_free_at_once_where_there_is_no_work() {
    let mut m = Machine::with(whole(1));
    let half = [5_000, 10_000, 10_000];
    let (first, second) = (spawn(&mut m, half).unwrap(), spawn(&mut m, half).unwrap());
    m.run_until(ms(5) + 1);
    // The second has just begun; the first sleeps.
    assert_eq!(m.kill(first), Ok(true));
    assert_eq!(spawn(&mut m, half), Err(SchedError::NoCpu));
    m.kill(second).unwrap();
    m.run_until(ms(5) + 2);
    assert_eq!(m.executor.reserved_ppm(), [0]);
    let full = spawn(&mut m, [10_000, 10_000, 10_000]).unwrap();
    m.run_until(ms(100));
    assert_eq!(m.task(full, |t| t.stats.deadline_misses), 0);
}

/// Tasks come and go at random, whole ones and split ones; deadlines are shorter than periods or not. Each job needs all of its wcet.
/// Nobody who has been admitted misses a deadline, whoever has left before.
#[test]
fn nobody_is_late_for_those_who_come_and_go() {
    let rounds = number_from_env("DIS_SETS").unwrap_or(150);
    let (mut admitted, mut refused, mut split) = (0u64, 0u64, 0u64);
    for seed in 0..rounds {
        let mut rng = Rng::new(seed);
        let cpus = 1 + (seed % 3) as usize;
        let mut m = Machine::with(whole(cpus));
        m.checked = false;
        let mut alive: Vec<usize> = Vec::new();
        for _ in 0..60 {
            if rng.chance(650) || alive.is_empty() {
                let period = 1_000 * (1 + rng.below(12));
                let wcet = (period * (5 + rng.below(70)) / 100).max(1);
                let deadline = if rng.chance(500) { period } else { wcet + rng.below(period - wcet + 1) };
                let jobs = 1 + rng.below(6) as usize;
                let script = [&[Run(us(wcet)), NextPeriod].repeat(jobs)[1..], &[Exit(0)]].concat();
                let script = [&[Run(us(wcet))], &script[..script.len() - 2], &[Exit(0)]].concat();
                match m.try_spawn(TaskSpec::new("", realtime(wcet, deadline, period), 0), &script) {
                    Ok(task) => {
                        admitted += 1;
                        split += u64::from(m.task(task, |t| t.is_split()));
                        alive.push(task);
                    }
                    Err(error) => {
                        assert_eq!(error, SchedError::NoCpu);
                        refused += 1;
                    }
                }
            } else {
                let task = alive.swap_remove(rng.below(alive.len() as u64) as usize);
                let _ = m.kill(task);
            }
            m.run_for(us(rng.below(6_000)));
            assert_eq!(m.executor.stats().deadline_misses, 0, "seed {seed} at {}", m.now);
        }
    }
    assert!(admitted > 20 * rounds && refused > 5 * rounds && split > rounds / 5, "{admitted} {refused} {split}");
}
