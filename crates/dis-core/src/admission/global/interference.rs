//! How much one task can interfere with another one's job under global EDF.

use super::SporadicTask;

/// Most CPU time that jobs of `task` with deadlines in a window of `length` ns can use within it, if the window ends at a
/// deadline that they do not exceed, and each job is done at least `slack` before its own deadline: deadlines that are one
/// period apart, the last at the window's end.
///
/// Source: Bertogna, Cirinei and Lipari, IEEE TPDS 20(4), 2009 (the alignment for EDF, with slack).
/// Jitter changes nothing, as it moves no deadline.
pub(super) fn with_deadlines_in(task: &SporadicTask, length: u64, slack: u64) -> u64 {
    let (wcet, period) = (task.wcet.as_nanos(), task.period.as_nanos());
    let carried_in = (length % period).saturating_sub(slack).min(wcet);
    // At most length + wcet, as wcet <= period.
    (length / period * wcet).saturating_add(carried_in)
}

/// Most CPU time that `task` can use in any window of `length` ns, if each job is done `slack` before its deadline: the
/// first job runs as late as it can, at the window's beginning, the others as early as they can.
///
/// Source: as above (any work-conserving scheduler, with slack). Jitter lies in the slack, which counts from the release.
pub(super) fn in_any_window(task: &SporadicTask, length: u64, slack: u64) -> u64 {
    let (wcet, period) = (task.wcet.as_nanos(), task.period.as_nanos());
    // How late the first job can run; at least 0, as a response is never shorter than the wcet.
    let late = task.deadline.as_nanos() - slack - wcet;
    let Some(span) = length.checked_add(late) else { return length };
    (span / period * wcet).saturating_add((span % period).min(wcet)).min(length)
}
