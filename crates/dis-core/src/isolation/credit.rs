//! The head start of a domain's Interactive tasks: that of one task on each CPU, however many there are.

use alloc::boxed::Box;

use crate::api::{Duration, Timestamp};
use crate::optimizer::{Credit, Limits};
use crate::sync::{AtomicU64, Ordering};

/// A [`Credit`] for each CPU. Only the CPU itself, under its lock, reads and writes its own.
#[derive(Debug)]
pub(super) struct Credits(Box<[[AtomicU64; 2]]>);

impl Credits {
    pub fn new(cpus: usize, limits: &Limits) -> Credits {
        let (nanos, updated) = Credit::full(limits.interactive_burst, Timestamp::ZERO).parts();
        let full = |_| [nanos as u64, updated.as_nanos()].map(AtomicU64::new);
        Credits((0..cpus).map(full).collect())
    }

    /// An Interactive task has used `ran` on `cpu`, up to `now`. Whether nothing is left there.
    pub fn charge(&self, cpu: usize, ran: Duration, limits: &Limits, now: Timestamp) -> bool {
        let Some([nanos, updated]) = self.0.get(cpu) else { return false };
        let at = Timestamp::from_nanos(updated.load(Ordering::Relaxed));
        let mut credit = Credit::from_parts(nanos.load(Ordering::Relaxed) as i64, at);
        credit.charge(ran, limits.interactive_share, limits.interactive_burst, now);
        let (left, at) = credit.parts();
        nanos.store(left as u64, Ordering::Relaxed);
        updated.store(at.as_nanos(), Ordering::Relaxed);
        credit.is_exhausted()
    }
}
