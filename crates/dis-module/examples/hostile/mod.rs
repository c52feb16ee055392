// Round robin, until the 20th choice of a policy; from then on it does something bad. `KIND` says what.

use dis_core::api::{Duration, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::{Module, ModuleError, ModuleResult, SchedulerModule, Version};
use dis_core::policy::{Arrival, Entity, RoundRobinPolicy, SchedulingPolicy, TaskKey};

#[allow(dead_code)]
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Panics,
    NamesAForeignTask,
    Forgets,
    Loops,
    Allocates,
    FailsInit,
    PanicsInPolicy,
}

#[derive(Default)]
struct Hostile;

impl Module for Hostile {
    fn name(&self) -> &'static str {
        NAME
    }
    fn version(&self) -> Version {
        Version::new(6, 6, 6)
    }
    fn init(&mut self) -> ModuleResult<()> {
        if KIND == Kind::FailsInit { Err(ModuleError::Failed("it has no licence")) } else { Ok(()) }
    }
}

impl SchedulerModule for Hostile {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        assert!(KIND != Kind::PanicsInPolicy, "no policy today");
        Box::new(Bad { right: RoundRobinPolicy::new(Duration::from_millis(1)), choices: 0, hoard: Vec::new() })
    }
    fn supported_intents(&self) -> &[QueueType] {
        &[QueueType::Batch]
    }
}

struct Bad {
    right: RoundRobinPolicy,
    choices: u32,
    hoard: Vec<Vec<u64>>,
}

impl SchedulingPolicy for Bad {
    fn name(&self) -> &'static str {
        NAME
    }
    fn on_ready(&mut self, task: &mut Entity, why: Arrival, now: Timestamp) {
        if !(KIND == Kind::Forgets && self.choices > 20) {
            self.right.on_ready(task, why, now);
        }
    }
    fn select(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.choices += 1;
        let right = self.right.select(now);
        if self.choices <= 20 {
            return right;
        }
        match KIND {
            Kind::Panics => panic!("choice {} is one too many", self.choices),
            Kind::NamesAForeignTask => Some(TaskKey(12_345)),
            Kind::Loops => loop {
                std::hint::spin_loop();
            },
            Kind::Allocates => loop {
                self.hoard.push(vec![1; 1 << 17]);
            },
            _ => right,
        }
    }
    fn peek(&mut self, now: Timestamp) -> Option<TaskKey> {
        self.right.peek(now)
    }
    fn on_block(&mut self, task: &mut Entity, now: Timestamp) {
        self.right.on_block(task, now);
    }
    fn remove(&mut self, task: &mut Entity, now: Timestamp) -> bool {
        self.right.remove(task, now)
    }
    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, now: Timestamp) {
        self.right.update(task, priority, deadline, now);
    }
    fn on_tick(&mut self, task: &mut Entity, ran: Duration, now: Timestamp) {
        self.right.on_tick(task, ran, now);
    }
    fn time_slice(&self, task: &Entity) -> Duration {
        self.right.time_slice(task)
    }
    fn preempts(&self, ready: &Entity, running: &Entity) -> bool {
        self.right.preempts(ready, running)
    }
    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        self.right.visit(visit);
    }
    fn len(&self) -> usize {
        self.right.len()
    }
    fn reserve(&mut self, keys: usize) {
        self.right.reserve(keys);
    }
}

dis_module::export_scheduler!(Hostile);
