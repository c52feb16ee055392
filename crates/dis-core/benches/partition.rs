//! What admission costs, and how much of a machine it can fill.
//!
//! `cargo bench -p dis-core --bench partition [-- SETS]`. Sets are random: UUniFast-Discard (Bini and Buttazzo 2005; Davis and
//! Burns 2011), periods log-uniform from 10 ms to 1 s in whole microseconds or from the automotive set, deadline = period,
//! seeds 1, 2, 3, ... Acceptance is counted for whole CPUs, times are for one core.

use std::time::Instant;

use dis_core::admission::{Admission, Request, SporadicTask};
use dis_core::api::{Duration, TaskId};
use dis_core::optimizer::Limits;

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random((seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// `n` utilisations, none above 1, that add up to `sum`.
    fn utilisations(&mut self, n: usize, sum: f64) -> Vec<f64> {
        loop {
            let mut left = sum;
            let mut set: Vec<f64> = (1..n)
                .map(|i| {
                    let next = left * self.unit().powf(1.0 / (n - i) as f64);
                    let one = left - next;
                    left = next;
                    one
                })
                .collect();
            set.push(left);
            if set.iter().all(|&u| u <= 1.0) {
                return set;
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Periods {
    LogUniform,
    Automotive,
}

fn random_set(seed: u64, n: usize, utilisation: f64, periods: Periods) -> Vec<SporadicTask> {
    let mut random = Random::new(seed);
    let utilisations = random.utilisations(n, utilisation);
    utilisations
        .into_iter()
        .map(|u| {
            let period_us = match periods {
                Periods::LogUniform => (10_000.0 * 100f64.powf(random.unit())) as u64,
                // Kramer, Ziegenbein and Hamann, WATERS 2015, without the angular-synchronous tasks.
                Periods::Automotive => {
                    const MS: [(u64, f64); 9] =
                        [(1, 3.), (2, 2.), (5, 2.), (10, 25.), (20, 25.), (50, 3.), (100, 20.), (200, 1.), (1000, 4.)];
                    let mut at = random.unit() * MS.iter().map(|(_, share)| share).sum::<f64>();
                    MS.iter()
                        .find(|(_, share)| {
                            at -= share;
                            at <= 0.
                        })
                        .map_or(1000, |(ms, _)| *ms)
                        * 1000
                }
            };
            let period = Duration::from_micros(period_us);
            let wcet = ((period.as_nanos() as f64 * u) as u64).clamp(1, period.as_nanos());
            SporadicTask::implicit(Duration::from_nanos(wcet), period)
        })
        .collect()
}

fn requests(set: &[SporadicTask]) -> Vec<(TaskId, Request)> {
    (1..).zip(set).map(|(id, &task)| (TaskId(id), Request::realtime(task))).collect()
}

/// In the order in which the tasks come.
fn online(set: &[SporadicTask], mut machine: Admission) -> bool {
    requests(set).into_iter().all(|(id, request)| machine.admit(id, request).is_ok())
}

/// The largest first, each split at once if it must be.
fn decreasing(set: &[SporadicTask], machine: Admission) -> bool {
    let mut set = set.to_vec();
    set.sort_by_key(|task| std::cmp::Reverse(task.utilisation_ppb()));
    online(&set, machine)
}

fn planned(set: &[SporadicTask], mut machine: Admission) -> bool {
    machine.plan(&requests(set)).iter().all(Result::is_ok)
}

fn acceptance(sets: u64) {
    type Way = (&'static str, usize, fn(&[SporadicTask], Admission) -> bool);
    const WAYS: [Way; 5] = [
        ("whole", 0, online),
        ("planned whole", 0, planned),
        ("C=D", 7, online),
        ("decreasing C=D", 7, decreasing),
        ("planned C=D", 7, planned),
    ];
    for periods in [Periods::LogUniform, Periods::Automotive] {
        for n in [16, 32] {
            println!("accepted of {sets} sets of {n} tasks on 8 CPUs, {periods:?} periods; µs for a set");
            println!("{:>5} {}", "U %", WAYS.map(|(name, ..)| format!("{name:>20}")).concat());
            for percent in [85, 90, 95, 97, 98, 99] {
                let sets: Vec<_> =
                    (1..=sets).map(|seed| random_set(seed, n, 8. * f64::from(percent) / 100., periods)).collect();
                let cells = WAYS.map(|(_, splits, accepts)| {
                    let start = Instant::now();
                    let machine = || Admission::dedicated(8).with_max_splits(splits);
                    let accepted = sets.iter().filter(|set| accepts(set, machine())).count();
                    format!("{accepted:>12} {:>7.0}", start.elapsed().as_secs_f64() * 1e6 / sets.len() as f64)
                });
                println!("{percent:>5} {}", cells.concat());
            }
        }
    }
}

/// 10,000 tasks on 64 CPUs: how long until all are placed.
fn scale() {
    println!("10,000 tasks on 64 CPUs: all placed or not, and after how long");
    for percent in [50, 80, 90, 95] {
        let set = random_set(1, 10_000, 64. * f64::from(percent) / 100., Periods::LogUniform);
        let constrained: Vec<SporadicTask> = set
            .iter()
            .map(|task| SporadicTask::new(task.wcet, task.period.mul_div(9, 10).max(task.wcet), task.period))
            .collect();
        for (name, set) in [("deadline = period", &set), ("deadline = 0.9 period", &constrained)] {
            let limits = Limits::default();
            for (supply, mut machine) in [("whole", Admission::dedicated(64)), ("limited", Admission::new(64, limits))]
            {
                let start = Instant::now();
                let answers = machine.plan(&requests(set));
                let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
                println!(
                    "{percent:>4} % {name:<22} {supply} CPUs: {admitted:>6} {:>8.1} ms, {} split",
                    ms(start),
                    machine.split_count()
                );
            }
        }
    }
}

/// One task more beside 40 on each of 8 CPUs.
fn one_more() {
    println!("one task admitted and released again beside 40 on each of 8 CPUs, µs");
    for (supply, mut machine) in [("whole", Admission::dedicated(8)), ("limited", Admission::new(8, Limits::default()))]
    {
        machine.plan(&requests(&random_set(1, 320, 6.8, Periods::LogUniform)));
        for (name, deadline) in [("deadline = period", 1000), ("deadline = 0.3 period", 300)] {
            let period = Duration::from_millis(20);
            let task = SporadicTask::new(Duration::from_micros(400), period.mul_div(deadline, 1000), period);
            let start = Instant::now();
            let mut admitted = 0;
            for _ in 0..1000 {
                admitted += u32::from(machine.admit(TaskId(9999), Request::realtime(task)).is_ok());
                machine.release(TaskId(9999));
            }
            println!("{supply:>8} CPUs, {name:<22} {:>6.2} (admitted {admitted})", ms(start));
            let start = Instant::now();
            let shares: u32 = (0..1000).map(|i| u32::from(machine.system_share(i % 8))).sum();
            println!("{supply:>8} CPUs, System's share of one   {:>6.2} (mean {})", ms(start), shares / 1000);
        }
    }
}

/// Since `start`.
fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn main() {
    let sets: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1000);
    one_more();
    scale();
    acceptance(sets);
}
