//! Sufficient schedulability tests for global EDF: one ready queue, the m earliest deadlines run, jobs migrate freely.
//!
//! No exact test of usable cost is known. What one of these accepts meets its deadlines; what all reject may do so too. They
//! complement each other: [`gfb`] is strong for many light tasks, [`bcl`] and [`rta`] where a task is heavy, and `rta` accepts
//! whatever `bcl` does.
//!
//! Assumptions of every test here:
//! 1. m identical CPUs, wholly at the disposal of these tasks; any task may run on any of them.
//! 2. Tasks are sporadic, with constrained deadlines and bounded release jitter ([`SporadicTask::is_valid`]); offsets are
//!    not used. A job runs on one CPU at a time and does not suspend itself.
//! 3. Priority is the absolute deadline (release + deadline, whatever the jitter); ties are broken in any way that does not
//!    change while a job is ready.
//! 4. Preemption and migration cost nothing, or their cost is in the wcet; nothing is non-preemptible: sets with sections
//!    ([`SporadicTask::section`]) are rejected.
//! 5. Time is discrete: all times are whole nanoseconds, and the scheduler decides at whole nanoseconds.

mod bcl;
mod gfb;
mod interference;
mod rta;

pub use bcl::bcl;
pub use gfb::gfb;
pub use rta::{ResponseBound, rta, rta_ranked};

use core::cmp::Ordering;

use super::{SporadicTask, utilisation as sums};

/// A test of this module, named as in the literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GlobalTest {
    /// The density bound, [`gfb`].
    Gfb,
    /// The interference bound, [`bcl`].
    Bcl,
    /// Response-time analysis, [`rta`].
    Rta,
}

impl GlobalTest {
    /// All tests, cheapest first.
    pub const ALL: [GlobalTest; 3] = [GlobalTest::Gfb, GlobalTest::Bcl, GlobalTest::Rta];

    /// Whether this test accepts `tasks` on `cpus` CPUs.
    pub fn accepts(self, tasks: &[SporadicTask], cpus: usize) -> bool {
        match self {
            GlobalTest::Gfb => gfb(tasks, cpus),
            GlobalTest::Bcl => bcl(tasks, cpus),
            GlobalTest::Rta => rta(tasks, cpus).iter().all(|bound| bound.is_met()),
        }
    }

    /// The test's name: `gfb`, `bcl`, `rta`.
    pub const fn name(self) -> &'static str {
        match self {
            GlobalTest::Gfb => "gfb",
            GlobalTest::Bcl => "bcl",
            GlobalTest::Rta => "rta",
        }
    }
}

/// The first test, cheapest first, that accepts `tasks` under global EDF on `cpus` CPUs; `None` if all reject.
pub fn accepted_by(tasks: &[SporadicTask], cpus: usize) -> Option<GlobalTest> {
    GlobalTest::ALL.into_iter().find(|test| test.accepts(tasks, cpus))
}

/// How Σ wcet / period compares with the number of CPUs: more than that no policy can keep, and with deadlines equal to periods the
/// optimal ones (PD², DP-Wrap) keep all up to it. `None` if 128 bits cannot tell. O(n).
pub fn utilisation(tasks: &[SporadicTask], cpus: usize) -> Option<Ordering> {
    sums::compare_with(tasks, cpus as u64, 1)
}

/// Whether the tests' assumptions hold for a task.
fn is_covered(task: &SporadicTask) -> bool {
    task.is_valid() && task.section.is_zero()
}
