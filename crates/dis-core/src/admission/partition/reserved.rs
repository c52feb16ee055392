//! Reservations by share (`cpu_min`) in the analysis.
//!
//! A task with a reservation may begin at any time of a window, and asks for its share of the rest of it
//! ([`Reservation::wake`](crate::optimizer::Reservation::wake)). So all those of a CPU, Q of each window W together, ask for up to
//! Q·t/W in any interval t: a line, not the steps of a sporadic task. What one does not get in its window is not made up for
//! later, so what counts is
//!
//! 1. between reservations and System: Q and System's share fit into the cap, as all count by the same windows;
//! 2. for intervals in which jobs of tasks are due: their demand and Q·t/W fit into the supply.

use super::rules::Rules;
use super::sums::Sums;
use crate::admission::{Overload, SporadicTask, Supply};
use crate::api::Duration;

/// The steps in which the analysis counts the line, in a window.
const STEPS: u64 = 32;

/// The first condition, if it does not hold.
pub(super) fn overload(rules: &Rules, system: u16, sums: &Sums) -> Option<Overload> {
    let limits = rules.limits.as_ref().filter(|_| !sums.reserved.is_zero())?;
    let per_mille = |share: u16| limits.window.mul_div(share.into(), 1000);
    let supply = per_mille(limits.realtime).saturating_sub(per_mille(system));
    (sums.reserved > supply).then_some(Overload { interval: limits.window, demand: sums.reserved, supply })
}

/// The line for the second condition: Q·t/W up to the first deadline of a task goes ahead, the rest is a task that asks for its
/// part of each step from there on, at the step's beginning.
pub(super) fn demand(rules: &Rules, supply: Supply, sums: &Sums) -> (Option<SporadicTask>, Supply) {
    if sums.reserved.is_zero() || sums.shortest == u64::MAX {
        return (None, supply);
    }
    let window = rules.window().as_nanos();
    let share_of = |span: u64| sums.reserved.mul_div(span, window) + Duration::from_nanos(1);
    let step = window.div_ceil(STEPS);
    let (shortest, step_length) = (Duration::from_nanos(sums.shortest), Duration::from_nanos(step));
    let task = SporadicTask::new(share_of(step), shortest, step_length);
    (Some(task), supply.less(share_of(sums.shortest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Locking;
    use crate::optimizer::Limits;

    /// From the first deadline on, task and what goes ahead are never below the line, and less than two steps above.
    #[test]
    fn the_steps_cover_the_line() {
        let limits = Limits::default();
        let rules = Rules { limits: Some(limits), locking: Locking::Ceiling, per_piece: Duration::ZERO };
        let (window, q) = (limits.window.as_nanos(), 3_000_000);
        let mut sums = Sums::default().with_reservation(Duration::from_nanos(q), limits.window);
        assert!(demand(&rules, Supply::dedicated(), &sums).0.is_none());
        sums.shortest = 1_234_567;
        let (task, supply) = demand(&rules, Supply::dedicated(), &sums);
        let task = task.unwrap();
        for t in (sums.shortest..5 * window).step_by(9_973) {
            let line = q * t / window;
            let ahead = t - supply.within(Duration::from_nanos(t)).as_nanos();
            let steps = crate::admission::edf::demand(&[task], t) + ahead;
            assert!(line <= steps && steps < line + 2 * q / STEPS + 200, "{t}: {line} {steps}");
        }
    }
}
