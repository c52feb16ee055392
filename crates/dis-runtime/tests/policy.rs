//! Policies of a program's own: chosen through the registry, replaced when they answer wrongly, fatal when they panic.

#[path = "common/alone.rs"]
mod common;

use std::hint::spin_loop;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;

use common::{alone, is_child};
use dis_core::modules::{Module, SchedulerModule, Version};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};
use dis_runtime::{BuildError, Duration, Intent, QueueType, Runtime, SchedulerRegistry, Timestamp, yield_now};

/// What the policy does when it has made so many choices.
#[derive(Clone, Copy)]
enum Then {
    Panic,
    NameNobody,
    Nothing,
}

/// The latest comer first.
struct Latest {
    queue: Vec<TaskKey>,
    choices: Arc<AtomicU32>,
    last: u32,
    then: Then,
}

impl SchedulingPolicy for Latest {
    fn name(&self) -> &'static str {
        "latest"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _: Timestamp) {
        let place = if why == Arrival::Spawn { self.queue.len() } else { 0 };
        self.queue.insert(place, task.key);
    }
    fn select(&mut self, _: Timestamp) -> Option<TaskKey> {
        if self.choices.fetch_add(1, Ordering::Relaxed) >= self.last {
            match self.then {
                Then::Panic => panic!("no choice but {}", self.last),
                Then::NameNobody => return None,
                Then::Nothing => {}
            }
        }
        self.queue.pop()
    }
    fn peek(&mut self, _: Timestamp) -> Option<TaskKey> {
        self.queue.last().copied()
    }
    fn on_block(&mut self, _: &mut Entity, _: Timestamp) {}
    fn remove(&mut self, task: &mut Entity, _: Timestamp) -> bool {
        let place = self.queue.iter().position(|key| *key == task.key);
        place.map(|place| self.queue.remove(place)).is_some()
    }
    fn update(&mut self, _: &mut Entity, _: u8, _: Timestamp, _: Timestamp) {}
    fn on_tick(&mut self, _: &mut Entity, _: Duration, _: Timestamp) {}
    fn time_slice(&self, _: &Entity) -> Duration {
        Duration::from_millis(1)
    }
    fn preempts(&self, _: &Entity, _: &Entity) -> bool {
        false
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.queue.iter().any(|key| visit(*key));
    }
    fn len(&self) -> usize {
        self.queue.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.queue.reserve(keys.saturating_sub(self.queue.len()));
    }
}

/// The module that makes them. They count their choices together.
struct LatestScheduler {
    choices: Arc<AtomicU32>,
    last: u32,
    then: Then,
}

impl Module for LatestScheduler {
    fn name(&self) -> &'static str {
        "latest"
    }
    fn version(&self) -> Version {
        Version::new(1, 0, 0)
    }
}

impl SchedulerModule for LatestScheduler {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        let choices = Arc::clone(&self.choices);
        Box::new(Latest { queue: Vec::new(), choices, last: self.last, then: self.then })
    }
    fn supported_intents(&self) -> &[QueueType] {
        &[QueueType::Batch]
    }
    fn can_schedule(&self, class: QueueType) -> bool {
        class != QueueType::System
    }
}

/// A registry with the module, and the number of choices that its policies have made.
fn modules(last: u32, then: Then) -> (SchedulerRegistry, Arc<AtomicU32>) {
    let choices = Arc::default();
    let mut modules = SchedulerRegistry::with_builtins();
    modules.register(Box::new(LatestScheduler { choices: Arc::clone(&choices), last, then })).unwrap();
    (modules, choices)
}

/// One worker with the policy in Batch.
fn runtime(last: u32, then: Then) -> (Runtime, Arc<AtomicU32>) {
    let (modules, choices) = modules(last, then);
    let builder = Runtime::builder().workers(1).max_tasks(256).modules(modules);
    (builder.policy(QueueType::Batch, "latest").build().unwrap(), choices)
}

/// The order in which ten tasks ran that became ready one after the other.
fn order(rt: &Runtime) -> Vec<u32> {
    let (send, receive) = channel();
    let parent = move || {
        for i in 0..10 {
            let send = send.clone();
            drop(dis_runtime::spawn_fn(Intent::batch(), move || send.send(i).unwrap()).unwrap());
        }
    };
    rt.spawn_fn(Intent::interactive(1_000), parent).unwrap().join().unwrap();
    receive.iter().collect()
}

#[test]
fn a_policy_of_ones_own_orders_its_class() {
    let (rt, choices) = runtime(u32::MAX, Then::Nothing);
    assert_eq!(order(&rt), (0..10).rev().collect::<Vec<_>>());
    assert_eq!(choices.load(Ordering::Relaxed), 10);
    // Any other class has its own policy still.
    rt.spawn_fn(Intent::background(), || ()).unwrap().join().unwrap();
    assert_eq!((choices.load(Ordering::Relaxed), rt.stats().policy_faults), (10, 0));
}

#[test]
fn a_registered_module_is_not_active_by_itself() {
    let (modules, choices) = modules(u32::MAX, Then::Nothing);
    let rt = Runtime::builder().workers(1).modules(modules).build().unwrap();
    assert_eq!(order(&rt), (0..10).collect::<Vec<_>>());
    assert_eq!(choices.load(Ordering::Relaxed), 0);
}

#[test]
fn what_cannot_be_chosen_is_an_error() {
    let build = |class, name: &str| {
        let builder = Runtime::builder().workers(1).policy(class, name).modules(modules(0, Then::Nothing).0);
        builder.build().err().map(|error: BuildError| error.to_string())
    };
    assert_eq!(
        build(QueueType::Batch, "lottery").unwrap(),
        "no policy is named 'lottery'; there are edf, fair, latest, priority, round-robin"
    );
    assert_eq!(build(QueueType::System, "latest").unwrap(), "the policy 'latest' cannot serve the class system");
    assert_eq!(build(QueueType::Realtime, "round-robin"), None);
}

#[test]
fn a_wrong_answer_costs_no_task() {
    let (rt, choices) = runtime(5, Then::NameNobody);
    let mut ran = order(&rt);
    ran.sort_unstable();
    assert_eq!(ran, (0..10).collect::<Vec<_>>());
    // The one that it named none at was its last.
    assert_eq!((choices.load(Ordering::Relaxed), rt.stats().policy_faults), (6, 1));
}

/// The process has ended by SIGABRT, with a message that says whose fault it was.
fn aborts(test: &str) {
    let output = alone(test);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    assert!(
        text.contains("dis-runtime: the policy 'latest' panicked at ") && text.contains(": no choice but "),
        "{text}"
    );
}

#[test]
fn a_panic_where_a_task_yields_ends_the_process() {
    aborts("child_yields");
}

#[test]
fn child_yields() {
    if is_child() {
        let (rt, _) = runtime(20, Then::Panic);
        let begun = Arc::new(AtomicU32::new(0));
        let tasks = [(); 2].map(|()| {
            let begun = begun.clone();
            let body = move || {
                begun.fetch_add(1, Ordering::Relaxed);
                // Alone it has nobody to yield to, and the policy is not asked.
                while begun.load(Ordering::Relaxed) < 2 {
                    yield_now();
                }
                (0..100).for_each(|_| yield_now());
            };
            rt.spawn_fn(Intent::batch(), body).unwrap()
        });
        tasks.into_iter().for_each(|task| assert!(task.join().is_ok()));
    }
}

/// In the signal handler, while another task of the CPU holds the lock of standard error, so that no panic hook that prints can
/// get on.
#[test]
fn a_panic_where_a_task_is_preempted_ends_the_process() {
    aborts("child_is_preempted");
}

#[test]
fn child_is_preempted() {
    if is_child() {
        // The first choice is the holder, the second the other task, the third comes from the signal handler.
        let (rt, _) = runtime(2, Then::Panic);
        let held = Arc::new(AtomicBool::new(false));
        let (hold, look) = (Arc::clone(&held), held);
        let holder = rt.task(Intent::batch()).dedicated().spawn(move || {
            let _lock = std::io::stderr().lock();
            hold.store(true, Ordering::Relaxed);
            loop {
                spin_loop();
            }
        });
        while !look.load(Ordering::Relaxed) {
            spin_loop();
        }
        let other = rt.task(Intent::batch()).dedicated().spawn(|| {
            loop {
                spin_loop();
            }
        });
        let _: Result<(), _> = other.unwrap().join();
        drop(holder);
    }
}

/// On a thread of a worker, which no task is in.
#[test]
fn a_panic_on_an_idle_worker_ends_the_process() {
    aborts("child_is_idle");
}

#[test]
fn child_is_idle() {
    if is_child() {
        let (rt, _) = runtime(0, Then::Panic);
        let _ = rt.spawn_fn(Intent::batch(), || ()).unwrap().join();
    }
}

/// Tasks may panic as ever where such a policy is.
#[test]
fn a_task_that_panics_is_no_affair_of_the_policy() {
    let (rt, _) = runtime(u32::MAX, Then::Nothing);
    let task = rt.spawn_fn(Intent::batch(), || panic!("expected")).unwrap();
    let error: dis_runtime::JoinError = Result::<(), _>::unwrap_err(task.join());
    assert_eq!(error.to_string(), "the task panicked: expected");
}
