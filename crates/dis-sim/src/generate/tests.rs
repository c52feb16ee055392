use super::*;

const SEED: u64 = 20_261_128;

fn recipe(shares: Shares, tasks: usize, utilisation_ppb: u64) -> Recipe {
    let periods = Periods::LogUniform { min: Duration::from_millis(10), max: Duration::from_secs(1) };
    Recipe { tasks, utilisation_ppb, shares, periods, deadline_ratio: (1.0, 1.0) }
}

/// Utilisations of `sets` vectors, in CPUs.
fn vectors(shares: Shares, tasks: usize, utilisation_ppb: u64, sets: u64) -> Vec<Vec<f64>> {
    let generator = Generator::new(recipe(shares, tasks, utilisation_ppb)).unwrap();
    let draw = |seed| generator.utilisations(&mut Random::new(SEED ^ (seed << 20))).unwrap();
    let cpus = |ppb: Vec<u64>| ppb.into_iter().map(|ppb| ppb as f64 / 1e9).collect();
    (0..sets).map(draw).map(cpus).collect()
}

/// One coordinate of each vector.
fn marginal(vectors: &[Vec<f64>], task: usize) -> Vec<f64> {
    let mut values: Vec<f64> = vectors.iter().map(|vector| vector[task]).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The Kolmogorov-Smirnov distance of sorted samples from a distribution, times the root of their number: above 1.95 in one of
/// 1,000 cases if they are of that distribution.
fn distance(sorted: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let n = sorted.len() as f64;
    let apart = sorted.iter().enumerate().map(|(rank, &x)| {
        let wanted = cdf(x);
        (wanted - rank as f64 / n).abs().max((wanted - (rank + 1) as f64 / n).abs())
    });
    apart.fold(0.0, f64::max) * n.sqrt()
}

/// The same between two samples of equal size.
fn distance_between(a: &[f64], b: &[f64]) -> f64 {
    let part = |sorted: &[f64], x: f64| sorted.partition_point(|&y| y <= x) as f64 / sorted.len() as f64;
    let apart = a.iter().chain(b).map(|&x| (part(a, x) - part(b, x)).abs());
    apart.fold(0.0, f64::max) * (a.len() as f64 / 2.0).sqrt()
}

#[test]
fn sums_are_exact_and_no_task_exceeds_a_cpu() {
    for shares in Shares::ALL {
        for (tasks, ppb) in [(1, 1), (1, CPU_PPB), (2, 1_999_999_999), (7, 3_333_333_333), (32, 7_600_000_000)] {
            let generator = Generator::new(recipe(shares, tasks, ppb)).unwrap();
            for seed in 0..20 {
                // Nearly full vectors are the case that UUniFast gives up on.
                let Ok(drawn) = generator.utilisations(&mut Random::new(seed)) else {
                    assert_eq!((shares, tasks), (Shares::UUniFastDiscard, 2));
                    continue;
                };
                assert_eq!((drawn.len(), drawn.iter().sum::<u64>()), (tasks, ppb), "{shares:?}");
                assert!(drawn.iter().all(|&task| task <= CPU_PPB), "{drawn:?}");
            }
        }
    }
}

#[test]
fn extremes_of_the_fixed_sum() {
    for (tasks, ppb) in [(10_000, 64 * CPU_PPB), (2_000, 1_000 * CPU_PPB), (1_000, 999 * CPU_PPB), (9, 9 * CPU_PPB)] {
        let drawn = vectors(Shares::FixedSum, tasks, ppb, 3);
        for vector in drawn {
            // Exactly: before the rounding to parts per billion, which would hide a wrong sum.
            let raw: f64 = FixedSum::new(tasks, ppb as f64 / 1e9).draw(&mut Random::new(SEED)).iter().sum();
            assert!((raw - ppb as f64 / 1e9).abs() < 1e-6, "{raw}");
            assert!(vector.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }
}

/// Below one CPU nothing is discarded, and a coordinate of a uniform vector with sum s exceeds x with probability
/// (1 − x / s)^(n − 1).
#[test]
fn marginals_of_a_simplex() {
    for shares in Shares::ALL {
        let drawn = vectors(shares, 5, 800_000_000, 20_000);
        for task in 0..5 {
            let far = distance(&marginal(&drawn, task), |x| 1.0 - (1.0 - x / 0.8).powi(4));
            assert!(far < 1.95, "{shares:?} task {task}: {far}");
        }
    }
}

/// Three values with sum 1.5 lie in a hexagon; the density of each is (1 − |x − ½|) · 4/3.
#[test]
fn marginals_of_a_hexagon() {
    let cdf = |x: f64| {
        let half = |x: f64| (x / 2.0 + x * x / 2.0) * 4.0 / 3.0;
        if x <= 0.5 { half(x) } else { 1.0 - half(1.0 - x) }
    };
    for shares in Shares::ALL {
        let drawn = vectors(shares, 3, 1_500_000_000, 20_000);
        for task in 0..3 {
            let far = distance(&marginal(&drawn, task), cdf);
            assert!(far < 1.95, "{shares:?} task {task}: {far}");
        }
    }
}

/// Both are uniform over the same vectors, by quite different ways: single values, the greatest one and the sum of two agree.
#[test]
fn both_generators_have_one_distribution() {
    for (tasks, ppb) in [(8, 3_000_000_000), (6, 3_300_000_000), (32, 7_600_000_000)] {
        let [a, b] = Shares::ALL.map(|shares| vectors(shares, tasks, ppb, 4_000));
        type Statistic = fn(&Vec<f64>) -> f64;
        let statistics: [(&str, Statistic); 4] = [
            ("first", |vector| vector[0]),
            ("last", |vector| vector[vector.len() - 1]),
            ("greatest", |vector| vector.iter().copied().fold(0.0, f64::max)),
            ("two", |vector| vector[1] + vector[2]),
        ];
        for (name, statistic) in statistics {
            let sorted = |vectors: &[Vec<f64>]| {
                let mut values: Vec<f64> = vectors.iter().map(statistic).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let far = distance_between(&sorted(&a), &sorted(&b));
            assert!(far < 1.95, "{tasks} tasks, {name}: {far}");
        }
    }
}

fn periods(periods: Periods, count: u64) -> Vec<Duration> {
    let mut random = Random::new(SEED);
    (0..count).map(|_| periods.draw(&mut random)).collect()
}

#[test]
fn log_uniform_periods() {
    let range = Periods::LogUniform { min: Duration::from_millis(10), max: Duration::from_secs(1) };
    let drawn = periods(range, 20_000);
    assert!(drawn.iter().all(|period| period.as_nanos().is_multiple_of(1_000)));
    let mut logs: Vec<f64> = drawn.iter().map(|period| (period.as_nanos() as f64 / 1e7).log10() / 2.0).collect();
    logs.sort_by(f64::total_cmp);
    assert!(logs[0] >= 0.0 && logs[logs.len() - 1] <= 1.0);
    let far = distance(&logs, |x| x);
    assert!(far < 1.95, "{far}");
    // A range of one value, and of two.
    let only = Periods::LogUniform { min: TICK, max: TICK };
    assert!(periods(only, 100).iter().all(|&period| period == TICK));
}

/// Chi-square with 8 degrees of freedom: above 26.1 in one of 1,000 cases.
#[test]
fn automotive_periods_have_their_shares() {
    let drawn = periods(Periods::Automotive, 85_000);
    let shares = [(1, 3), (2, 2), (5, 2), (10, 25), (20, 25), (50, 3), (100, 20), (200, 1), (1_000, 4)];
    let mut chi_square = 0.0;
    for (ms, share) in shares {
        let found = drawn.iter().filter(|&&period| period == Duration::from_millis(ms)).count() as f64;
        let wanted = f64::from(share) * 1_000.0;
        chi_square += (found - wanted) * (found - wanted) / wanted;
    }
    assert!(chi_square < 26.1, "{chi_square}");
}

#[test]
fn deadlines_lie_between_wcet_and_period() {
    for (from, to) in [(0.0, 0.0), (0.0, 1.0), (0.5, 0.75), (1.0, 1.0)] {
        let recipe = Recipe { deadline_ratio: (from, to), ..recipe(Shares::FixedSum, 20, 4 * CPU_PPB) };
        let generator = Generator::new(recipe).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        for seed in 0..500 {
            for task in generator.task_set(seed).unwrap().tasks {
                assert!(task.is_valid());
                let slack = (task.period - task.wcet).as_nanos() as f64;
                let ratio = (task.deadline - task.wcet).as_nanos() as f64 / slack.max(1.0);
                assert!(ratio <= to && slack * (from - ratio) <= 1_000.0, "{task:?}");
                (sum, count) = (sum + ratio, count + 1.0);
            }
        }
        let (mean, wanted): (f64, f64) = (sum / count, (from + to) / 2.0);
        assert!((mean - wanted).abs() < 0.01, "{mean} {wanted}");
    }
}

#[test]
fn rounding_to_ticks_takes_less_than_a_tick_of_each_task() {
    let generator = Generator::new(recipe(Shares::FixedSum, 32, 7_600_000_000)).unwrap();
    for seed in 0..200 {
        let tasks = generator.task_set(seed).unwrap().tasks;
        let sum: f64 = tasks.iter().map(|task| task.wcet.as_nanos() as f64 / task.period.as_nanos() as f64).sum();
        assert!((7.6 - 32.0 / 10_000.0..=7.6 + 1e-9).contains(&sum), "{sum}");
    }
}

/// The bits themselves: if they change, the experiments in the documentation cannot be repeated.
#[test]
fn the_same_seed_gives_the_same_set_everywhere() {
    let digest = |shares, ratio| {
        let recipe = Recipe { deadline_ratio: ratio, ..recipe(shares, 32, 7_600_000_000) };
        let set = Generator::new(recipe).unwrap().task_set(SEED).unwrap();
        assert_eq!(set.seed, SEED);
        let numbers = set.tasks.iter().flat_map(|task| [task.wcet, task.deadline, task.period]);
        numbers.fold(0_u64, |hash, time| (hash ^ time.as_nanos()).wrapping_mul(0x100_0000_01b3).rotate_left(17))
    };
    let found = [digest(Shares::UUniFastDiscard, (1.0, 1.0)), digest(Shares::FixedSum, (0.25, 1.0))];
    assert_eq!(found, [9_388_074_253_342_371_206, 11_154_831_985_367_712_490]);
    let seeds = [seed_of(1, 2, 3), seed_of(1, 2, 4), seed_of(1, 3, 3), seed_of(2, 2, 3)];
    let wanted =
        [9_441_189_521_431_708_745, 17_742_360_043_774_970_404, 7_228_971_445_385_776_005, 8_357_295_807_123_559_652];
    assert_eq!(seeds, wanted);
}

#[test]
fn impossible_recipes_are_explained() {
    let good = recipe(Shares::UUniFastDiscard, 4, 2 * CPU_PPB);
    let error = |recipe| Generator::new(recipe).unwrap_err().to_string();
    assert!(error(Recipe { tasks: 0, ..good }).contains("1 to 10000 tasks"));
    assert!(error(Recipe { utilisation_ppb: 0, ..good }).contains("above 0"));
    assert!(error(Recipe { utilisation_ppb: 4 * CPU_PPB + 1, ..good }).contains("take more tasks"));
    for (from, to) in [(0.5, 0.4), (-0.1, 1.0), (0.0, 1.1), (f64::NAN, 1.0)] {
        assert!(error(Recipe { deadline_ratio: (from, to), ..good }).contains("within 0 to 1"));
    }
    let range = |min, max| Recipe { periods: Periods::LogUniform { min, max }, ..good };
    assert!(error(range(Duration::from_micros(2), TICK)).contains("from 2 to 1 µs"));
    assert!(error(range(Duration::from_nanos(999), TICK)).contains("1 µs"));
    let crowded = Generator::new(recipe(Shares::UUniFastDiscard, 40, 39 * CPU_PPB)).unwrap();
    let error = crowded.task_set(1).unwrap_err();
    assert!(error.to_string().contains("fixed-sum"), "{error}");
}
