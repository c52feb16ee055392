//! Policies by name.

use alloc::boxed::Box;

use crate::api::Duration;

use super::{EdfPolicy, FairPolicy, PriorityPolicy, RoundRobinPolicy, SchedulingPolicy};

/// Makes a policy without tasks.
pub type PolicyFactory = fn() -> Box<dyn SchedulingPolicy>;

/// The names of the built-in policies, as [`by_name`] and [`SchedulingPolicy::name`] have them.
pub const NAMES: [&str; 4] = ["round-robin", "priority", "edf", "fair"];

/// How long a task of the product's `fair` runs at least before a peer may interrupt it.
pub(crate) const FAIR_GRANULARITY: Duration = Duration::from_millis(1);

/// The built-in policy of that name, with the product's settings: slices of `fair` are the intents' own (Batch 10 ms,
/// Background 50 ms).
pub fn by_name(name: &str) -> Option<PolicyFactory> {
    Some(match name {
        "round-robin" => || Box::new(RoundRobinPolicy::default()),
        "priority" => || Box::new(PriorityPolicy::default()),
        "edf" => || Box::new(EdfPolicy::default()),
        "fair" => || Box::new(FairPolicy::with_intent_slices(FAIR_GRANULARITY)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_the_policy_of_that_name() {
        for name in NAMES {
            assert_eq!(by_name(name).map(|make| make().name()), Some(name));
        }
        assert!(by_name("Round Robin").is_none());
    }
}
