//! The answers of the analyses.

use core::fmt;

use crate::api::Duration;

/// Whether all deadlines hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They do.
    Schedulable,
    /// They do not: tasks and blocking can demand more of an interval than is supplied in it.
    Overload(Overload),
    /// The demand grows faster than the supply, whatever the deadlines.
    Overutilised {
        /// What the tasks need in the long run, in parts per billion of a CPU, rounded up.
        utilisation_ppb: u64,
        /// What is supplied in the long run, rounded down.
        supply_ppb: u64,
    },
    /// Not known, to be treated as "they do not".
    Undecided(Undecided),
}

impl Verdict {
    /// Whether the set is accepted.
    pub const fn is_schedulable(&self) -> bool {
        matches!(self, Verdict::Schedulable)
    }
}

/// Where demand exceeds supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    /// The length of the interval. It begins when tasks become ready together, as late as their jitter allows.
    pub interval: Duration,
    /// CPU time that jobs need that become ready and are due in it, with what blocks them.
    pub demand: Duration,
    /// The least that is supplied in it.
    pub supply: Duration,
}

impl Overload {
    /// By how much demand exceeds supply.
    pub fn excess(&self) -> Duration {
        self.demand.saturating_sub(self.supply)
    }
}

/// How long the jobs of a task take at most, from release to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// So long, which is in time.
    Within(Duration),
    /// At least so long in the worst case, which is too long; the analysis has not looked further.
    Beyond(Duration),
    /// Not known.
    Undecided(Undecided),
}

impl Response {
    /// The bound, if there is one within the deadline.
    pub const fn within(self) -> Option<Duration> {
        if let Response::Within(bound) = self { Some(bound) } else { None }
    }
}

/// Why an analysis has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// It would have taken more work than allowed: utilisation very close to the supply, and periods with a long
    /// hyperperiod.
    Work,
    /// The intervals to look at are longer than 2^62 ns, 146 years.
    Range,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Schedulable => f.write_str("schedulable"),
            Verdict::Overload(Overload { interval, demand, supply }) => {
                write!(f, "overload: {demand} are needed within some {interval}, {supply} are sure")
            }
            Verdict::Overutilised { utilisation_ppb, supply_ppb } => {
                let percent = |ppb: u64| (ppb / 10_000_000, ppb / 100_000 % 100);
                let ((need, need_part), (get, get_part)) = (percent(*utilisation_ppb), percent(*supply_ppb));
                write!(f, "overload: {need}.{need_part:02} % of a CPU are needed, {get}.{get_part:02} % are sure")
            }
            Verdict::Undecided(Undecided::Work) => {
                f.write_str("undecided: the utilisation is too close to what is supplied for the work allowed")
            }
            Verdict::Undecided(Undecided::Range) => f.write_str("undecided: the times are too long"),
        }
    }
}
