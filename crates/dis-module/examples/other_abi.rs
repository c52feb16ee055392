//! A module of another ABI, for tests.

use dis_core::intent::QueueType;
use dis_core::modules::{Module, SchedulerModule, Version};
use dis_core::policy::{RoundRobinPolicy, SchedulingPolicy};
use dis_module::abi::{Descriptor, Text, VERSION};

#[derive(Default)]
struct Newer;

impl Module for Newer {
    fn name(&self) -> &'static str {
        "newer"
    }
    fn version(&self) -> Version {
        Version::new(1, 0, 0)
    }
}

impl SchedulerModule for Newer {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        Box::new(RoundRobinPolicy::default())
    }
    fn supported_intents(&self) -> &[QueueType] {
        &[]
    }
}

/// What a host finds.
#[unsafe(no_mangle)]
pub static DIS_SCHEDULER_MODULE: Descriptor = Descriptor {
    version: VERSION + 6,
    toolkit: Text::new("dis-module 9.8.7"),
    ..dis_module::export::descriptor::<Newer>()
};
