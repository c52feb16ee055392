//! Policies by which jobs have ranks.

use super::task::StudyTask;

/// Chooses the ready jobs of the least `rank`; among equals those that ran until now, then the lower task. O(n log n).
pub(super) fn choose(
    tasks: &[StudyTask],
    cpus: usize,
    chosen: &mut Vec<usize>,
    rank: impl Fn(&StudyTask) -> i128,
) -> usize {
    chosen.extend((0..tasks.len()).filter(|&index| tasks[index].is_ready()));
    chosen.sort_by_key(|&index| (rank(&tasks[index]), !tasks[index].ran, index));
    let ready = chosen.len();
    chosen.truncate(cpus);
    ready
}
