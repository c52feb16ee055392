//! Tasks are killed while the policy of their class is being replaced.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use common::machine::{Machine, Op::*};
use common::modules::{NAMES, with_made};
use common::rng::Rng;
use common::wrapped::{Around, Wrapped};
use common::{at, ms, us};
use dis_core::api::{BlockReason, SchedError, TaskId, TaskState, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{EdfPolicy, Entity, FairPolicy, PriorityPolicy, RoundRobinPolicy, SchedulingPolicy, TaskKey};
use dis_core::scheduler::Config;

/// Who is queued in one policy.
type Queued = Arc<Mutex<BTreeMap<TaskKey, TaskId>>>;

/// Who is queued in each of the policies that a module has made.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Vec<Queued>>>);

impl Watch {
    fn module(&self, name: &'static str) -> SchedulerRegistry {
        let watch = self.clone();
        with_made(&[QueueType::Batch], move || {
            let inner: Box<dyn SchedulingPolicy> = match name {
                "round-robin" => Box::new(RoundRobinPolicy::default()),
                "priority" => Box::new(PriorityPolicy::default()),
                "edf" => Box::new(EdfPolicy::new()),
                "fair" => Box::new(FairPolicy::new()),
                _ => unreachable!("{name}"),
            };
            let queued = Queued::default();
            watch.0.lock().unwrap().push(queued.clone());
            Wrapped::over(inner, Watched(queued))
        })
    }

    /// All that are queued in any of them, in order; one that is queued twice is there twice.
    fn all(&self) -> Vec<TaskId> {
        let policies = self.0.lock().unwrap();
        let ids = policies.iter().flat_map(|queued| queued.lock().unwrap().values().copied().collect::<Vec<_>>());
        let mut ids: Vec<_> = ids.collect();
        ids.sort();
        ids
    }
}

/// Notes who is queued, and does not let a task be queued twice.
struct Watched(Queued);

impl Around for Watched {
    fn keeps(&mut self, task: &Entity, _now: Timestamp) -> bool {
        let before = self.0.lock().unwrap().insert(task.key, task.id);
        assert_eq!(before, None, "{} is queued already", task.id);
        true
    }
    fn selects(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        let key = right?;
        assert!(self.0.lock().unwrap().remove(&key).is_some(), "{key:?} was not queued");
        right
    }
    fn admits_to(&mut self, task: &Entity, removed: bool, _now: Timestamp) -> bool {
        assert_eq!(self.0.lock().unwrap().remove(&task.key).is_some(), removed, "{}", task.id);
        removed
    }
    fn changed(&self, inner: &dyn SchedulingPolicy) {
        assert_eq!(inner.len(), self.0.lock().unwrap().len(), "the queue of {}", inner.name());
    }
}

/// Where those that were killed were at that moment.
#[derive(Debug, Default)]
struct Killed {
    left_behind: u32,
    gone_over: u32,
    running: u32,
    asleep: u32,
    again: u32,
}

/// One replacement, with random kills between its steps.
fn replace(from: &'static str, to: &'static str, seed: u64, sum: &mut Killed) {
    let mut rng = Rng::new(seed);
    let (old, new) = (Watch::default(), Watch::default());
    let mut m = Machine::with_modules(Config::new(2), &old.module(from));
    let scripts: [&[_]; 4] = [
        &[Run(us(20)), Yield],
        &[Run(us(300))],
        &[Run(us(10)), Sleep(us(200))],
        &[Run(us(10)), BlockFor(BlockReason::Event, us(500))],
    ];
    let tasks: Vec<usize> = (0..80).map(|n| m.spawn(Intent::batch(), scripts[n % 4])).collect();
    m.run_until(ms(4));
    let modules = new.module(to);
    let mut handover = m.executor.prepare_handover(QueueType::Batch, &modules).in_steps_of(3);
    let mut killed = BTreeSet::new();
    while m.executor.advance_handover(&mut handover, at(m.now)) {
        for _ in 0..rng.below(4) {
            let running = m.current(rng.below(2) as usize).filter(|_| rng.chance(150));
            let task = running.unwrap_or_else(|| *rng.of(&tasks));
            let id = m.actors[task].id;
            let place = match m.state(task) {
                _ if killed.contains(&task) => &mut sum.again,
                TaskState::Running => &mut sum.running,
                TaskState::Ready if old.all().contains(&id) => &mut sum.left_behind,
                TaskState::Ready => &mut sum.gone_over,
                _ => &mut sum.asleep,
            };
            *place += 1;
            match m.kill(task) {
                Ok(_) => assert!(killed.insert(task), "task {task} was killed twice"),
                Err(why) => assert!(killed.contains(&task), "task {task}: {why}"),
            }
        }
        m.run_for(us(rng.below(15)));
    }
    assert_eq!(old.all(), [], "nobody is with the outgoing policy any more");
    m.run_for(ms(2));
    m.reconcile();

    // The dead are gone, and nobody else is.
    let (dead, alive): (Vec<usize>, Vec<usize>) = tasks.iter().partition(|task| killed.contains(task));
    for &task in &dead {
        assert_eq!(m.executor.kill(at(m.now), m.actors[task].id), Err(SchedError::TaskNotFound), "task {task}");
    }
    let ids = |m: &Machine, tasks: &[usize]| tasks.iter().map(|&task| m.actors[task].id).collect::<Vec<_>>();
    let mut there = m.executor.task_ids();
    there.sort();
    assert_eq!(there, ids(&m, &alive));
    // Those that are ready are queued with the incoming policy, once each, and only they.
    let ready: Vec<usize> = alive.iter().copied().filter(|&task| m.state(task) == TaskState::Ready).collect();
    assert!(ready.len() > 10, "{from} to {to}: {} are ready", ready.len());
    assert_eq!(new.all(), ids(&m, &ready));

    // Each of them runs again, and ends once.
    m.everybody_exits();
    m.run_for(ms(100));
    assert!(tasks.iter().all(|&task| m.actors[task].gone), "{from} to {to}");
    assert_eq!(new.all(), []);
    m.reconcile();
    let stats = m.executor.stats();
    assert_eq!((stats.tasks_killed, stats.tasks_exited), (dead.len() as u64, alive.len() as u64));
    assert_eq!(m.executor.policy_faults(QueueType::Batch), 0, "{from} to {to}");
}

#[test]
fn whoever_is_killed_while_it_lasts_is_gone_and_nobody_else() {
    let mut sum = Killed::default();
    for (n, from) in (0..).zip(NAMES) {
        for (k, to) in (0..).zip(NAMES) {
            replace(from, to, 1 + 4 * n + k, &mut sum);
        }
    }
    println!("{sum:?}");
    let Killed { left_behind, gone_over, running, asleep, again } = sum;
    assert!([left_behind, gone_over, running, asleep, again].iter().all(|&n| n > 5), "all were tried: {sum:?}");
}
