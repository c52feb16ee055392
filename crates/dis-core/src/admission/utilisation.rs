//! Sums of fractions, compared without rounding errors.

use core::cmp::Ordering;

use super::{SporadicTask, Supply};

/// Fixed point with 64 bits behind the point.
pub(super) const ONE: u128 = 1 << 64;

/// num / den, rounded down and up.
fn ratio(num: u64, den: u64) -> (u128, u128) {
    let (num, den) = (u128::from(num) << 64, u128::from(den.max(1)));
    (num / den, num.div_ceil(den))
}

/// The utilisation of a set: between two bounds that are at most n / 2^64 apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Utilisation {
    pub low: u128,
    pub high: u128,
}

impl Utilisation {
    pub fn of(tasks: &[SporadicTask]) -> Utilisation {
        tasks.iter().fold(Utilisation { low: 0, high: 0 }, |sum, task| {
            let (low, high) = ratio(task.wcet.as_nanos(), task.period.as_nanos());
            Utilisation { low: sum.low.saturating_add(low), high: sum.high.saturating_add(high) }
        })
    }

    /// Rounded up.
    pub fn ppb(&self) -> u64 {
        // Above 2^32 CPUs, whole ones will do.
        let ppb = match self.high.checked_mul(1_000_000_000) {
            Some(scaled) => scaled.div_ceil(ONE),
            None => self.high.div_ceil(ONE).saturating_mul(1_000_000_000),
        };
        u64::try_from(ppb).unwrap_or(u64::MAX)
    }
}

/// The long-run rate of a supply in the same form.
pub(super) fn rate(supply: &Supply) -> Utilisation {
    let (num, den) = supply.rate();
    let (low, high) = ratio(num.as_nanos(), den.as_nanos());
    Utilisation { low, high }
}

/// How the utilisation compares with the supply's rate. `None` if the two are closer than the fixed point can tell, and the
/// fractions' common denominator has more than 128 bits. O(n).
pub(super) fn compare(tasks: &[SporadicTask], supply: &Supply) -> Option<Ordering> {
    let (num, den) = supply.rate();
    compare_with(tasks, num.as_nanos(), den.as_nanos())
}

/// The same for a rate of get_num / get_den CPUs.
pub(super) fn compare_with(tasks: &[SporadicTask], get_num: u64, get_den: u64) -> Option<Ordering> {
    let (low, high) = ratio(get_num, get_den);
    let (need, get) = (Utilisation::of(tasks), Utilisation { low, high });
    if need.high < get.low {
        return Some(Ordering::Less);
    }
    if need.low > get.high {
        return Some(Ordering::Greater);
    }
    let (mut num, mut den) = (0u128, 1u128);
    for task in tasks {
        (num, den) = add((num, den), (task.wcet.as_nanos().into(), task.period.as_nanos().max(1).into()))?;
    }
    let left = num.checked_mul(u128::from(get_den))?;
    let right = den.checked_mul(u128::from(get_num))?;
    Some(left.cmp(&right))
}

/// The sum of two fractions, in lowest terms; `None` if it does not fit.
pub(super) fn add((num, den): (u128, u128), (n, d): (u128, u128)) -> Option<(u128, u128)> {
    let common = (den / gcd(den, d)).checked_mul(d)?;
    let sum = num.checked_mul(common / den)?.checked_add(n.checked_mul(common / d)?)?;
    let shared = gcd(sum, common);
    Some((sum / shared, common / shared))
}

/// The greatest common divisor, at least 1.
pub(super) fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;
    use alloc::vec::Vec;

    fn tasks(pairs: &[(u64, u64)]) -> Vec<SporadicTask> {
        pairs.iter().map(|&(c, t)| SporadicTask::implicit(Duration::from_nanos(c), Duration::from_nanos(t))).collect()
    }

    #[test]
    fn exactly_one_is_neither_less_nor_more() {
        let one = Supply::dedicated();
        assert_eq!(compare(&tasks(&[(1, 2), (1, 3), (1, 6)]), &one), Some(Ordering::Equal));
        assert_eq!(compare(&tasks(&[(1, 2), (1, 3), (1, 7)]), &one), Some(Ordering::Less));
        let long = 1 << 60;
        assert_eq!(compare(&tasks(&[(1, 2), (long / 2 + 1, long)]), &one), Some(Ordering::Greater));
        assert_eq!(compare(&tasks(&[(1, 2), (long / 2 - 1, long)]), &one), Some(Ordering::Less));
        let third = Supply::windowed(Duration::from_nanos(9), Duration::from_nanos(5), Duration::from_nanos(2));
        assert_eq!(compare(&tasks(&[(1, 6), (1, 6)]), &third), Some(Ordering::Equal));
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        // Fractions of large primes, and what is missing to 1 as far as the fixed point can tell.
        let primes = [(1u64 << 61) - 1, (1 << 31) - 1, 4_294_967_291, 1_000_000_007];
        let mut set: Vec<(u64, u64)> = primes.iter().map(|&p| (p / 5, p)).collect();
        let used = Utilisation::of(&tasks(&set));
        set.push((((ONE - used.low) >> 3) as u64, 1 << 61));
        assert_eq!(compare(&tasks(&set), &Supply::dedicated()), None);
        // A billionth less is told from it, whatever the denominators.
        set[0].0 -= 1 << 31;
        assert_eq!(compare(&tasks(&set), &Supply::dedicated()), Some(Ordering::Less));
    }

    #[test]
    fn parts_per_billion_are_rounded_up() {
        assert_eq!(Utilisation::of(&tasks(&[(1, 3)])).ppb(), 333_333_334);
        assert_eq!(Utilisation::of(&tasks(&[(1, 2), (1, 4)])).ppb(), 750_000_000);
        assert_eq!(Utilisation::of(&tasks(&[(u64::MAX, 1)])).ppb(), u64::MAX);
    }
}
