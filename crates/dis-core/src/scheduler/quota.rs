//! Tasks that wait, or count as Batch, because their domains have used up their CPU time, or their credit.

use super::slab::slot;
use super::state::CpuState;
use crate::api::{Duration, Task, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::Limits;

impl<C> Task<C> {
    /// Until when the task must wait because a domain of it has used up its budget. Not while it runs on lent urgency: whoever lends waits
    /// for it, and is not to wait for the budget of a domain that is not its own. What it uses is charged all the same.
    #[inline]
    pub(crate) fn out_of_quota(&self, now: Timestamp) -> Option<Timestamp> {
        let domain = self.sched.domain.as_ref().filter(|_| self.sched.limited && self.sched.inherited.is_none())?;
        domain.exhausted_until(now)
    }

    /// An Interactive task has no more credit on `cpu` than its domain.
    #[inline]
    pub(crate) fn share_credit(&mut self, cpu: usize, limits: &Limits, now: Timestamp) {
        if self.sched.is_interactive()
            && let (Some(credit), Some(domain)) = (&mut self.sched.credit, &self.sched.domain)
            && domain.charge_credit(cpu, Duration::ZERO, limits, now)
        {
            credit.forfeit();
        }
    }
}

impl<C> CpuState<C> {
    /// Whether the running task, which has just been chosen, may not go on for want of its domains' budgets, or not in its class for want of their
    /// credit.
    #[inline]
    pub(crate) fn must_pause(&mut self, now: Timestamp) -> bool {
        let Some(key) = self.current.filter(|_| self.has_domains) else { return false };
        let task = slot(&mut self.slab, key);
        let spent = task.sched.class == QueueType::Interactive && task.sched.domain.is_some() && {
            task.share_credit(self.cpu, &self.limits, now);
            task.urgency().class != QueueType::Interactive
        };
        spent || task.out_of_quota(now).is_some()
    }
}
