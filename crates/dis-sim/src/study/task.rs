//! The tasks of a study.

use dis_core::admission::SporadicTask;
use dis_core::api::{TaskId, TaskStats};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its job wants a CPU, or has one.
    Ready,
    /// Its job is complete; the next one is released then, ns.
    Until(u64),
    /// Its job waits for something, until then at the latest, ns.
    Blocked(u64),
    /// It has ended.
    Ended,
}

/// A periodic task and its present job. Times in ns.
#[derive(Debug, Clone)]
pub(super) struct StudyTask {
    pub id: TaskId,
    pub context: u32,
    pub model: SporadicTask,
    /// First release.
    pub start: u64,
    pub state: State,
    /// Number of the present job, from 1; 0 before the first release.
    pub job: u64,
    /// Its release, and its absolute deadline.
    pub release: u64,
    pub deadline: u64,
    /// What it has had of its wcet.
    pub executed: u64,
    /// Whether the present job had a CPU up to this instant.
    pub ran: bool,
    /// A wake-up that came before the task waited.
    pub token: bool,
    /// The CPU it has, or had last.
    pub cpu: usize,
    /// Since when it has been ready without a CPU.
    pub since: u64,
    pub stats: TaskStats,
}

impl StudyTask {
    /// A task that has not begun.
    pub fn new(id: TaskId, context: u32, model: SporadicTask, start: u64) -> StudyTask {
        StudyTask {
            id,
            context,
            model,
            start,
            state: State::Until(start),
            job: 0,
            release: start,
            deadline: start,
            executed: 0,
            ran: false,
            token: false,
            cpu: 0,
            since: start,
            stats: TaskStats::default(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub fn wcet(&self) -> u64 {
        self.model.wcet.as_nanos()
    }

    pub fn period(&self) -> u64 {
        self.model.period.as_nanos()
    }

    /// The job is done. The next one is the first whose deadline has not passed, or is now; it is not released before `arrival`.
    pub fn finish(&mut self, now: u64, arrival: u64) {
        let (period, deadline) = (self.period(), self.model.deadline.as_nanos());
        let next = self.release.saturating_add(period).max(arrival);
        let left_out = now.saturating_sub(next.saturating_add(deadline)).div_ceil(period);
        self.stats.deadline_misses += u64::from(now > self.deadline) + left_out;
        self.job += left_out;
        self.release = next.saturating_add(period.saturating_mul(left_out));
        self.state = State::Until(self.release);
    }

    /// When it becomes ready by itself.
    pub fn due(&self) -> Option<u64> {
        match self.state {
            State::Until(at) | State::Blocked(at) => Some(at).filter(|&at| at < u64::MAX),
            State::Ready | State::Ended => None,
        }
    }

    /// Makes it ready if its time has come.
    pub fn wake_if_due(&mut self, now: u64) {
        if self.due().is_none_or(|at| at > now) {
            return;
        }
        if matches!(self.state, State::Until(_)) {
            self.job += 1;
            self.deadline = self.release.saturating_add(self.model.deadline.as_nanos());
            self.executed = 0;
            self.ran = false;
        }
        self.state = State::Ready;
        self.since = now;
        self.stats.wakes += 1;
    }
}
