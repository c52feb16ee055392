//! The modules that come with the scheduler, one for each policy.

use alloc::boxed::Box;

use super::{Module, SchedulerModule, Version};
use crate::api::Duration;
use crate::intent::QueueType::{self, Background, Batch, Interactive, Realtime, System};
use crate::policy::{EdfPolicy, FAIR_GRANULARITY, FairPolicy, PriorityPolicy, RoundRobinPolicy, SchedulingPolicy};

/// Turns of equal length: for Batch and Background, which promise no latency.
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

/// Fixed priorities: for every class. Realtime tasks then have the guarantees of fixed priorities, not of deadlines.
#[derive(Debug, Clone, Copy, Default)]
pub struct PriorityScheduler;

/// Earliest deadline first: for the classes whose tasks have deadlines. In others the oldest task would starve the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct EdfScheduler;

/// Fair shares: for the classes that promise a share.
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
module!(PriorityScheduler, "priority", QueueType::ALL, |_this| PriorityPolicy::default());
module!(EdfScheduler, "edf", [Realtime, Interactive], |_this| EdfPolicy::new());
module!(FairScheduler, "fair", [Interactive, Batch, Background], |_this| FairPolicy::with_intent_slices(
    FAIR_GRANULARITY
));

/// The classes' modules in the product, in the order of [`QueueType::ALL`].
pub(crate) const DEFAULTS: [(QueueType, &str); 5] =
    [(System, "priority"), (Realtime, "edf"), (Interactive, "edf"), (Batch, "fair"), (Background, "fair")];
