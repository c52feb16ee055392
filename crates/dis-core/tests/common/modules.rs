//! Modules for tests, and registries in which they are active.

use dis_core::intent::QueueType;
use dis_core::modules::{Module, SchedulerModule, SchedulerRegistry, Version};
use dis_core::policy::SchedulingPolicy;

/// The built-in policies.
pub const NAMES: [&str; 4] = ["round-robin", "priority", "edf", "fair"];

/// A module that makes policies with a function, and promises so much.
pub struct Made<F>(pub F, pub &'static [QueueType]);

impl<F: Send + Sync> Module for Made<F> {
    fn name(&self) -> &'static str {
        "made"
    }
    fn version(&self) -> Version {
        Version::new(0, 1, 0)
    }
}

impl<F: Fn() -> Box<dyn SchedulingPolicy> + Send + Sync> SchedulerModule for Made<F> {
    fn policy(&self) -> Box<dyn SchedulingPolicy> {
        (self.0)()
    }
    fn supported_intents(&self) -> &[QueueType] {
        self.1
    }
}

/// The built-in modules, and one more that makes policies with `make` for `classes`.
pub fn with_made(
    classes: &[QueueType],
    make: impl Fn() -> Box<dyn SchedulingPolicy> + Send + Sync + 'static,
) -> SchedulerRegistry {
    let mut modules = SchedulerRegistry::with_builtins();
    modules.register(Box::new(Made(make, &[]))).expect("a new name");
    for &class in classes {
        modules.set_active(class, "made").expect("it is registered");
    }
    modules
}

/// The built-in modules, `name` for `class`.
pub fn with_builtin(class: QueueType, name: &str) -> SchedulerRegistry {
    let mut modules = SchedulerRegistry::with_builtins();
    modules.set_active(class, name).expect("a built-in policy");
    modules
}
