//! What the analyses know of a task.

use crate::api::Duration;

/// A sporadic task: jobs that are released at least `period` apart, each needs at most `wcet` of CPU time and must be
/// finished `deadline` after its release. Offsets are not in the model: an analysis that ignores them assumes that all tasks
/// release at once, which is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SporadicTask {
    /// Most CPU time that a job needs, above 0.
    pub wcet: Duration,
    /// Relative deadline, at least `wcet`, at most `period` (constrained).
    pub deadline: Duration,
    /// Least time between two releases, above 0.
    pub period: Duration,
    /// Release jitter: a job may become ready this much later than its release, and is due all the same. At most
    /// `deadline - wcet`. 0 in the usual model.
    pub jitter: Duration,
    /// Longest stretch, part of `wcet`, in which a job does not give way to a more urgent one: it cannot be preempted, or it
    /// holds what the other wants. 0 in the usual model. How the sections of several tasks add up: [`Locking`].
    ///
    /// [`Locking`]: super::Locking
    pub section: Duration,
}

impl SporadicTask {
    /// A task without release jitter and without sections.
    pub const fn new(wcet: Duration, deadline: Duration, period: Duration) -> Self {
        SporadicTask { wcet, deadline, period, jitter: Duration::ZERO, section: Duration::ZERO }
    }

    /// A task whose deadline is its period.
    pub const fn implicit(wcet: Duration, period: Duration) -> Self {
        Self::new(wcet, period, period)
    }

    /// wcet / period in parts per billion, rounded up: sums of it never come out too small.
    pub fn utilisation_ppb(&self) -> u64 {
        let ppb =
            (u128::from(self.wcet.as_nanos()) * 1_000_000_000).div_ceil(u128::from(self.period.as_nanos().max(1)));
        u64::try_from(ppb).unwrap_or(u64::MAX)
    }

    /// The same task with release jitter.
    pub const fn with_jitter(self, jitter: Duration) -> Self {
        SporadicTask { jitter, ..self }
    }

    /// The same task with a section in which it does not give way.
    pub const fn with_section(self, section: Duration) -> Self {
        SporadicTask { section, ..self }
    }

    /// From the latest instant at which a job can become ready to its deadline.
    pub(super) fn effective_deadline(&self) -> u64 {
        self.deadline.saturating_sub(self.jitter).as_nanos()
    }

    /// Whether wcet and period are above 0 and wcet + jitter <= deadline <= period.
    pub fn is_valid(&self) -> bool {
        !self.wcet.is_zero() && self.wcet.saturating_add(self.jitter) <= self.deadline && self.deadline <= self.period
    }
}
