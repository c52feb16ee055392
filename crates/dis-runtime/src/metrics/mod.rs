//! A runtime's counters as text for Prometheus.
//!
//! All names begin with `dis_`; times are in seconds. Labels: `class` (`system`, `realtime`, `interactive`, `batch`, `background`),
//! `target_us` beside it for lanes with a target latency, `worker`.

mod exposition;

use std::sync::atomic::Ordering;
use std::time::Duration;

use dis_core::intent::{IntentClass, QueueType};

use crate::Runtime;
use crate::future::{LaneStats, WAIT_BOUNDS, WaitHistogram};
use crate::gate::inside;
use crate::runtime::Inner;

pub use exposition::{CONTENT_TYPE, Exposition, Family, Value};

/// The counters of the runtime that runs the caller, to which the caller may add families of its own; `None` outside of tasks.
pub fn here() -> Option<Exposition> {
    crate::api::here().map(|(klt, _)| of(klt.rt()))
}

impl Runtime {
    /// All counters of the runtime in Prometheus's text format ([`metrics`](crate::metrics)). Allocates; O(lanes), not O(tasks).
    pub fn prometheus(&self) -> String {
        of(&self.inner).finish()
    }
}

fn of(rt: &Inner) -> Exposition {
    let mut text = Exposition::new();
    tasks(&mut text, rt);
    host(&mut text, rt);
    lanes(&mut text, &rt.futures.lane_stats(rt.config.measure_waits));
    text
}

fn tasks(text: &mut Exposition, rt: &Inner) {
    let stats = inside(|| rt.exec.stats_at(rt.now()));
    for (name, help, value) in [
        ("dis_tasks_created_total", "Scheduler tasks created.", stats.tasks_created),
        ("dis_tasks_exited_total", "Scheduler tasks that ended by themselves.", stats.tasks_exited),
        ("dis_tasks_killed_total", "Scheduler tasks that were killed.", stats.tasks_killed),
        ("dis_deadline_misses_total", "Realtime jobs not finished by their deadlines.", stats.deadline_misses),
        ("dis_policy_faults_total", "Policies replaced since their answers were wrong.", stats.policy_faults),
    ] {
        text.counter(name, help).sample(&[], value);
    }
    text.counter("dis_context_switches_total", "Switches between scheduler tasks.")
        .sample(&[("kind", "voluntary")], stats.voluntary_switches)
        .sample(&[("kind", "involuntary")], stats.involuntary_switches);
    text.counter("dis_cpu_seconds_total", "CPU time that scheduler tasks have used.")
        .sample(&[], Duration::from_nanos(stats.total_cpu_time));
    let queues = || stats.queue_stats.iter();
    let mut length = text.gauge("dis_queue_length", "Scheduler tasks that are ready and wait for a CPU.");
    queues().for_each(|(class, queue)| _ = length.sample(&[("class", class.name())], u64::from(queue.length)));
    let mut taken = text.counter("dis_queue_dequeued_total", "Scheduler tasks taken out of the queue of ready ones.");
    queues().for_each(|(class, queue)| _ = taken.sample(&[("class", class.name())], queue.dequeued));
    let mut waited = text.counter("dis_queue_wait_seconds_total", "How long those waited, together.");
    queues().for_each(|(class, queue)| {
        let ns = u64::try_from(queue.total_wait()).unwrap_or(u64::MAX);
        waited.sample(&[("class", class.name())], Duration::from_nanos(ns));
    });
}

fn host(text: &mut Exposition, rt: &Inner) {
    let klts = || rt.klts();
    let count = |n: usize| n as u64;
    for (name, help, value) in [
        ("dis_workers", "CPUs of the scheduler.", count(rt.workers.len())),
        ("dis_tasks", "Scheduler tasks that have not ended.", count(rt.live.load(Ordering::Acquire))),
        ("dis_futures", "Spawned futures that have not ended.", count(rt.futures.live())),
        (
            "dis_threads",
            "Kernel threads that can run tasks.",
            count(klts().filter(|klt| klt.tid.load(Ordering::Relaxed) != 0).count()),
        ),
    ] {
        text.gauge(name, help).sample(&[], value);
    }
    text.counter("dis_preemption_signals_total", "Preemption signals that have reached running tasks.")
        .sample(&[], klts().map(|klt| klt.signals.load(Ordering::Relaxed)).sum::<u64>());
    let (waits, runs) = rt.reactor.stood_aside();
    text.counter("dis_reactor_waits_total", "Times that the reactor's thread was found waiting for a worker's CPU.")
        .sample(&[], waits);
    text.counter("dis_reactor_runs_total", "Times of these that it ran until it rested, while the worker stood aside.")
        .sample(&[], runs);
    text.counter("dis_takeovers_total", "Workers taken over from tasks that were blocked in the kernel.")
        .sample(&[], klts().map(|klt| klt.displacements.load(Ordering::Relaxed)).sum::<u64>());
}

/// The labels of a kind of lanes.
struct Kind(QueueType, Option<String>);

impl Kind {
    fn new(class: IntentClass) -> Kind {
        let target = match class {
            IntentClass::Interactive { target_latency_us } => Some(target_latency_us.to_string()),
            _ => None,
        };
        Kind(class.queue(), target)
    }

    fn labels<'a>(&'a self, more: Option<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
        let target = self.1.as_deref().map(|target| ("target_us", target));
        [("class", self.0.name())].into_iter().chain(target).chain(more).collect()
    }
}

fn lanes(text: &mut Exposition, lanes: &[LaneStats]) {
    let each = |family: &mut Family<'_>, value: fn(&LaneStats) -> Value| {
        for lane in lanes {
            let (kind, worker) = (Kind::new(lane.class), lane.worker.to_string());
            family.sample(&kind.labels(Some(("worker", &worker))), value(lane));
        }
    };
    each(&mut text.gauge("dis_lane_ready", "Futures ready on a lane."), |lane| (lane.ready as u64).into());
    each(&mut text.counter("dis_polls_total", "Polls of a lane's futures."), |lane| lane.polls.into());
    each(&mut text.counter("dis_poll_seconds_total", "How long polls held the worker."), |lane| lane.busy.into());
    each(&mut text.gauge("dis_poll_longest_seconds", "The longest poll that has ended."), |lane| lane.longest.into());
    each(&mut text.counter("dis_futures_stolen_total", "Futures taken from other lanes."), |lane| lane.stolen.into());
    each(
        &mut text.counter("dis_polls_displaced_total", "Polls that took too long, or waited, and lost the lane."),
        |lane| lane.displaced.into(),
    );
    each(&mut text.counter("dis_displaced_poll_seconds_total", "How long displaced polls held CPUs."), |lane| {
        lane.displaced_busy.into()
    });
    if lanes.iter().all(|lane| lane.waits.is_none()) {
        return; // Not measured.
    }
    let name = "dis_future_wait_seconds";
    let mut family = text.histogram(name, "From a future's wake-up to its poll, all workers.");
    let mut classes: Vec<IntentClass> = lanes.iter().map(|lane| lane.class).collect();
    classes.dedup(); // Lanes of a kind lie side by side.
    for class in classes {
        let of_class = lanes.iter().filter(|lane| lane.class == class).filter_map(|lane| lane.waits);
        let sum = of_class.fold(WaitHistogram::default(), |sum, waits| sum + waits);
        let bounds = WAIT_BOUNDS.map(Value::from).into_iter().zip(sum.buckets);
        family.buckets(&Kind::new(class).labels(None), bounds, sum.beyond, sum.total);
    }
}
