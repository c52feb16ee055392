//! Earliest deadline first from the core, as a loaded module.

use dis_core::intent::QueueType;
use dis_core::modules::{Module, SchedulerModule, Version};
use dis_core::policy::{EdfPolicy, SchedulingPolicy};

#[derive(Default)]
struct Deadline;

impl Module for Deadline {
    fn name(&self) -> &'static str {
        "deadline"
    }
    fn version(&self) -> Version {
        Version::new(2, 3, 4)
    }
}

impl SchedulerModule for Deadline {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        Box::new(EdfPolicy::new())
    }
    fn supported_intents(&self) -> &[QueueType] {
        &[QueueType::Realtime, QueueType::Interactive]
    }
}

dis_module::export_scheduler!(Deadline);
