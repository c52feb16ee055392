//! What the policies' tests share.

use alloc::vec::Vec;

use super::{Entity, SchedulingPolicy, TaskKey, VirtualTime};
use crate::api::{Duration, TaskId, Timestamp};

/// A task without a deadline, of priority 0, with slices of 10 ns; its id is its key's.
pub(crate) fn entity(key: u32) -> Entity {
    Entity {
        key: TaskKey(key),
        group: 0,
        id: TaskId::from_parts(key, 1),
        priority: 0,
        deadline: Timestamp::MAX,
        slice: Duration::from_nanos(10),
        virt: VirtualTime::default(),
    }
}

/// All queued tasks in the order in which the policy selects them.
pub(crate) fn drain(policy: &mut dyn SchedulingPolicy) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(peeked) = policy.peek(Timestamp::ZERO) {
        let left = policy.len();
        assert_eq!(policy.select(Timestamp::ZERO), Some(peeked), "peek and select agree");
        assert_eq!(policy.len(), left - 1);
        order.push(peeked.0);
    }
    assert!(policy.select(Timestamp::ZERO).is_none() && policy.is_empty());
    order
}

/// The queued tasks as the policy shows them.
pub(crate) fn visited(policy: &dyn SchedulingPolicy) -> Vec<u32> {
    let mut seen = Vec::new();
    policy.visit(&mut |key| {
        seen.push(key.0);
        false
    });
    seen
}
