//! Intervals in which tasks did not fit.

use super::sums::Sums;
use crate::admission::{Overload, SporadicTask, Supply, edf};
use crate::api::Duration;

/// How many intervals are remembered.
const COUNT: usize = 8;

/// Intervals in which something did not fit, with what the tasks that are there demand: most of what does not fit either fails
/// in one of them, which is quicker to see than to find.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Witnesses {
    /// Interval and demand, ns.
    intervals: [Option<(u64, u64)>; COUNT],
    /// Which is the oldest.
    oldest: usize,
}

impl Witnesses {
    /// Remembers an interval in the place of the oldest; `tasks` are those that are there.
    pub fn remember(&mut self, tasks: &[SporadicTask], interval: Duration) {
        let t = interval.as_nanos();
        if self.intervals.iter().flatten().any(|&(other, _)| other == t) {
            return;
        }
        self.intervals[self.oldest] = Some((t, edf::demand(tasks, t)));
        self.oldest = (self.oldest + 1) % COUNT;
    }

    /// `task` is there from now on.
    pub fn add(&mut self, task: &SporadicTask) {
        for (t, demand) in self.intervals.iter_mut().flatten() {
            *demand = demand.saturating_add(edf::demand(core::slice::from_ref(task), *t));
        }
    }

    /// How what is there does not fit beside `task`, if one of the intervals shows it. Sections only add to the demand.
    pub fn overload(&self, task: Option<&SporadicTask>, sums: &Sums, supply: &Supply) -> Option<Overload> {
        let more = |t| task.map_or(0, |task| edf::demand(core::slice::from_ref(task), t));
        self.intervals.iter().flatten().find_map(|&(t, demand)| {
            let reserved = ((sums.reserved_share * u128::from(t)) >> 64) as u64;
            let demand = Duration::from_nanos(demand.saturating_add(more(t)).saturating_add(reserved));
            let interval = Duration::from_nanos(t);
            let supply = supply.within(interval);
            (demand > supply).then_some(Overload { interval, demand, supply })
        })
    }
}
