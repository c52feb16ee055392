//! What takes over from a policy whose answers are wrong.

use alloc::boxed::Box;

use super::state::CpuState;
use crate::api::Timestamp;
use crate::intent::QueueType;
use crate::modules::builtin::default_policy;
use crate::policy::{Arrival, SchedulingPolicy, TaskKey};

/// The built-in policy of a class, with room made. It is there from the start, and what it replaces stays in its place,
/// because the wrong answer may come where nothing may be allocated or freed.
pub(crate) struct Standby {
    policy: Box<dyn SchedulingPolicy>,
    used: bool,
}

impl Standby {
    pub fn new(class: QueueType) -> Self {
        Standby { policy: default_policy(class), used: false }
    }

    pub fn policy(&mut self) -> &mut Box<dyn SchedulingPolicy> {
        &mut self.policy
    }

    pub fn reserve(&mut self, keys: usize) {
        if !self.used {
            self.policy.reserve(keys);
        }
    }
}

impl<C> CpuState<C> {
    /// Before the policy of `class` is asked who may move: one that has lost count of its tasks is replaced. It might not show
    /// the one that an idle CPU waits for, and nobody would ask it who goes next meanwhile.
    pub fn audit(&mut self, class: QueueType, now: Timestamp) {
        if !self.classes[class.rank()].is_sound() && !self.hands_over(class, now) {
            self.distrust(class, now);
        }
    }

    /// The policy of `class` named a task that is not ready in it, or none although some are, or has lost count of them: the
    /// built-in policy takes over with all that are ready, and the event is counted. O(tasks).
    #[cold]
    #[inline(never)]
    pub fn distrust(&mut self, class: QueueType, now: Timestamp) {
        let slot = &mut self.classes[class.rank()];
        match &mut self.standbys[class.rank()] {
            Some(standby) if !standby.used => {
                core::mem::swap(&mut slot.policy, &mut standby.policy);
                standby.used = true;
            }
            // A built-in policy erred, which no test has seen.
            _ => {
                slot.policy = default_policy(class);
                slot.policy.reserve(self.slab.capacity());
            }
        }
        if let Some(old) = &mut self.outgoing[class.rank()] {
            old.forget();
        }
        slot.replaced += 1;
        self.counts.policy_faults += 1;
        let mut ready = 0;
        for key in (0..self.slab.len()).map(|index| TaskKey(index as u32)) {
            if self.get(key).is_some_and(|task| task.is_queued() && task.sched.class == class) {
                let (task, policy) = self.task_and_policy(key);
                policy.on_ready(&mut task.sched.entity, Arrival::Migrate, now);
                ready += 1;
            }
        }
        debug_assert_eq!(self.classes[class.rank()].stat.length, ready, "what is ready has been counted");
    }
}
