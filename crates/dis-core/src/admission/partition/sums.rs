//! What adds up over the tasks of a CPU, and what it decides alone.

use super::rules::Rules;
use crate::admission::supply::window_workload;
use crate::admission::utilisation::{ONE, Utilisation, rate};
use crate::admission::{SporadicTask, Supply, Verdict};
use crate::api::Duration;

/// Sums over the tasks and reservations of one CPU. Fractions fit: each is at most 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub utilisation: Utilisation,
    /// wcet / (deadline - jitter), and what is reserved, 64 bits behind the point, rounded up.
    density: u128,
    /// The least of deadline - jitter, ns.
    pub shortest: u64,
    /// What tasks and reservations can ask for in one window of the caps.
    pub load: Duration,
    /// All sections: a bound on blocking, ns.
    pub sections: u64,
    /// What reservations take of each window.
    pub reserved: Duration,
    /// The same as a share, 64 bits behind the point, rounded up.
    pub reserved_share: u128,
}

impl Default for Sums {
    fn default() -> Self {
        Sums {
            utilisation: Utilisation { low: 0, high: 0 },
            density: 0,
            shortest: u64::MAX,
            load: Duration::ZERO,
            sections: 0,
            reserved: Duration::ZERO,
            reserved_share: 0,
        }
    }
}

impl Sums {
    /// With a task that has deadlines.
    pub fn with_task(mut self, rules: &Rules, task: &SporadicTask) -> Sums {
        self.utilise(Utilisation::of(core::slice::from_ref(task)));
        let deadline = task.effective_deadline();
        self.density += ratio_up(task.wcet.as_nanos(), deadline);
        self.shortest = self.shortest.min(deadline);
        self.load += rules.limits.map_or(Duration::ZERO, |limits| window_workload(task, limits.window));
        self.sections = self.sections.saturating_add(task.section.as_nanos());
        self
    }

    /// With a reservation of `budget` of each `window`.
    pub fn with_reservation(mut self, budget: Duration, window: Duration) -> Sums {
        self.utilise(Utilisation::of(&[SporadicTask::implicit(budget, window)]));
        let share = ratio_up(budget.as_nanos(), window.as_nanos());
        self.density += share;
        self.reserved_share += share;
        self.load += budget;
        self.reserved += budget;
        self
    }

    fn utilise(&mut self, Utilisation { low, high }: Utilisation) {
        self.utilisation.low += low;
        self.utilisation.high += high;
    }

    /// Whether the densities fit, delays of the supply aside.
    pub fn fits_by_density(&self, rules: &Rules) -> bool {
        self.density <= rate(&rules.supply(rules.floor(), self.load)).low
    }

    /// Whether all deadlines hold, as far as the sums tell. O(1).
    pub fn decide(&self, supply: &Supply) -> Option<Verdict> {
        let rate = rate(supply);
        if self.utilisation.low > rate.high {
            let supplied = Utilisation { low: rate.low, high: rate.low };
            let (utilisation_ppb, supply_ppb) = (self.utilisation.ppb(), supplied.ppb());
            return Some(Verdict::Overutilised { utilisation_ppb, supply_ppb });
        }
        // Without tasks there are no deadlines.
        let holds = self.shortest == u64::MAX || self.density_holds(supply, rate.low) == Some(true);
        holds.then_some(Verdict::Schedulable)
    }

    /// The demand of an interval t is at most density·t from the shortest deadline on, and of no interest before; the supply is at
    /// least rate·(t - delay) - ahead. So if the first line is below the second at the shortest deadline, and no steeper, the
    /// demand is below the supply everywhere. `None` if the numbers are too large for that, or the deadline too short.
    fn density_holds(&self, supply: &Supply, rate: u128) -> Option<bool> {
        let early = (u128::from(self.sections) + u128::from(supply.ahead())).checked_mul(ONE)?;
        let supplied = rate.checked_mul(self.shortest.checked_sub(supply.delay())?.into())?.checked_sub(early)?;
        Some(self.density <= rate && self.density.checked_mul(self.shortest.into())? <= supplied)
    }
}

/// num / den, rounded up; at most 1 for what is valid.
fn ratio_up(num: u64, den: u64) -> u128 {
    (u128::from(num) << 64).div_ceil(u128::from(den.max(1)))
}
