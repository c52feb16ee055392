//! A scheduling policy for DIS in a module of its own: tasks take turns, and the slice follows the priority.
//!
//! Change `MyPolicy` into yours, then
//!
//! ```text
//! cargo test
//! cargo build --release
//! dis module check target/release/libmy_policy.so
//! dis run workload.toml --module target/release/libmy_policy.so --policy batch=my-policy
//! ```

use dis_core::api::{Duration, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::{Module, ModuleResult, SchedulerModule, Version};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey};
use dis_core::queues::FifoQueue;

/// What makes the policies: one for each CPU and class that it is chosen for.
#[derive(Default)]
pub struct MyScheduler;

impl Module for MyScheduler {
    fn name(&self) -> &'static str {
        "my-policy"
    }

    fn version(&self) -> Version {
        Version::new(0, 1, 0)
    }

    fn init(&mut self) -> ModuleResult<()> {
        // Whatever must be there before the first policy; an error keeps the module from being used.
        Ok(())
    }
}

impl SchedulerModule for MyScheduler {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        Box::new(MyPolicy::default())
    }

    fn supported_intents(&self) -> &[QueueType] {
        // Everybody gets a turn, which is what Batch and Background promise. Empty if nothing is promised.
        &[QueueType::Batch, QueueType::Background]
    }
}

/// The order of the ready tasks of one class on one CPU.
///
/// Allocate in `reserve` only: all else may be called from a signal handler. Do not block, print or panic.
#[derive(Default)]
struct MyPolicy {
    ready: FifoQueue<TaskKey>,
}

impl SchedulingPolicy for MyPolicy {
    fn name(&self) -> &'static str {
        "my-policy"
    }

    fn on_ready(&mut self, task: &mut Entity, why: Arrival, _now: Timestamp) {
        match why {
            // It was interrupted before its slice ended: it keeps its place.
            Arrival::Preempt => self.ready.push_front(task.key),
            _ => self.ready.push_back(task.key),
        }
    }

    fn select(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.pop()
    }

    fn peek(&mut self, _now: Timestamp) -> Option<TaskKey> {
        self.ready.peek()
    }

    fn on_block(&mut self, _task: &mut Entity, _now: Timestamp) {}

    fn remove(&mut self, task: &mut Entity, _now: Timestamp) -> bool {
        self.ready.remove(task.key)
    }

    fn update(&mut self, task: &mut Entity, priority: u8, deadline: Timestamp, _now: Timestamp) {
        (task.priority, task.deadline) = (priority, deadline);
    }

    fn on_tick(&mut self, _task: &mut Entity, _ran: Duration, _now: Timestamp) {}

    fn time_slice(&self, task: &Entity) -> Duration {
        // 1 ms for the least urgent, 26 ms for the most urgent.
        Duration::from_micros(1_000 + 100 * u64::from(u8::MAX - task.priority))
    }

    fn preempts(&self, _ready: &Entity, _running: &Entity) -> bool {
        false
    }

    fn visit(&self, visit: &mut dyn FnMut(TaskKey) -> bool) {
        let _ = self.ready.iter_back().any(visit);
    }

    fn len(&self) -> usize {
        self.ready.len()
    }

    fn reserve(&mut self, keys: usize) {
        self.ready.reserve(keys);
    }
}

dis_module::export_scheduler!(MyScheduler);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        let report = dis_module::check(&MyScheduler);
        assert!(report.passed(), "\n{report}");
    }
}
