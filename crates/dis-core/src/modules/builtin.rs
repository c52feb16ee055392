//! The modules that come with the scheduler, one for each policy.

use alloc::boxed::Box;

use super::{Module, SchedulerModule, Version};
use crate::api::Duration;
use crate::intent::QueueType::{self, Background, Batch, Interactive, Realtime, System};
use crate::policy::{EdfPolicy, FairPolicy, PriorityPolicy, RoundRobinPolicy, SchedulingPolicy};

/// How long a task of the product's `fair` runs at least before a peer may interrupt it.
const FAIR_GRANULARITY: Duration = Duration::from_millis(1);

/// Turns of equal length, whatever the priorities: for Batch and Background, in which everybody gets a turn.
#[derive(Debug, Clone, Copy)]
pub struct RoundRobinScheduler {
    /// Length of a turn.
    pub quantum: Duration,
}

impl Default for RoundRobinScheduler {
    fn default() -> Self {
        RoundRobinScheduler { quantum: Duration::from_millis(10) }
    }
}

/// Fixed priorities: for System. In other classes the lowest may starve, and deadlines and targets do not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct PriorityScheduler;

/// Earliest deadline first: for Realtime and Interactive, whose tasks have deadlines or targets. In others the oldest task
/// starves the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct EdfScheduler;

/// Fair shares by weight: for Batch and Background.
#[derive(Debug, Clone, Copy, Default)]
pub struct FairScheduler;

/// Implements both traits for a type: its name, the classes, and how it makes a policy.
macro_rules! module {
    ($module:ty, $name:literal, $classes:expr, |$this:ident| $policy:expr) => {
        impl Module for $module {
            fn name(&self) -> &'static str {
                $name
            }

            fn version(&self) -> Version {
                Version::new(1, 0, 0)
            }
        }

        impl SchedulerModule for $module {
            fn policy(&self) -> Box<dyn SchedulingPolicy> {
                let $this = self;
                Box::new($policy)
            }

            fn supported_intents(&self) -> &[QueueType] {
                &$classes
            }
        }
    };
}

module!(RoundRobinScheduler, "round-robin", [Batch, Background], |this| RoundRobinPolicy::new(this.quantum));
module!(PriorityScheduler, "priority", [System], |_this| PriorityPolicy::default());
module!(EdfScheduler, "edf", [Realtime, Interactive], |_this| EdfPolicy::new());
module!(FairScheduler, "fair", [Batch, Background], |_this| FairPolicy::with_intent_slices(FAIR_GRANULARITY));

/// The classes' modules in the product, in the order of [`QueueType::ALL`].
pub(crate) const DEFAULTS: [(QueueType, &str); 5] =
    [(System, "priority"), (Realtime, "edf"), (Interactive, "edf"), (Batch, "fair"), (Background, "fair")];

/// The product's policy for a class, without tasks; what a policy that answers wrongly is replaced by.
pub(crate) fn default_policy(class: QueueType) -> Box<dyn SchedulingPolicy> {
    match class {
        System => PriorityScheduler.policy(),
        Realtime | Interactive => EdfScheduler.policy(),
        Batch | Background => FairScheduler.policy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policies_are_those_of_the_default_modules() {
        assert_eq!(DEFAULTS.map(|(class, _)| default_policy(class).name()), DEFAULTS.map(|(_, name)| name));
    }
}
