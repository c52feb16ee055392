//! Response-time analysis of global EDF and of global fixed priorities, by Bertogna and Cirinei.

use alloc::vec::Vec;

use super::SporadicTask;
use super::interference::{in_any_window, with_deadlines_in};
use crate::api::Duration;

/// Steps of one fixed-point iteration before a coarser bound is taken.
const MAX_STEPS: u32 = 1_000;
/// Interference terms computed before the analysis stops: well under a second.
const MAX_TERMS: u64 = 20_000_000;

/// What the analysis says of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseBound {
    /// Each job is finished this long after its release, at the latest; at most the deadline.
    Within(Duration),
    /// No bound up to the deadline was found.
    Unknown,
}

impl ResponseBound {
    /// Whether the deadline is met.
    pub const fn is_met(self) -> bool {
        matches!(self, ResponseBound::Within(_))
    }
}

/// Bounds on the response times, from the release, of `tasks` on m = `cpus` CPUs under global EDF. Only if all are known do
/// they hold: each counts on the others' deadlines.
///
/// For task k the least x with x = wcet + ⌊Σ_{i≠k} min(Wᵢ(x), Eᵢ, x - wcet + 1) / m⌋, where Wᵢ(x) is the most that task i can
/// run in a window of x, and Eᵢ the most that it can run with deadlines no later than k's. Both shrink with the slack between
/// i's own bound and its deadline, so the bounds are computed in rounds until none improves.
///
/// Source: Bertogna and Cirinei, "Response-time analysis for globally scheduled symmetric multiprocessor platforms", RTSS 2007.
/// Jitter: x counts from the last instant at which the job can become ready.
///
/// Assumptions: those of [`global`](super). Pseudo-polynomial: O(n² · steps) for a round. After 1,000 steps of one iteration
/// the deadline itself is tried as a bound, and after 20 million terms the analysis ends with what it has; both only make it
/// more pessimistic. Whatever [`bcl`](super::bcl) accepts is accepted, unless n² alone exceeds the terms.
pub fn rta(tasks: &[SporadicTask], cpus: usize) -> Vec<ResponseBound> {
    analyse(tasks, cpus, Order::Deadlines)
}

/// The same under global fixed priorities: a job is delayed by tasks of a lower or equal rank only (there is one rank for each
/// task), and by all that they can run, whatever their deadlines. Tasks of equal rank may go in any order, so with one rank for all the
/// bounds hold under every policy that leaves no CPU idle while a job is ready.
///
/// Source: as above (fixed priorities, and any work-conserving policy). Cost and assumptions as for [`rta`], but for the third.
pub fn rta_ranked(tasks: &[SporadicTask], ranks: &[u64], cpus: usize) -> Vec<ResponseBound> {
    analyse(tasks, cpus, Order::Ranks(ranks))
}

/// Who goes before whom.
#[derive(Debug, Clone, Copy)]
enum Order<'a> {
    Deadlines,
    Ranks(&'a [u64]),
}

fn analyse(tasks: &[SporadicTask], cpus: usize, order: Order<'_>) -> Vec<ResponseBound> {
    let mut bounds = alloc::vec![ResponseBound::Unknown; tasks.len()];
    if cpus == 0 || !tasks.iter().all(super::is_covered) {
        return bounds;
    }
    let mut slacks = alloc::vec![0; tasks.len()];
    let mut analysis = Analysis { tasks, order, cpus: cpus as u128, terms: MAX_TERMS };
    loop {
        let mut improved = false;
        for k in 0..tasks.len() {
            let Some(response) = analysis.response(k, &slacks) else { continue };
            let slack = tasks[k].deadline.as_nanos() - response;
            improved |= slack > slacks[k];
            slacks[k] = slack.max(slacks[k]);
            bounds[k] = ResponseBound::Within(Duration::from_nanos(tasks[k].deadline.as_nanos() - slacks[k]));
        }
        if !improved || analysis.terms == 0 {
            return bounds;
        }
    }
}

struct Analysis<'a> {
    tasks: &'a [SporadicTask],
    order: Order<'a>,
    cpus: u128,
    /// Interference terms that may still be computed.
    terms: u64,
}

impl Analysis<'_> {
    /// A bound on the response time of task `k`, given the others' slacks; `None` if there is none up to the deadline.
    fn response(&mut self, k: usize, slacks: &[u64]) -> Option<u64> {
        let task = &self.tasks[k];
        let jitter = task.jitter.as_nanos();
        let longest = task.deadline.as_nanos() - jitter;
        let mut window = task.wcet.as_nanos();
        for _ in 0..MAX_STEPS {
            let next = self.step(k, window, longest, slacks).filter(|&next| next <= longest)?;
            if next == window {
                return Some(jitter + window);
            }
            window = next;
        }
        // The right side grows with x, so one that is not above x bounds the response.
        self.step(k, longest, longest, slacks).filter(|&next| next <= longest).map(|next| jitter + next)
    }

    /// The right side of the equation for x = `window`; `None` when the terms are used up.
    fn step(&mut self, k: usize, window: u64, longest: u64, slacks: &[u64]) -> Option<u64> {
        self.terms = self.terms.checked_sub(self.tasks.len() as u64).or_else(|| {
            self.terms = 0;
            None
        })?;
        let wcet = self.tasks[k].wcet.as_nanos();
        let most = window - wcet + 1;
        let others = self.tasks.iter().zip(slacks).enumerate().filter(|&(i, _)| i != k);
        let interference: u128 = others
            .map(|(i, (other, &slack))| {
                let work = match self.order {
                    Order::Deadlines => {
                        in_any_window(other, window, slack).min(with_deadlines_in(other, longest, slack))
                    }
                    Order::Ranks(ranks) if ranks.get(i) > ranks.get(k) => 0,
                    Order::Ranks(_) => in_any_window(other, window, slack),
                };
                u128::from(work.min(most))
            })
            .sum();
        u64::try_from(u128::from(wcet) + interference / self.cpus).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(wcet: u64, deadline: u64, period: u64) -> SporadicTask {
        let d = Duration::from_nanos;
        SporadicTask::new(d(wcet), d(deadline), d(period))
    }

    fn within(nanos: u64) -> ResponseBound {
        ResponseBound::Within(Duration::from_nanos(nanos))
    }

    #[test]
    fn alone_or_with_a_cpu_each_nobody_waits() {
        assert_eq!(rta(&[task(3, 7, 9)], 1), [within(3)]);
        assert_eq!(rta(&[task(3, 7, 9), task(9, 9, 9)], 2), [within(3), within(9)]);
    }

    /// One CPU, (1, 4) and (2, 6). First task: the other has one deadline within 4, so it can take 2, and does:
    /// x = 1, 2, 3. Second task: with the first one's slack of 1, two of its jobs run within a window of 3: x = 2, 3, 4.
    #[test]
    fn bounds_by_hand() {
        assert_eq!(rta(&[task(1, 4, 4), task(2, 6, 6)], 1), [within(3), within(4)]);
    }

    /// Two CPUs, one of them taken by the first task. The second has no laxity either, and no bound as long as the last two
    /// may run right before their deadlines; once their bounds are known, it has.
    #[test]
    fn slack_of_others_is_found_in_rounds() {
        let set = [task(1, 1, 1), task(1, 1, 3), task(1, 4, 5), task(1, 4, 6)];
        assert!(!super::super::gfb(&set, 2) && !super::super::bcl(&set, 2));
        let mut first_round = Analysis { tasks: &set, order: Order::Deadlines, cpus: 2, terms: MAX_TERMS };
        assert_eq!(first_round.response(1, &[0; 4]), None);
        assert_eq!(rta(&set, 2), [within(1), within(1), within(3), within(3)]);
    }

    /// Two CPUs, (2, 4), (2, 5) and (1, 10) in this order: the second one is alone with one other, so it has a CPU. The third:
    /// x = 1, 1 + (1 + 1) / 2 = 2, 1 + (2 + 2) / 2 = 3, and then no more, as the others are done by then.
    #[test]
    fn ranks_by_hand() {
        let set = [task(2, 4, 4), task(2, 5, 5), task(1, 10, 10)];
        assert_eq!(rta_ranked(&set, &[1, 2, 3], 2), [within(2), within(2), within(3)]);
        // With the ranks turned round, it is the first that waits for both.
        assert_eq!(rta_ranked(&set, &[3, 2, 1], 2)[2], within(1));
        // Of one rank, each may wait for all others.
        assert_eq!(rta_ranked(&set, &[1; 3], 2)[2], rta_ranked(&set, &[1, 1, 2], 2)[2]);
        assert_eq!(rta_ranked(&set, &[1, 2, 3], 1)[0], within(2));
    }

    /// The analysis ends, with a bound or without, though a step gains one of 10^15 ns.
    #[test]
    fn work_is_bounded() {
        let long = 1_000_000_000_000_000;
        let set = [task(1, 2, 2), task(long / 2 - 1, long, long), task(1, long, long)];
        assert!(rta(&set, 1).len() == 3);
    }

    #[test]
    fn jitter_counts_into_the_response() {
        let mut late = task(3, 7, 9);
        late.jitter = Duration::from_nanos(2);
        assert_eq!(rta(&[late], 1), [within(5)]);
    }
}
