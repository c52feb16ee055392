//! What holds for every CPU of an admission.

use crate::admission::{Locking, Supply};
use crate::api::Duration;
use crate::optimizer::Limits;

/// The least share that System is left on every CPU, per mille of the window.
pub const SYSTEM_FLOOR: u16 = 10;

/// Evaluations of one task's demand that one question about one CPU may take: a quarter of a millisecond. Sets that need more
/// are within a thousandth of the supply, or less, and count as not schedulable.
pub(super) const WORK: u64 = 50_000;

/// What Realtime gets of each CPU, and how it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The caps; `None`: whole CPUs.
    pub limits: Option<Limits>,
    /// How sections add up.
    pub locking: Locking,
    /// What each further piece of a split task needs beyond its part of the wcet.
    pub per_piece: Duration,
}

impl Rules {
    /// The supply if System may use `system` per mille of each window, and admitted tasks can ask for `load` of one.
    pub fn supply(&self, system: u16, load: Duration) -> Supply {
        match &self.limits {
            Some(limits) => Supply::under_load(limits, limits.window.mul_div(system.into(), 1000), load),
            None => Supply::dedicated(),
        }
    }

    /// The window of the caps, above 0.
    pub fn window(&self) -> Duration {
        self.limits.map_or(Limits::default().window, |limits| limits.window).max(Duration::from_nanos(1))
    }

    /// The least share of System.
    pub fn floor(&self) -> u16 {
        self.limits.map_or(0, |limits| SYSTEM_FLOOR.min(limits.system))
    }
}
