//! Fixed priorities on one CPU: response-time analysis.
//!
//! Assumptions:
//! 1. Tasks are sporadic, and independent but for their sections; a job does not suspend itself before its end.
//! 2. The first of the ready tasks, in the order of the set, runs, except for sections ([`SporadicTask::section`]).
//! 3. Deadlines are at most the periods, so a job that is in time is not delayed by the one before it.
//! 4. to 6. Jitter, costs and supply as for [`edf`](super::edf).
//!
//! [`SporadicTask::section`]: super::SporadicTask::section

use alloc::vec::Vec;

use super::edf::requested;
use super::set::Effort;
use super::{Locking, Response, TaskSet, Undecided};
use crate::api::Duration;

/// The response-time bounds, in the order of the tasks (Joseph and Pandya, The Computer Journal 29(5), 1986; Audsley et al.,
/// Software Engineering Journal 8(5), 1993, with jitter and blocking). Exact but for the blocking. All deadlines hold if all
/// responses are [`Within`](Response::Within).
///
/// For each task, the shortest time in which the CPU supplies what it, its blocking and all jobs of higher tasks in that
/// time need. O(n) a round; altogether at most [`TaskSet::work`].
pub fn responses(set: &TaskSet<'_>) -> Vec<Response> {
    let mut effort = Effort::new(set);
    let blocking = blocking(set).into_iter().enumerate();
    blocking.map(|(index, blocked)| response(set, index, blocked, &mut effort)).collect()
}

/// The bound for one task, for an order that differs from task to task. O(n) a round; at most [`TaskSet::work`].
///
/// # Panics
/// `index` is not one of the set's.
pub fn response_of(set: &TaskSet<'_>, index: usize) -> Response {
    response(set, index, blocking(set)[index], &mut Effort::new(set))
}

/// For each task, how long lower ones may be in its way, ns. O(n).
fn blocking(set: &TaskSet<'_>) -> Vec<u64> {
    let mut below = 0u64;
    let mut blocking: Vec<u64> = set
        .tasks
        .iter()
        .rev()
        .map(|task| {
            let blocked = below;
            let section = task.section.min(task.wcet).as_nanos();
            below = match set.locking {
                Locking::Ceiling => below.max(section),
                Locking::Inheritance => below.saturating_add(section),
            };
            blocked
        })
        .collect();
    blocking.reverse();
    blocking
}

fn response(set: &TaskSet<'_>, index: usize, blocked: u64, effort: &mut Effort) -> Response {
    let (task, higher) = (&set.tasks[index], &set.tasks[..index]);
    let own = task.wcet.as_nanos().saturating_add(blocked);
    let deadline = task.deadline.min(task.period);
    let mut busy = own;
    loop {
        if !effort.spend(index + 1) {
            return Response::Undecided(Undecided::Work);
        }
        let work = Duration::from_nanos(own.saturating_add(requested(higher, busy)));
        let next = set.supply.time_for(work).unwrap_or(Duration::MAX);
        let response = next.saturating_add(task.jitter);
        if response > deadline {
            return Response::Beyond(response);
        }
        if next.as_nanos() <= busy {
            return Response::Within(response);
        }
        busy = next.as_nanos();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SporadicTask, Supply};
    use super::*;

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    fn within(responses: &[u64]) -> Vec<Response> {
        responses.iter().map(|&r| Response::Within(d(r))).collect()
    }

    /// (C, T): responses computed by hand.
    #[test]
    fn three_tasks_that_just_fit() {
        let tasks = [(3, 7), (3, 12), (5, 20)].map(|(c, t)| SporadicTask::implicit(d(c), d(t)));
        assert_eq!(responses(&TaskSet::new(&tasks, Supply::dedicated())), within(&[3, 6, 20]));
        let tasks = [(3, 7), (3, 12), (6, 20)].map(|(c, t)| SporadicTask::implicit(d(c), d(t)));
        assert_eq!(responses(&TaskSet::new(&tasks, Supply::dedicated()))[2], Response::Beyond(d(21)));
    }

    /// Two tasks at the bound of Liu and Layland, 2 (sqrt 2 - 1) = 0.828..., the worst for it: T2 / T1 = sqrt 2.
    #[test]
    fn the_rate_monotonic_bound_is_tight() {
        let (t1, t2) = (1_000_000u64, 1_414_214u64);
        let tasks = |c2| [SporadicTask::implicit(d(t2 - t1), d(t1)), SporadicTask::implicit(d(c2), d(t2))];
        let fits = |c2| responses(&TaskSet::new(&tasks(c2), Supply::dedicated()))[1];
        let most = 2 * t1 - t2;
        assert_eq!(fits(most), Response::Within(d(t1)));
        assert!(matches!(fits(most + 1), Response::Beyond(_)));
        // Harmonic periods fill the CPU.
        let tasks = [(1, 2), (1, 4), (2, 8)].map(|(c, t)| SporadicTask::implicit(d(c), d(t)));
        assert_eq!(responses(&TaskSet::new(&tasks, Supply::dedicated())), within(&[1, 2, 8]));
    }

    #[test]
    fn jitter_blocking_and_supply_add_to_it() {
        let high = SporadicTask::implicit(d(2), d(6));
        let low = SporadicTask::implicit(d(3), d(20)).with_section(d(2));
        let lower = SporadicTask::implicit(d(1), d(40)).with_section(d(1));
        let of = |tasks: &[SporadicTask]| responses(&TaskSet::new(tasks, Supply::dedicated()));
        assert_eq!(of(&[high, low, lower]), within(&[4, 6, 6]));
        // One job more, as the first may be late.
        assert_eq!(of(&[high.with_jitter(d(2)), low, lower]), within(&[6, 8, 8]));
        let tasks = [high, low, lower];
        let inheritance = TaskSet::new(&tasks, Supply::dedicated()).with_locking(Locking::Inheritance);
        assert_eq!(responses(&inheritance), within(&[5, 6, 6]));
        // 1 of each 4 is System's, 2 at once at the start.
        let supply = Supply::windowed(d(4), d(4), d(1));
        assert_eq!(responses(&TaskSet::new(&[high, low.with_section(d(0))], supply)), within(&[4, 11]));
    }

    #[test]
    fn without_work_there_is_no_answer() {
        let tasks = [SporadicTask::implicit(d(3), d(7)); 2];
        let set = TaskSet::new(&tasks, Supply::dedicated()).with_work(1);
        assert_eq!(responses(&set), [Response::Within(d(3)), Response::Undecided(Undecided::Work)]);
    }
}
