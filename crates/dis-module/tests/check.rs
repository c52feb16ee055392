//! The conformance suite passes what is right, and finds what is not.

#[allow(dead_code)]
#[path = "../../dis-core/tests/common/modules.rs"]
mod modules;

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, ScanAdapter, ScanPolicy, SchedulingPolicy, TaskKey};
use dis_module::{Check, check};
use modules::Made;

#[test]
fn the_built_in_modules_pass() {
    let modules = SchedulerRegistry::with_builtins();
    for name in modules.list() {
        let report = check(modules.get(name).unwrap());
        assert!(report.passed(), "{name}:\n{report}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    Forgets,
    NamesAStranger,
    DeniesRemoval,
    ShowsNothing,
    HasNoSlice,
    MovesNothing,
}

struct Flawed(Flaw, RoundRobinPolicy);

impl SchedulingPolicy for Flawed {
    fn name(&self) -> &'static str {
        "flawed"
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if self.0 != Flaw::Forgets || task.key.0 != 3 {
            self.1.on_ready(task, why, now);
        }
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        let right = self.1.select(now);
        if self.0 == Flaw::NamesAStranger { right.map(|_| TaskKey(900_000)) } else { right }
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.1.peek(now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.1.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.1.remove(task, now) && self.0 != Flaw::DeniesRemoval
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        if self.0 != Flaw::MovesNothing {
            self.1.update(task, priority, deadline, now);
        }
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.1.on_tick(task, ran, now);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        if self.0 == Flaw::HasNoSlice { Duration::ZERO } else { self.1.time_slice(task) }
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.1.preempts(ready, running)
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        if self.0 != Flaw::ShowsNothing {
            self.1.visit(visit);
        }
    }
    fn len(&self) -> usize {
        self.1.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.1.reserve(keys);
    }
}

#[test]
fn each_flaw_is_found() {
    let flaws = [
        (Flaw::Forgets, Check::Tasks),
        (Flaw::NamesAStranger, Check::Tasks),
        (Flaw::DeniesRemoval, Check::Removal),
        (Flaw::ShowsNothing, Check::Visit),
        (Flaw::HasNoSlice, Check::Tasks),
        (Flaw::MovesNothing, Check::Update),
    ];
    for (flaw, by) in flaws {
        let make = move || Box::new(Flawed(flaw, RoundRobinPolicy::default())) as Box<dyn SchedulingPolicy>;
        let report = check(&Made(make, &[]));
        let found = report.findings.iter().any(|finding| finding.check == by && finding.wrong.is_some());
        assert!(found, "{flaw:?}:\n{report}");
    }
}

#[test]
fn a_promise_that_is_not_kept_is_found() {
    let make = || Box::new(RoundRobinPolicy::default()) as Box<dyn SchedulingPolicy>;
    for class in [QueueType::System, QueueType::Realtime, QueueType::Interactive] {
        let classes: &'static [QueueType] = Vec::leak(vec![class]);
        let report = check(&Made(make, classes));
        let wrong: Vec<Check> = report.findings.iter().filter(|f| f.wrong.is_some()).map(|f| f.check).collect();
        assert_eq!(wrong, [Check::Order], "{class}:\n{report}");
    }
}

struct Youngest;

impl ScanPolicy for Youngest {
    fn name(&self) -> &'static str {
        "youngest"
    }
    fn select(&mut self, ready: &[Entity], _current: Option<&Entity>) -> Option<TaskId> {
        ready.iter().map(|task| task.id).max()
    }
    fn time_slice(&self, _task: &Entity) -> Duration {
        Duration::from_millis(1)
    }
}

/// A scan of all tasks is O(n), and starves whoever is oldest.
#[test]
fn a_scan_is_found_to_grow() {
    let make = || Box::new(ScanAdapter::new(Youngest)) as Box<dyn SchedulingPolicy>;
    let report = check(&Made(make, &[QueueType::Batch]));
    let wrong: Vec<Check> = report.findings.iter().filter(|f| f.wrong.is_some()).map(|f| f.check).collect();
    assert_eq!(wrong, [Check::Order, Check::Growth], "{report}");
}
