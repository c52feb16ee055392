//! A quick yes: the demand bounded by lines.

use super::sums::Sums;
use crate::admission::utilisation::{ONE, Utilisation, rate};
use crate::admission::{SporadicTask, Supply};

/// From its first deadline on, a task demands at most `offset + slope * t` of an interval t: the line above the steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// deadline - jitter, ns.
    pub deadline: u64,
    /// wcet * (period - (deadline - jitter)) / period, ns, rounded up.
    offset: u64,
    /// The utilisation, 64 bits behind the point, rounded up.
    slope: u128,
}

impl Line {
    pub fn of(task: &SporadicTask) -> Line {
        let (period, deadline) = (task.period.as_nanos().max(1), task.effective_deadline());
        let early = u128::from(period.saturating_sub(deadline));
        let offset = (u128::from(task.wcet.as_nanos()) * early).div_ceil(period.into());
        Line {
            deadline,
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            slope: Utilisation::of(core::slice::from_ref(task)).high,
        }
    }
}

/// Whether the lines of all tasks, in ascending order of deadlines, with what is reserved and all sections, stay below the line
/// under the supply. Both are straight between deadlines, and the supply is as steep as what all tasks demand: so it is enough
/// to look at the deadlines. False says nothing.
///
/// Source: Fisher, Baruah and Baker, "The partitioned scheduling of sporadic tasks according to static-priorities", ECRTS 2006,
/// for the line; Albers and Slomka, ECRTS 2004, for the test with EDF. O(n), with no division.
pub(super) fn holds<'a>(lines: impl Iterator<Item = &'a Line>, sums: &Sums, supply: &Supply) -> bool {
    let rate = rate(supply).low;
    if sums.utilisation.high > rate {
        return false;
    }
    let early = u128::from(sums.sections) + u128::from(supply.ahead());
    let (mut offset, mut slope) = (early, sums.reserved_share);
    for line in lines {
        offset += u128::from(line.offset);
        slope += line.slope;
        let Some(left) = line.deadline.checked_sub(supply.delay()) else { return false };
        // Both factors are at most 2^64, and 2^63 - 1 is the longest time that is told from "too long".
        if line.deadline > i64::MAX as u64 || offset + fall(slope, line.deadline) + 1 > fall(rate, left) {
            return false;
        }
    }
    true
}

/// share * t, rounded down.
fn fall(share: u128, t: u64) -> u128 {
    (share.min(ONE) * u128::from(t)) >> 64
}
