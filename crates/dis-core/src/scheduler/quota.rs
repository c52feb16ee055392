//! Tasks that wait because their domains have used up their CPU time.

use super::slab::peek;
use super::state::CpuState;
use crate::api::{Task, Timestamp};

impl<C> Task<C> {
    /// Until when the task must wait because a domain of it has used up its budget. Not while it runs on lent urgency: whoever lends waits
    /// for it, and is not to wait for the budget of a domain that is not its own. What it uses is charged all the same.
    #[inline]
    pub(crate) fn out_of_quota(&self, now: Timestamp) -> Option<Timestamp> {
        let domain = self.sched.domain.as_ref().filter(|_| self.sched.limited && self.sched.inherited.is_none())?;
        domain.exhausted_until(now)
    }
}

impl<C> CpuState<C> {
    /// Whether the running task may not go on for want of its domains' budgets.
    #[inline]
    pub(crate) fn must_pause(&self, now: Timestamp) -> bool {
        self.has_domains && self.current.is_some_and(|key| peek(&self.slab, key).out_of_quota(now).is_some())
    }
}
