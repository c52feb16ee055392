//! What admission is asked.

use crate::admission::SporadicTask;
use crate::api::{CpuMask, Duration};

/// A task that wants to be sure of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What it needs, with everything that the host adds to the wcet.
    pub task: SporadicTask,
    /// CPUs it may run on.
    pub affinity: CpuMask,
    /// How it claims that.
    pub claim: Claim,
}

/// The two ways to be sure of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Jobs with deadlines.
    Realtime,
    /// A part of each window of the class caps, whose bounds are the same for all tasks (`cpu_min`).
    Reservation,
}

impl Request {
    /// Jobs with deadlines, on any CPU.
    pub const fn realtime(task: SporadicTask) -> Request {
        Request { task, affinity: CpuMask::ALL, claim: Claim::Realtime }
    }

    /// `share` per mille of each `window`, on any CPU.
    pub const fn reservation(share: u16, window: Duration) -> Request {
        let budget = window.mul_div(share as u64, 1000);
        Request { task: SporadicTask::implicit(budget, window), affinity: CpuMask::ALL, claim: Claim::Reservation }
    }

    /// The same request, on these CPUs only.
    pub const fn on(self, affinity: CpuMask) -> Request {
        Request { affinity, ..self }
    }

    /// Whether the task may be split. A reservation stays where it is; a section in which a job does not give way might
    /// straddle the end of a piece, and be in the way of others on a CPU whose analysis does not know it.
    pub(super) const fn is_divisible(&self) -> bool {
        matches!(self.claim, Claim::Realtime) && self.task.section.is_zero()
    }
}
