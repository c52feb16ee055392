//! PD².

use dis_core::admission::SporadicTask;
use dis_core::api::Duration;

use super::GlobalPolicy;
use super::task::StudyTask;

/// Length of a quantum, ns.
const QUANTUM: u64 = 1_000_000;

/// PD² (Anderson and Srinivasan, "Mixed Pfair/ERfair scheduling of asynchronous periodic tasks", JCSS 68(1), 2004): time is
/// divided into quanta, and a task that needs e of every p is a sequence of subtasks of one quantum each. Subtask i may not
/// run before its pseudo-release ⌊(i − 1)·p/e⌋, and is due at ⌈i·p/e⌉: each task is always within one quantum of its
/// proportional share, which is possible as long as the sum of e/p is at most the number of CPUs.
///
/// Of eligible subtasks go first: the earlier pseudo-deadline; then that whose window overlaps the next one of its task
/// (b = 1); then that with the later group deadline, by which a run of such overlaps of a heavy task ends. The wcet is rounded up
/// to quanta; what a job leaves of its last quantum, or of its wcet, stays unused. O(n log n) a quantum.
#[derive(Debug)]
pub(super) struct Pd2 {
    /// The present quantum, and who runs in it.
    slot: Option<u64>,
    picked: Vec<usize>,
    /// The next subtask of each task, from 1, as it was at the beginning of this quantum.
    next: Vec<u64>,
    cpus: usize,
}

/// What a subtask is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subtask {
    release: u64,
    deadline: u64,
    overlaps: bool,
    group_deadline: u64,
}

impl Subtask {
    /// Subtask `i` of a task of `e` quanta in every `p`, e ≤ p, all in quanta since the task's first release.
    fn of(i: u64, e: u64, p: u64) -> Subtask {
        let [i, e, p] = [i, e, p].map(u128::from);
        let deadline = (i * p).div_ceil(e);
        // A light task has no group deadlines; one of weight 1 has no overlaps.
        let heavy = 2 * e >= p && e < p;
        let group = if heavy { ((deadline * (p - e)).div_ceil(p) * p).div_ceil(p - e) } else { 0 };
        let [release, deadline, group_deadline] = [(i - 1) * p / e, deadline, group].map(|slot| slot as u64);
        Subtask { release, deadline, overlaps: !(i * p).is_multiple_of(e), group_deadline }
    }
}

impl Pd2 {
    pub fn new(cpus: usize) -> Self {
        Pd2 { slot: None, picked: Vec::new(), next: Vec::new(), cpus }
    }

    /// The next subtask of a task that may run in `slot`, with instants counted from 0.
    fn eligible(&mut self, index: usize, task: &StudyTask, slot: u64) -> Option<Subtask> {
        let (e, p, start) = (quanta(task), task.period() / QUANTUM, task.start / QUANTUM);
        // A job that ended early leaves its last subtasks out.
        let first = (task.job - 1) * e + 1;
        self.next[index] = self.next[index].max(first);
        let subtask = Subtask::of(self.next[index], e, p);
        let group_deadline = if subtask.group_deadline == 0 { 0 } else { subtask.group_deadline + start };
        let (release, deadline) = (subtask.release + start, subtask.deadline + start);
        (release <= slot).then_some(Subtask { release, deadline, group_deadline, ..subtask })
    }
}

fn quanta(task: &StudyTask) -> u64 {
    task.wcet().div_ceil(QUANTUM).max(1)
}

/// The tasks as the policy sees them: their wcet in whole quanta.
pub(super) fn in_quanta(tasks: &[SporadicTask]) -> Vec<SporadicTask> {
    let whole = |wcet: Duration| Duration::from_nanos(wcet.as_nanos().next_multiple_of(QUANTUM));
    tasks.iter().map(|task| SporadicTask { wcet: whole(task.wcet), ..*task }).collect()
}

impl GlobalPolicy for Pd2 {
    fn accepts(&self, task: &SporadicTask, start: u64) -> Result<(), &'static str> {
        if task.deadline != task.period {
            return Err("pd2 needs deadlines equal to periods; take llf or global-edf for others");
        }
        if !task.period.as_nanos().is_multiple_of(QUANTUM) || !start.is_multiple_of(QUANTUM) {
            return Err(
                "pd2 needs periods and offsets in whole milliseconds, its quantum; round them, or take dp-wrap",
            );
        }
        Ok(())
    }

    fn choose(&mut self, now: u64, tasks: &[StudyTask], cpus: usize, chosen: &mut Vec<usize>) -> Option<u64> {
        let slot = now / QUANTUM;
        self.next.resize(tasks.len(), 1);
        if self.slot != Some(slot) {
            for &index in &self.picked {
                self.next[index] += 1;
            }
            self.picked.clear();
            self.slot = Some(slot);
        }
        // At the beginning of a quantum who runs in it is reckoned anew with each thing that happens at this instant.
        if now == slot * QUANTUM {
            let mut eligible: Vec<(Subtask, usize)> = Vec::new();
            for (index, task) in tasks.iter().enumerate().filter(|(_, task)| task.is_ready()) {
                eligible.extend(self.eligible(index, task, slot).map(|subtask| (subtask, index)));
            }
            eligible.sort_by_key(|&(subtask, index)| {
                let Subtask { deadline, overlaps, group_deadline, .. } = subtask;
                (deadline, !overlaps, std::cmp::Reverse(group_deadline), !tasks[index].ran, index)
            });
            self.picked.clear();
            self.picked.extend(eligible.into_iter().take(cpus.min(self.cpus)).map(|(_, index)| index));
        }
        chosen.extend(self.picked.iter().copied().filter(|&index| tasks[index].is_ready()));
        tasks.iter().any(StudyTask::is_ready).then(|| (slot + 1) * QUANTUM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows of a task of weight 8/11: figure 1 of Anderson and Srinivasan, with the group deadlines 4, 8 and 11.
    #[test]
    fn windows_of_a_heavy_task() {
        let subtasks: Vec<Subtask> = (1..=9).map(|i| Subtask::of(i, 8, 11)).collect();
        assert_eq!(subtasks.iter().map(|s| s.release).collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 8, 9, 11]);
        assert_eq!(subtasks.iter().map(|s| s.deadline).collect::<Vec<_>>(), [2, 3, 5, 6, 7, 9, 10, 11, 13]);
        assert_eq!(subtasks.iter().map(|s| s.group_deadline).collect::<Vec<_>>(), [4, 4, 8, 8, 8, 11, 11, 11, 15]);
        assert!(subtasks.iter().enumerate().all(|(i, s)| s.overlaps == (i != 7)));
    }

    #[test]
    fn light_tasks_and_full_ones_have_no_group_deadlines() {
        assert_eq!(Subtask::of(2, 1, 3), Subtask { release: 3, deadline: 6, overlaps: false, group_deadline: 0 });
        assert_eq!(Subtask::of(4, 5, 5), Subtask { release: 3, deadline: 4, overlaps: false, group_deadline: 0 });
    }
}
