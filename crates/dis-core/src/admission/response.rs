//! Response-time bounds under EDF, from release to end.
//!
//! Assumptions 1 to 6 as for [`edf`](super::edf), and
//!
//! 7. The bounds are from the release, jitter included, to the end. A job that is late delays the next one of its task: bounds above
//!    the deadline are told ([`Response::Beyond`]), and those of other tasks count it as if it went on.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::blocking::Blocking;
use super::edf::{busy_period, first_deadline};
use super::set::Effort;
use super::{Response, SporadicTask, TaskSet, Undecided};
use crate::api::Duration;

/// The least bounds, in the order of the tasks (Spuri, "Analysis of deadline scheduled real-time systems", INRIA RR-2772, 1996,
/// with jitter and blocking): the longest that a job can take, released at any time of a busy period that begins when all others
/// become ready. Exact but for blocking and the phase of the supply.
///
/// For each task as many rounds of O(n) as there are deadlines in the longest busy period, times a few; altogether at most
/// [`TaskSet::work`]. For sets of hundreds of tasks: [`quick`].
pub fn exact(set: &TaskSet<'_>) -> Vec<Response> {
    let mut effort = Effort::new(set);
    let blocking = Blocking::of(set);
    let busy = match busy_period(set, &blocking, usize::MAX, &mut effort) {
        Ok(busy) => busy,
        Err(undecided) => return vec![Response::Undecided(undecided); set.tasks.len()],
    };
    let longest = |index| match longest(set, &blocking, index, busy, &mut effort) {
        Some(nanos) => judge(&set.tasks[index], nanos),
        None => Response::Undecided(Undecided::Work),
    };
    (0..set.tasks.len()).map(longest).collect()
}

fn judge(task: &SporadicTask, nanos: u64) -> Response {
    let response = Duration::from_nanos(nanos);
    if response <= task.deadline { Response::Within(response) } else { Response::Beyond(response) }
}

/// The longest response of the task's jobs, ns; `None` if that is too much work.
fn longest(set: &TaskSet<'_>, blocking: &Blocking, index: usize, busy: u64, effort: &mut Effort) -> Option<u64> {
    let task = &set.tasks[index];
    let deadline = task.deadline.as_nanos();
    let (mut most, mut finished, mut blocked) = (0, 1, u64::MAX);
    // A job of this task need be looked at only if it is due together with another one, or is one of as many as can be: one that
    // is released a little later ends no later.
    let mut due = task.effective_deadline();
    while due < busy.saturating_add(deadline) {
        let b = blocking.at(due).0;
        if b != blocked {
            (finished, blocked) = (1, b);
        }
        // What is due later ends later.
        finished = finish(set, index, due, b, finished, effort)?;
        most = most.max((finished.saturating_add(deadline)).saturating_sub(due));
        if !effort.spend(set.tasks.len()) {
            return None;
        }
        due = first_deadline(set.tasks, due)?;
    }
    Some(most)
}

/// When the job of the task that is due `due` after the beginning of the busy period has ended at the latest; not before `from`.
fn finish(set: &TaskSet<'_>, index: usize, due: u64, blocked: u64, from: u64, effort: &mut Effort) -> Option<u64> {
    let own = &set.tasks[index];
    let own = jobs_due(own, due).saturating_mul(own.wcet.as_nanos()).saturating_add(blocked);
    let mut time = from;
    loop {
        if !effort.spend(set.tasks.len()) {
            return None;
        }
        let mut work = own;
        for (other, task) in set.tasks.iter().enumerate() {
            if other != index {
                let jobs = jobs_ready(task, time).min(jobs_due(task, due));
                work = work.saturating_add(jobs.saturating_mul(task.wcet.as_nanos()));
            }
        }
        let next = set.supply.time_for(Duration::from_nanos(work))?.as_nanos();
        if next <= time {
            return Some(time);
        }
        time = next;
    }
}

/// How many jobs of the task can become ready within less than `t`.
fn jobs_ready(task: &SporadicTask, t: u64) -> u64 {
    t.saturating_add(task.jitter.as_nanos()).div_ceil(task.period.as_nanos().max(1))
}

/// How many jobs of the task can become ready and be due within `t`.
fn jobs_due(task: &SporadicTask, t: u64) -> u64 {
    t.checked_sub(task.effective_deadline()).map_or(0, |rest| rest / task.period.as_nanos().max(1) + 1)
}

/// Bounds that are found sooner, in the order of the tasks: not below those of [`exact`], and within the deadlines if [those
/// hold](super::edf::test); if they do not, some are not known.
///
/// A job that is due `t` after the beginning of its busy period has ended when all that is due by then is done, and when the busy
/// period ends; so it ends before its deadline by at least `t` less the sooner of the two. Such a `t` is at least its D - J, so the
/// least of those spans for all `t` from there on is spared in any case.
///
/// O(log n) for each deadline in the longest busy period and a little beyond; altogether at most [`TaskSet::work`].
pub fn quick(set: &TaskSet<'_>) -> Vec<Response> {
    let mut effort = Effort::new(set);
    match Spared::find(set, &mut effort) {
        Ok(spared) => set.tasks.iter().map(|task| spared.response(task)).collect(),
        Err(undecided) => vec![Response::Undecided(undecided); set.tasks.len()],
    }
}

/// By how much jobs end before their deadlines.
struct Spared {
    /// Instants in ascending order, each with what is spared of any deadline from there on; negative if it is too late.
    from: Vec<(u64, i128)>,
    busy: u64,
}

impl Spared {
    fn find(set: &TaskSet<'_>, effort: &mut Effort) -> Result<Spared, Undecided> {
        let blocking = Blocking::of(set);
        let busy = busy_period(set, &blocking, usize::MAX, effort)?;
        let first = |(index, task): (usize, &SporadicTask)| Reverse((task.effective_deadline(), index));
        let mut due: BinaryHeap<_> = set.tasks.iter().enumerate().map(first).collect();
        let (mut demand, mut from, mut least) = (0u64, Vec::new(), i128::MAX);
        while let Some(Reverse((t, index))) = due.pop() {
            if !effort.spend(1) {
                return Err(Undecided::Work);
            }
            let beyond = i128::from(t) - i128::from(busy);
            if beyond >= least {
                // At least as much is spared from here on.
                from.push((t, beyond));
                break;
            }
            let task = &set.tasks[index];
            demand = demand.saturating_add(task.wcet.as_nanos());
            if let Some(next) = t.checked_add(task.period.as_nanos().max(1)) {
                due.push(Reverse((next, index)));
            }
            if due.peek().is_some_and(|&Reverse((next, _))| next == t) {
                continue;
            }
            let work = Duration::from_nanos(demand.saturating_add(blocking.at(t).0));
            let done = set.supply.time_for(work).map_or(busy, |done| done.as_nanos().min(busy));
            let spared = i128::from(t) - i128::from(done);
            from.push((t, spared));
            if beyond > 0 {
                least = least.min(spared);
            }
        }
        for place in (1..from.len()).rev() {
            from[place - 1].1 = from[place - 1].1.min(from[place].1);
        }
        Ok(Spared { from, busy })
    }

    fn response(&self, task: &SporadicTask) -> Response {
        let first = self.from.partition_point(|&(t, _)| t < task.effective_deadline());
        let deadline = task.deadline.as_nanos();
        // Beyond the last one, the end of the busy period is what counts.
        let all = i128::from(task.effective_deadline()) - i128::from(self.busy);
        let spared = self.from.get(first).map_or(all, |&(_, spared)| spared);
        u64::try_from(spared).map_or(Response::Undecided(Undecided::Work), |spared| {
            Response::Within(Duration::from_nanos(deadline.saturating_sub(spared)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Supply;
    use super::*;

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    fn within(responses: &[u64]) -> Vec<Response> {
        responses.iter().map(|&r| Response::Within(d(r))).collect()
    }

    /// Brandenburg's set of density 1.1 (schedcat, tests/edf.py): the second response is at most 60.
    #[test]
    fn two_tasks() {
        let tasks = [SporadicTask::new(d(50), d(50), d(100)), SporadicTask::implicit(d(10), d(100))];
        let set = TaskSet::new(&tasks, Supply::dedicated());
        assert_eq!(exact(&set), within(&[50, 60]));
        assert_eq!(quick(&set), within(&[50, 60]));
    }

    /// The longest response is not that of a synchronous release: the first task's is 6 if it is released at 2 of a busy
    /// period of the second one, whose job is due before its own.
    #[test]
    fn the_worst_release_is_not_the_first() {
        let tasks = [SporadicTask::implicit(d(2), d(10)), SporadicTask::new(d(4), d(7), d(10))];
        let set = TaskSet::new(&tasks, Supply::dedicated());
        assert_eq!(exact(&set), within(&[6, 4]));
        let tasks = [SporadicTask::implicit(d(1), d(4)), SporadicTask::implicit(d(4), d(6))];
        assert_eq!(exact(&TaskSet::new(&tasks, Supply::dedicated())), within(&[3, 5]));
    }

    #[test]
    fn what_comes_late_and_what_is_in_the_way_add_to_it() {
        let first = SporadicTask::new(d(2), d(8), d(10));
        let second = SporadicTask::implicit(d(3), d(20)).with_section(d(2));
        let of = |tasks: &[SporadicTask], supply| exact(&TaskSet::new(tasks, supply));
        assert_eq!(of(&[first, second], Supply::dedicated()), within(&[4, 5]));
        assert_eq!(of(&[first.with_jitter(d(3)), second], Supply::dedicated()), within(&[7, 5]));
        // 2 of each 10 are System's, 4 at once at the start.
        let supply = Supply::windowed(d(10), d(10), d(2));
        assert_eq!(of(&[first, second], supply), within(&[8, 9]));
        let late = of(&[first.with_jitter(d(1)), second], supply);
        assert_eq!(late[0], Response::Beyond(d(9)));
    }

    #[test]
    fn too_much_work_is_said_to_be_so() {
        let tasks =
            [SporadicTask::implicit(d(499_999), d(1_000_003)), SporadicTask::implicit(d(499_999), d(1_000_033))];
        let set = TaskSet::new(&tasks, Supply::dedicated()).with_work(3);
        for response in exact(&set).into_iter().chain(quick(&set)) {
            assert_eq!(response, Response::Undecided(Undecided::Work));
        }
    }
}
