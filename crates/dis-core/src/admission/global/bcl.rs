//! The interference test of Bertogna, Cirinei and Lipari.

use super::SporadicTask;
use super::interference::with_deadlines_in;

/// Whether, for each task k of `tasks`, the others cannot keep all of m = `cpus` CPUs busy for longer than its laxity allows:
/// Σ_{i≠k} min(Wᵢ(L), x) < m·x with L = deadline - jitter of k and x = L - wcet + 1, where Wᵢ(L) is the work of task i with
/// deadlines in a window of length L that ends at k's deadline.
///
/// Source: Bertogna, Cirinei and Lipari, "Improved schedulability analysis of EDF on multiprocessor platforms", ECRTS 2005,
/// in the form for discrete time (x with + 1) of their "Schedulability analysis of global scheduling algorithms on
/// multiprocessor platforms", IEEE TPDS 20(4), 2009, which accepts more. Jitter: a job that misses was ready for the
/// last deadline - jitter before its deadline, so the argument holds for that window.
///
/// Assumptions: those of [`global`](super). O(n²).
pub fn bcl(tasks: &[SporadicTask], cpus: usize) -> bool {
    if cpus == 0 || !tasks.iter().all(super::is_covered) {
        return tasks.is_empty();
    }
    tasks.iter().enumerate().all(|(k, task)| {
        let length = (task.deadline - task.jitter).as_nanos();
        let most = u128::from(length - task.wcet.as_nanos()) + 1;
        let others = tasks.iter().enumerate().filter(|&(i, _)| i != k);
        let interference: u128 =
            others.map(|(_, other)| u128::from(with_deadlines_in(other, length, 0)).min(most)).sum();
        interference < most * cpus as u128
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;

    fn task(wcet: u64, deadline: u64, period: u64) -> SporadicTask {
        let d = Duration::from_nanos;
        SporadicTask::new(d(wcet), d(deadline), d(period))
    }

    /// Three of (2, 3) on two CPUs: each suffers min(2, 2) + min(2, 2) = 4 = 2·2, which is one too many.
    #[test]
    fn the_inequality_is_strict() {
        let set = [task(2, 3, 3); 3];
        assert!(!bcl(&set, 2));
        assert!(bcl(&set, 3));
        // With wcet 1 of one of them the others suffer 1 + 2 = 3 < 4, and it suffers 2 + 2 < 2·3.
        assert!(bcl(&[task(2, 3, 3), task(2, 3, 3), task(1, 3, 3)], 2));
    }

    /// A task without laxity is safe while fewer others than CPUs may run at all.
    #[test]
    fn no_laxity_needs_a_cpu_of_ones_own() {
        assert!(bcl(&[task(4, 4, 4), task(1, 8, 8)], 2));
        assert!(!bcl(&[task(4, 4, 4), task(1, 4, 8), task(1, 4, 8)], 2));
    }

    /// Laxity 4 of (4, 8): (2, 3) has deadlines at 8, 5 and 2 in that window, so 2 + 2 + 2 of work, cut to 5.
    #[test]
    fn carry_in_is_cut_at_the_window() {
        assert_eq!(with_deadlines_in(&task(2, 3, 3), 8, 0), 6);
        assert_eq!(with_deadlines_in(&task(2, 3, 3), 7, 0), 5);
        assert_eq!(with_deadlines_in(&task(2, 3, 3), 8, 1), 5);
    }
}
