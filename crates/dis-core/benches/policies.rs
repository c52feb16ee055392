//! What a policy costs: one task put into the queue and the next one taken out, with a given number of others ready.
//!
//! `cargo bench -p dis-core --bench policies`. Figures are in ns for all calls named together, made
//! through `dyn SchedulingPolicy` as the core makes them. *Alike* are tasks of the same weight, slice and target latency,
//! the usual case: what arrives later is due later. *At random* is the other end: deadlines, weights and slices have
//! nothing to do with each other, and tasks are visited in an order that no cache foresees.

use std::hint::black_box;
use std::time::Instant;

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey, VirtualTime};

const SIZES: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];

/// A linear congruential generator (Knuth's constants); good enough, fast and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 32) * n) >> 32
    }
}

/// How tasks differ from each other.
#[derive(Clone, Copy, PartialEq)]
enum Mix {
    Alike,
    Random,
}

impl Mix {
    /// The deadline of a task that becomes ready.
    fn deadline(self, now: Timestamp, random: &mut Random) -> Timestamp {
        let latency = random.below(1 << 30);
        now + Duration::from_nanos(if self == Mix::Alike { 1 << 30 } else { latency })
    }

    fn entities(self, count: u32, random: &mut Random) -> Vec<Entity> {
        // Keys are not in the order of ids, as on a machine that has run for a while.
        let mut ids: Vec<u32> = (1..=count).collect();
        for i in (1..ids.len()).rev() {
            ids.swap(i, random.below(i as u64 + 1) as usize);
        }
        let entity = |key: u32| Entity {
            key: TaskKey(key),
            group: 0,
            id: TaskId::from_parts(ids[key as usize], 1),
            priority: if self == Mix::Alike { 100 } else { random.below(256) as u8 },
            deadline: self.deadline(Timestamp::ZERO, random),
            slice: Duration::from_millis(if self == Mix::Alike { 10 } else { 1 + random.below(10) }),
            virt: VirtualTime::default(),
        };
        (0..count).map(entity).collect()
    }
}

/// The time of `step` in the tenth of the batches that was disturbed least, ns.
fn time(batches: usize, steps: u32, mut step: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..batches)
        .map(|_| {
            let start = Instant::now();
            (0..steps).for_each(|_| step());
            start.elapsed().as_nanos() as f64 / f64::from(steps)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

/// The running task's slice ends, it goes back into the queue with a new deadline, and the next one is selected.
fn turn(policy: &mut dyn SchedulingPolicy, mix: Mix, count: u32) -> f64 {
    let mut random = Random(u64::from(count));
    let mut tasks = mix.entities(count, &mut random);
    let mut now = Timestamp::ZERO;
    policy.reserve(tasks.len());
    tasks.iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, now));
    let mut running = policy.select(now).expect("all are ready");
    // What the loop itself costs is part of the figure: a random number and the task's row.
    time(1_000, 2_000, || {
        let task = &mut tasks[running.index()];
        let ran = policy.time_slice(task);
        now += ran;
        task.deadline = mix.deadline(now, &mut random);
        policy.on_tick(task, ran, now);
        policy.on_ready(task, Arrival::SliceEnd, now);
        running = policy.select(now).expect("one is ready");
    })
}

/// The running task blocks, another one wakes up, and the next one is selected. A tenth of the tasks is blocked.
fn block_and_wake(policy: &mut dyn SchedulingPolicy, mix: Mix, count: u32) -> f64 {
    let mut random = Random(u64::from(count));
    let mut tasks = mix.entities(count + count / 10 + 1, &mut random);
    let mut now = Timestamp::ZERO;
    policy.reserve(tasks.len());
    let mut blocked: Vec<TaskKey> = (count..tasks.len() as u32).map(TaskKey).collect();
    tasks[..count as usize].iter_mut().for_each(|task| policy.on_ready(task, Arrival::Spawn, now));
    let mut running = policy.select(now).expect("all are ready");
    time(1_000, 2_000, || {
        let ran = Duration::from_nanos(50_000 + random.below(100_000));
        now += ran;
        let task = &mut tasks[running.index()];
        policy.on_tick(task, ran, now);
        policy.on_block(task, now);
        let place = random.below(blocked.len() as u64) as usize;
        let woken = std::mem::replace(&mut blocked[place], running);
        let task = &mut tasks[woken.index()];
        task.deadline = mix.deadline(now, &mut random);
        policy.on_ready(task, Arrival::Wake, now);
        running = policy.select(now).expect("one is ready");
    })
}

/// What the measuring loop of [`turn`] costs without a policy.
fn nothing(mix: Mix, count: u32) -> f64 {
    let mut random = Random(u64::from(count));
    let mut tasks = mix.entities(count, &mut random);
    let (mut now, mut running) = (Timestamp::ZERO, 0);
    time(1_000, 2_000, || {
        let ran = Duration::from_nanos(500_000 + random.below(1_000_000));
        now += ran;
        let task = &mut tasks[running];
        task.deadline = mix.deadline(now, &mut random);
        running = random.below(u64::from(count)) as usize;
        black_box(task.key);
    })
}

fn table(title: &str, names: &[&str], measure: impl Fn(&str, u32) -> f64) {
    println!("\n{title}, ns");
    println!("{:<12}{}", "ready", SIZES.map(|size| format!("{size:>9}")).concat());
    for name in names {
        println!("{name:<12}{}", SIZES.map(|size| format!("{:>9.1}", measure(name, size))).concat());
    }
}

fn main() {
    let only: Option<String> = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let modules = SchedulerRegistry::with_builtins();
    let names = modules.list().into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name));
    let names: Vec<&str> = names.collect();
    let make = |name: &str| modules.get(name).expect("it is listed").policy();
    table("the measuring loop alone", &["(none)"], |_, size| nothing(Mix::Random, size));
    for (mix, tasks) in [(Mix::Alike, "tasks alike"), (Mix::Random, "tasks at random")] {
        let title = |calls: &str| format!("{tasks}: {calls}");
        table(&title("slice end: charge, enqueue, select"), &names, |name, size| turn(&mut *make(name), mix, size));
        table(&title("block, wake another, select"), &names, |name, size| block_and_wake(&mut *make(name), mix, size));
    }
}
