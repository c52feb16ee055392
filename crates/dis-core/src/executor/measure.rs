//! Whether a Realtime task that has used up its budget by the clock has really run for so long.

use lock_api::RawMutex;

use super::{Executor, Leave};
use crate::api::{Duration, SchedError, SchedResult, Timestamp};
use crate::scheduler::state::CpuState;

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// The answer to [`SchedError::Unmeasured`]: the task that runs on `cpu` has really run for `used` since its budget
    /// began ([`Task::budget_start`](crate::api::Task::budget_start)), or since the last such answer. What it was charged
    /// beyond that comes back, at most all that was charged to this budget. A host that does not know answers
    /// [`Duration::MAX`], and nothing comes back.
    ///
    /// # Errors
    /// [`SchedError::NoCpu`]; [`SchedError::InvalidState`] if no task runs there.
    pub fn measured(&self, cpu: usize, used: Duration) -> SchedResult<()> {
        if cpu >= self.cpu_count() {
            return Err(SchedError::NoCpu);
        }
        let mut state = self.lock(cpu);
        let key = state.current.ok_or(SchedError::InvalidState)?;
        if let Some(server) = &mut state.task(key).sched.server {
            server.measured(used);
        }
        Ok(())
    }

    /// Whether the host is to measure the running task before the question is answered.
    #[inline]
    pub(super) fn is_in_doubt(&self, state: &mut CpuState<C>, leave: Leave, now: Timestamp) -> bool {
        // Whoever ends owes nothing any more, and whoever was declined did not run.
        if !self.tasks.config.measures || matches!(leave, Leave::Exit(_) | Leave::Declined) {
            return false;
        }
        let Some(key) = state.current.filter(|&key| state.get(key).is_some_and(|task| task.sched.is_realtime())) else {
            return false;
        };
        state.charge(now);
        state.task(key).sched.server.is_some_and(|server| server.is_in_doubt())
    }
}
