//! EDF on one CPU: processor demand, with QPA.
//!
//! Assumptions:
//! 1. Tasks are sporadic, and independent but for their sections; a job does not suspend itself before its end.
//! 2. Whoever of the ready jobs is due first runs, except for sections ([`SporadicTask::section`]).
//! 3. Releases may fall together (offsets, if there are any, are ignored, which is safe).
//! 4. Release jitter is any delay up to its bound: a job becomes ready at most that long after its release.
//! 5. Costs of the host are part of the wcet.
//! 6. The supply is what [`Supply`](super::Supply) assumes.
//!
//! The test is exact under these (a rejected set has releases that miss a deadline), except that sections are taken to be
//! entered at the worst instant.

use core::cmp::Ordering;

use super::blocking::Blocking;
use super::set::Effort;
use super::utilisation::{self, Utilisation};
use super::{Overload, SporadicTask, TaskSet, Undecided, Verdict};
use crate::api::Duration;

/// Longer intervals are not looked at.
const RANGE: u64 = 1 << 62;

/// Whether every deadline holds under EDF.
///
/// - Deadlines equal to periods, no jitter, no sections, a whole CPU: utilisation (Liu and Layland, JACM 20(1), 1973). O(n).
/// - Else: for each interval t, B(t) and the demand of jobs that become ready and are due in it are at most the supply
///   (Baruah, Mok and Rosier, RTSS 1990; jitter: Spuri, INRIA RR-2772, 1996; supply: Shin and Lee 2003). Of those intervals, QPA
///   looks at few (Zhang and Burns, "Schedulability analysis for real-time systems with EDF scheduling", IEEE Trans.
///   Computers 58(9), 2009): from an interval t downwards, all whose supply is at least the demand of t can be left out, as
///   long as B is the same (Zhang and Burns, "Schedulability analysis of EDF-scheduled embedded real-time systems with
///   resource sharing", ACM TECS 12(3), 2013).
///
/// O(n) for each interval looked at, and at most [`TaskSet::work`] altogether.
pub fn test(set: &TaskSet<'_>) -> Verdict {
    let tasks = set.tasks;
    let order = utilisation::compare(tasks, &set.supply);
    if order == Some(Ordering::Greater) {
        let utilisation_ppb = Utilisation::of(tasks).ppb();
        let supply_ppb = ((utilisation::rate(&set.supply).low * 1_000_000_000) >> 64) as u64;
        return Verdict::Overutilised { utilisation_ppb, supply_ppb };
    }
    let plain = |task: &SporadicTask| task.deadline >= task.period && task.jitter.is_zero() && task.section.is_zero();
    if order.is_some() && set.supply.is_dedicated() && tasks.iter().all(plain) {
        return Verdict::Schedulable;
    }
    let mut effort = Effort::new(set);
    let blocking = Blocking::of(set);
    match horizon(set, &blocking, &mut effort) {
        Ok(horizon) => search(set, &blocking, horizon, &mut effort),
        Err(undecided) => Verdict::Undecided(undecided),
    }
}

/// QPA from the last deadline up to `horizon` downwards.
fn search(set: &TaskSet<'_>, blocking: &Blocking, horizon: u64, effort: &mut Effort) -> Verdict {
    let tasks = set.tasks;
    let Some(mut t) = last_deadline(tasks, horizon) else { return Verdict::Schedulable };
    loop {
        if !effort.spend(tasks.len()) {
            return Verdict::Undecided(Undecided::Work);
        }
        let (b, since) = blocking.at(t);
        let demand = Duration::from_nanos(demand(tasks, t).saturating_add(b));
        let supply = set.supply.within(Duration::from_nanos(t));
        if demand > supply {
            return Verdict::Overload(Overload { interval: Duration::from_nanos(t), demand, supply });
        }
        // Everything from here to t is supplied with the demand of t, if the blocking is not greater.
        let enough = set.supply.time_for(demand).map_or(t, |enough| enough.as_nanos());
        if enough < t && enough >= since {
            t = enough;
            continue;
        }
        // As far down as that, or to where the blocking changes.
        let below = if enough < t { since } else { t };
        match below.checked_sub(1).and_then(|below| last_deadline(tasks, below)) {
            Some(deadline) => t = deadline,
            None => return Verdict::Schedulable,
        }
    }
}

/// What jobs need that become ready and are due within an interval of length `t`, as many as can be; ns. O(n).
pub(super) fn demand(tasks: &[SporadicTask], t: u64) -> u64 {
    tasks.iter().fold(0u64, |sum, task| {
        let Some(rest) = t.checked_sub(task.effective_deadline()) else { return sum };
        let jobs = rest / task.period.as_nanos().max(1) + 1;
        sum.saturating_add(jobs.saturating_mul(task.wcet.as_nanos()))
    })
}

/// The last instant up to `t` at which a job is due, if all become ready together at 0. O(n).
pub(super) fn last_deadline(tasks: &[SporadicTask], t: u64) -> Option<u64> {
    let due = |task: &SporadicTask| {
        let rest = t.checked_sub(task.effective_deadline())?;
        Some(t - rest % task.period.as_nanos().max(1))
    };
    tasks.iter().filter_map(due).max()
}

/// The first instant after `t` at which a job is due, in the same case. O(n).
pub(super) fn first_deadline(tasks: &[SporadicTask], t: u64) -> Option<u64> {
    let due = |task: &SporadicTask| {
        let first = task.effective_deadline();
        let Some(rest) = t.checked_sub(first) else { return Some(first) };
        let period = task.period.as_nanos().max(1);
        t.checked_add(period - rest % period)
    };
    tasks.iter().filter_map(due).min()
}

/// Up to which interval the demand must be compared with the supply: if it is too much in any, it is so in one up to here.
///
/// Three bounds, the smallest of which counts: the line above the demand crosses the line below the supply (Ripoll, Crespo and Mok,
/// Real-Time Systems 11(1), 1996); the longest busy period (Spuri 1996); a hyperperiod (Leung and Merrill 1980).
fn horizon(set: &TaskSet<'_>, blocking: &Blocking, effort: &mut Effort) -> Result<u64, Undecided> {
    // A busy period that is found soon spares a long way down; one that is not must be found if there is no other bound.
    const SOON: usize = 32;
    let lines = crossing(set, blocking);
    let repeats = lines.is_none().then(|| hyperperiod(set)).flatten();
    match (lines.or(repeats), busy_period(set, blocking, SOON, effort)) {
        (Some(bound), Ok(busy)) => Ok(busy.min(bound)),
        (Some(bound), Err(_)) => Ok(bound),
        (None, Err(Undecided::Work)) => busy_period(set, blocking, usize::MAX, effort),
        (None, busy) => busy,
    }
}

/// After one common period of all tasks and the supply, demand has grown by no more than the supply has (as the utilisation is no
/// higher than its rate). That counts from where all deadlines and the supply have begun. `None` if it is beyond the range.
fn hyperperiod(set: &TaskSet<'_>) -> Option<u64> {
    let mut begun = set.supply.time_for(Duration::from_nanos(1))?.as_nanos();
    let mut common = set.supply.rate().1.as_nanos();
    for task in set.tasks {
        let period = task.period.as_nanos().max(1);
        common = (common / utilisation::gcd(common.into(), period.into()) as u64).checked_mul(period)?;
        begun = begun.max(task.effective_deadline());
    }
    common.checked_add(begun).filter(|&t| t <= RANGE)
}

/// Where `U t + Σ C (T - D + J) / T + B`, which is at least the demand, meets `rate (t - delay) - ahead`, which is at most the supply.
/// `None` if that is beyond the range, or the lines are parallel as far as one can tell.
fn crossing(set: &TaskSet<'_>, blocking: &Blocking) -> Option<u64> {
    let (need, get) = (Utilisation::of(set.tasks), utilisation::rate(&set.supply));
    let gap = get.low.checked_sub(need.high).filter(|&gap| gap > 0)?;
    let mut offset = u128::from(blocking.most()) + u128::from(set.supply.ahead()) + u128::from(set.supply.delay());
    for task in set.tasks {
        let [wcet, period] = [task.wcet, task.period].map(|d| u128::from(d.as_nanos()));
        let early = period.saturating_sub(u128::from(task.effective_deadline()));
        offset += (wcet * early).div_ceil(period.max(1));
    }
    let t = if offset >> 63 == 0 { (offset << 64) / gap + 1 } else { return None };
    u64::try_from(t).ok().filter(|&t| t <= RANGE)
}

/// The longest time for which the CPU can be busy with tasks without a pause, if it is found within `rounds`.
pub(super) fn busy_period(
    set: &TaskSet<'_>,
    blocking: &Blocking,
    rounds: usize,
    effort: &mut Effort,
) -> Result<u64, Undecided> {
    let mut busy = 1;
    for _ in 0..rounds {
        if !effort.spend(set.tasks.len()) {
            return Err(Undecided::Work);
        }
        let work = requested(set.tasks, busy).saturating_add(blocking.most());
        let next = set.supply.time_for(Duration::from_nanos(work)).map_or(u64::MAX, |t| t.as_nanos());
        if next > RANGE {
            return Err(Undecided::Range);
        }
        if next <= busy {
            return Ok(busy);
        }
        busy = next;
    }
    Err(Undecided::Work)
}

/// What jobs need that can become ready within less than `t`; ns. O(n).
pub(super) fn requested(tasks: &[SporadicTask], t: u64) -> u64 {
    tasks.iter().fold(0u64, |sum, task| {
        let jobs = t.saturating_add(task.jitter.as_nanos()).div_ceil(task.period.as_nanos().max(1));
        sum.saturating_add(jobs.saturating_mul(task.wcet.as_nanos()))
    })
}

#[cfg(test)]
mod tests;
