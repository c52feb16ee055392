//! What the analyses of one CPU cost: QPA and response times, by the number of tasks.
//!
//! `cargo bench -p dis-core --bench admission`. Each figure is a median over random sets with log-uniform periods from 1 to 1000 ms,
//! the same in each run, on the supply that the default limits leave; *short* deadlines are at random between half the
//! period and the period.

use std::hint::black_box;
use std::time::Instant;

use dis_core::admission::{SporadicTask, Supply, TaskSet, edf, response};
use dis_core::api::Duration;

const SETS: usize = 51;

/// A linear congruential generator (Knuth's constants); good enough, fast and the same everywhere.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// UUniFast (Bini and Buttazzo, Real-Time Systems 30, 2005).
fn task_set(count: usize, utilisation: f64, short: bool, random: &mut Random) -> Vec<SporadicTask> {
    let mut left = utilisation;
    let task = |index: usize| {
        let next = left * random.unit().powf(1.0 / (count - index) as f64);
        let share = if index + 1 == count { left } else { left - next };
        left = next;
        let period = (1e6 * 1000f64.powf(random.unit())) as u64;
        let wcet = ((period as f64 * share) as u64).max(1);
        let deadline = if short { period - (period as f64 * random.unit() / 2.0) as u64 } else { period };
        let [wcet, deadline, period] = [wcet, deadline.max(wcet), period].map(Duration::from_nanos);
        SporadicTask::new(wcet, deadline, period)
    };
    (0..count).map(task).collect()
}

/// The median time in µs, and how many of the sets `accept` says yes to.
fn measure(count: usize, utilisation: f64, short: bool, accept: impl Fn(&TaskSet<'_>) -> bool) -> (f64, usize) {
    let mut random = Random(count as u64);
    let mut accepted = 0;
    let mut times: Vec<f64> = (0..SETS)
        .map(|_| {
            let tasks = task_set(count, utilisation, short, &mut random);
            let supply =
                Supply::windowed(Duration::from_millis(10), Duration::from_millis(10), Duration::from_micros(100));
            let start = Instant::now();
            accepted += usize::from(accept(&TaskSet::new(black_box(&tasks), supply)));
            start.elapsed().as_nanos() as f64 / 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[SETS / 2], accepted)
}

fn row(title: &str, counts: &[usize], utilisation: f64, short: bool, accept: impl Fn(&TaskSet<'_>) -> bool) {
    let figure = |&count: &usize| {
        let (time, accepted) = measure(count, utilisation, short, &accept);
        format!("{time:>11.1} ({accepted:>2}/{SETS})")
    };
    println!("{title:<34}{}", counts.iter().map(figure).collect::<String>());
}

fn main() {
    let counts = [10, 100, 1_000, 10_000];
    println!("QPA, µs (accepted)                {}", counts.map(|n| format!("{n:>12} tasks")).concat());
    let test = |set: &TaskSet<'_>| edf::test(set).is_schedulable();
    for utilisation in [0.7, 0.9, 0.98, 0.985] {
        row(&format!("U {utilisation}, deadlines = periods"), &counts, utilisation, false, test);
        row(&format!("U {utilisation}, short deadlines"), &counts, utilisation, true, test);
    }
    let counts = [10, 30, 150];
    println!("\nresponse times, µs                {}", counts.map(|n| format!("{n:>12} tasks")).concat());
    let known = |responses: Vec<dis_core::admission::Response>| responses.iter().all(|r| r.within().is_some());
    for utilisation in [0.7, 0.9] {
        row(&format!("U {utilisation}, exact"), &counts, utilisation, false, |set| known(response::exact(set)));
        row(&format!("U {utilisation}, quick"), &counts, utilisation, false, |set| known(response::quick(set)));
    }
}
