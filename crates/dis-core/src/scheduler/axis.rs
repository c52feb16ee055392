//! One axis of virtual time for all CPUs, so that what a task has had on one counts on the next.
//!
//! The virtual clock of a class runs on each CPU at a pace of its own: the more tasks compete there, and the more the
//! classes above take, the slower. The *position* of a task is its virtual runtime plus its queue's origin. Positions are
//! compared between CPUs, and a task that moves while it is ready keeps its own: if the tasks there have had more, it is
//! owed the difference, and is served first until it has caught up.
//!
//! Nothing keeps clocks together that have no tasks to exchange, so what a task may be owed is bounded
//! ([`MOST_OWED`]); a task that is ahead waits for no more than its policy's own bound, one request.

use super::state::CpuState;
use crate::api::Timestamp;
use crate::intent::QueueType;
use crate::policy::{Claim, Lag, MOST_OWED, Progress, SCALE_BITS, TaskKey, virtual_length, weight};

impl<C> CpuState<C> {
    /// How far the tasks of `class` have got here, on the machine's axis; `None` if its policy has no clock.
    pub fn progress(&mut self, class: QueueType) -> Option<Progress> {
        let queue = &mut self.classes[class.rank()];
        let Progress { mean, weight } = queue.policy.progress()?;
        Some(Progress { mean: mean.wrapping_add(queue.origin), weight })
    }

    /// Where a task that competes stands on the machine's axis.
    pub fn position(&mut self, key: TaskKey) -> Option<i64> {
        let class = self.task(key).sched.class;
        let queue = &self.classes[class.rank()];
        Some(queue.policy.vruntime(key)?.wrapping_add(queue.origin))
    }

    /// What the task, or its part of a group, is owed, as far as it competes and its policy has a clock: what the running task has had since it was last
    /// charged is reckoned in.
    pub fn lag(&mut self, key: TaskKey, now: Timestamp) -> Option<Lag> {
        let (task, running) = (self.get(key)?, self.current == Some(key));
        if !task.is_queued() && !running {
            return None;
        }
        let (class, entity) = (task.sched.class, task.sched.entity);
        let policy = &mut self.classes[class.rank()].policy;
        let weight = i64::from(policy.weight_of(&entity).own);
        let Progress { mean, weight: all } = policy.progress()?;
        let owed = (i128::from(mean.wrapping_sub(policy.vruntime(key)?)) * i128::from(weight)) >> SCALE_BITS;
        let competes = self.current.and_then(|key| self.get(key)).is_some_and(|task| task.sched.class == class);
        let ran = if competes { i128::from(self.uncharged(now).as_nanos()) } else { 0 };
        let owed = owed + ran * i128::from(weight) / i128::from(all.max(1)) - if running { ran } else { 0 };
        Some(Lag::new(owed.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }

    /// A task that does not compete yet is to begin at `position`, as far as it may be behind or ahead.
    pub fn arrive_at(&mut self, key: TaskKey, position: i64) {
        let task = self.task(key);
        let (class, entity) = (task.sched.class, task.sched.entity);
        let Some(here) = self.progress(class) else { return };
        let Claim { own, whole } = self.classes[class.rank()].policy.weight_of(&entity);
        let behind = here.mean.wrapping_sub(position);
        let lag = if here.weight == 0 {
            // Nobody here: the clock is set by the newcomer.
            let queue = &mut self.classes[class.rank()];
            queue.origin = queue.origin.wrapping_sub(behind);
            0
        } else {
            let most = virtual_length(MOST_OWED, whole);
            // A lag counts from the clock after the arrival, which pulls it towards the newcomer.
            let after = i128::from(behind.clamp(-most, most)) * i128::from(here.weight);
            // It brings service, which is reckoned by the weight of its priority.
            let lag = after / i128::from(here.weight + i64::from(own));
            (lag * i128::from(own) / i128::from(weight(entity.priority))) as i64
        };
        self.task(key).sched.entity.virt.lag = lag;
    }

    /// Sets the clock of `class` on by `span`: what its tasks are behind beyond that is forgotten.
    pub fn forgive(&mut self, class: QueueType, span: i64) {
        let queue = &mut self.classes[class.rank()];
        queue.origin = queue.origin.wrapping_add(span);
    }
}
