//! The bounds on the class order.

use core::fmt;

use crate::api::Duration;

/// Caps, floors and waits: what keeps the class order from starving anyone. All shares are per mille of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most that System and Realtime together get of a window while a lower class waits. Default 950 ‰. Also the
    /// most utilisation that admission reserves on a CPU.
    pub realtime: u16,
    /// How much more than its wcet a Realtime job may use before it is stopped, in per mille of the wcet. Default 0. For
    /// hosts that cannot measure a job's time exactly (what a switch or an interrupt costs is charged to somebody);
    /// admission counts it, so it never costs another task anything.
    pub budget_slack: u16,
    /// How much longer still, whatever its wcet: what the host itself needs for each job, to release it, to switch to it
    /// and back after preemptions. Default 0; admission counts it too.
    pub budget_overhead: Duration,
    /// Whether a Realtime job that has used up its budget goes on with the next period's, with the deadline of that, instead
    /// of being stopped at once; only one budget ahead. Default false. For hosts on which a job's time has outliers that
    /// no allowance covers: one of them then costs no deadline, and the bandwidth stays what was admitted.
    pub budget_borrowing: bool,
    /// Most that System gets of a window while another class waits. Default 500 ‰, and never more than Realtime
    /// reservations leave of `realtime`.
    pub system: u16,
    /// The window of both caps. Default 10 ms; it bounds how long a lower class waits for its remainder, and how long
    /// (`window * (1000 - realtime) / 1000`) it may hold up a Realtime task.
    pub window: Duration,
    /// Longest that ready Batch work waits for the higher low classes before its turn comes. Default 75 ms.
    pub batch_wait: Duration,
    /// Length of that turn. Default 5 ms.
    pub batch_turn: Duration,
    /// Longest that ready Background work waits. Default 250 ms.
    pub background_wait: Duration,
    /// Length of that turn. Default 3 ms, a floor of just above 1 %.
    pub background_turn: Duration,
    /// Share that an Interactive task may use for long with its head start. Default 500 ‰.
    pub interactive_share: u16,
    /// CPU time that an Interactive task may use at once with its head start. Default 8 ms.
    pub interactive_burst: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            realtime: 950,
            budget_slack: 0,
            budget_overhead: Duration::ZERO,
            budget_borrowing: false,
            system: 500,
            window: Duration::from_millis(10),
            batch_wait: Duration::from_millis(75),
            batch_turn: Duration::from_millis(5),
            background_wait: Duration::from_millis(250),
            background_turn: Duration::from_millis(3),
            interactive_share: 500,
            interactive_burst: Duration::from_millis(8),
        }
    }
}

/// Which limit makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitsError {
    /// A share of 0 or above 1000 ‰: the first would stop a class, the second does not exist.
    Share(&'static str),
    /// `budget_slack` above 1000 ‰.
    Slack,
    /// `budget_overhead` above one second.
    Overhead,
    /// A time of zero, or above one hour.
    Time(&'static str),
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitsError::Share(name) => write!(f, "limit `{name}` must be 1 to 1000 per mille"),
            LimitsError::Slack => f.write_str("limit `budget_slack` must be at most 1000 per mille"),
            LimitsError::Overhead => f.write_str("limit `budget_overhead` must be at most one second"),
            LimitsError::Time(name) => write!(f, "limit `{name}` must be above 0 and at most one hour"),
        }
    }
}

impl core::error::Error for LimitsError {}

impl Limits {
    /// The CPU time that a Realtime job may really use: its wcet, the slack and the overhead, at most its deadline.
    pub fn budget(&self, wcet: Duration, deadline: Duration) -> Duration {
        let with_slack = wcet.mul_div(1000 + u64::from(self.budget_slack), 1000);
        with_slack.saturating_add(self.budget_overhead).min(deadline)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first limit out of range.
    pub fn validate(&self) -> Result<(), LimitsError> {
        for (name, share) in
            [("realtime", self.realtime), ("system", self.system), ("interactive_share", self.interactive_share)]
        {
            if !(1..=1000).contains(&share) {
                return Err(LimitsError::Share(name));
            }
        }
        if self.budget_slack > 1000 {
            return Err(LimitsError::Slack);
        }
        if self.budget_overhead > Duration::from_secs(1) {
            return Err(LimitsError::Overhead);
        }
        for (name, time) in [
            ("window", self.window),
            ("batch_wait", self.batch_wait),
            ("batch_turn", self.batch_turn),
            ("background_wait", self.background_wait),
            ("background_turn", self.background_turn),
            ("interactive_burst", self.interactive_burst),
        ] {
            if time.is_zero() || time > Duration::from_secs(3600) {
                return Err(LimitsError::Time(name));
            }
        }
        Ok(())
    }
}
