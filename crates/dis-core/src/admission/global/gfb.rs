//! The density test of Goossens, Funk and Baruah.

use super::SporadicTask;
use crate::admission::utilisation::add;

/// Bits behind the point of the sums here.
const POINT: u32 = 64;

/// Whether the densities λ = wcet / (deadline - jitter) of `tasks` satisfy Σλ <= m - (m - 1)·λmax on m = `cpus` CPUs.
///
/// Source: Goossens, Funk and Baruah, "Priority-driven scheduling of periodic task systems on multiprocessors", Real-Time
/// Systems 25(2-3), 2003, for deadline = period; with densities for constrained deadlines, as Bertogna, Cirinei and Lipari give
/// it (ECRTS 2005). Jitter: a CPU of speed λ that works for one task alone finishes each job
/// deadline - jitter after it became ready, hence in time and before the next, and the theorem asks for no more.
///
/// Assumptions: those of [`global`](super). O(n). Sums are rounded up by less than n·2⁻⁶⁴; near the bound, they are compared
/// exactly while 128 bits hold the common denominator. Beyond, a set within that rounding of the bound is rejected.
pub fn gfb(tasks: &[SporadicTask], cpus: usize) -> bool {
    if cpus == 0 || !tasks.iter().all(super::is_covered) {
        return tasks.is_empty();
    }
    let Some(heaviest) = tasks.iter().map(density).reduce(larger) else { return true };
    if heaviest.0 > heaviest.1 {
        return false;
    }
    // Σλ + (m - 1)·λmax <= m.
    let terms = || tasks.iter().map(|task| (density(task), 1)).chain([(heaviest, cpus as u64 - 1)]);
    let most = (cpus as u128) << POINT;
    let rounded_up = terms().try_fold(0u128, |sum, ((c, d), times)| {
        let ratio = (u128::from(c) << POINT).div_ceil(u128::from(d));
        sum.checked_add(ratio.checked_mul(times.into())?)
    });
    match rounded_up {
        Some(sum) if sum <= most => true,
        // Only a rounding of less than one unit for each term can hide that the bound is met.
        Some(sum) if sum - most < tasks.len() as u128 + cpus as u128 => {
            exact_sum(terms()).is_some_and(|(num, den)| den.checked_mul(cpus as u128).is_some_and(|most| num <= most))
        }
        _ => false,
    }
}

fn density(task: &SporadicTask) -> (u64, u64) {
    (task.wcet.as_nanos(), (task.deadline - task.jitter).as_nanos())
}

fn larger(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    let a_is_larger = u128::from(a.0) * u128::from(b.1) >= u128::from(b.0) * u128::from(a.1);
    if a_is_larger { a } else { b }
}

/// The sum of `times`·c/d, as a fraction; `None` if it does not fit.
fn exact_sum(mut terms: impl Iterator<Item = ((u64, u64), u64)>) -> Option<(u128, u128)> {
    terms.try_fold((0, 1), |sum, ((c, d), times)| add(sum, (u128::from(c).checked_mul(times.into())?, d.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;

    fn task(wcet: u64, deadline: u64, period: u64) -> SporadicTask {
        let d = Duration::from_nanos;
        SporadicTask::new(d(wcet), d(deadline), d(period))
    }

    #[test]
    fn the_bound_itself_is_accepted() {
        // 2/3 + 1/3 + 1/3 = 4/3 = 2 - 2/3: thirds, which no binary fraction holds.
        assert!(gfb(&[task(2, 3, 3), task(1, 3, 3), task(1, 3, 3)], 2));
        // 1/7 more of a nanosecond is too much.
        assert!(!gfb(&[task(2_000, 3_000, 3_000), task(1_000, 3_000, 3_000), task(1_001, 3_000, 3_000)], 2));
        // Sevenths and thirds: 3/7 + 2/3 + 5/21 = 4/3 = 2 - 2/3.
        assert!(gfb(&[task(3, 7, 7), task(2, 3, 9), task(5, 21, 30)], 2));
        assert!(!gfb(&[task(3, 7, 7), task(2, 3, 9), task(50_001, 210_000, 300_000)], 2));
    }

    #[test]
    fn one_cpu_takes_density_1() {
        assert!(gfb(&[task(1, 2, 2), task(1, 3, 3), task(1, 6, 6)], 1));
        assert!(!gfb(&[task(1, 2, 2), task(1, 3, 3), task(1, 5, 6)], 1));
    }

    #[test]
    fn jitter_makes_a_task_denser() {
        let mut late = task(2, 4, 8);
        assert!(gfb(&[late, task(2, 4, 4)], 1));
        late.jitter = Duration::from_nanos(1);
        assert!(!gfb(&[late, task(2, 4, 4)], 1));
    }

    #[test]
    fn nothing_runs_on_no_cpu_and_no_invalid_task_is_accepted() {
        assert!(gfb(&[], 0) && gfb(&[], 4));
        assert!(!gfb(&[task(1, 4, 4)], 0));
        assert!(!gfb(&[task(3, 2, 4)], 4));
        assert!(!gfb(&[task(0, 2, 4)], 4));
        assert!(!gfb(&[task(1, 2, 4).with_section(Duration::from_nanos(1))], 4));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let huge = task(u64::MAX, u64::MAX, u64::MAX);
        assert!(gfb(&[huge], 1) && !gfb(&[huge, huge], 2));
        let primes = [task(1, u64::MAX - 58, u64::MAX - 58), task(1, u64::MAX - 82, u64::MAX - 82)];
        assert!(gfb(&primes, 1));
    }
}
