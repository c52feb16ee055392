//! The monotonic clock: the time stamp counter, as nanoseconds since the boot.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{Duration, Timestamp};

/// What turns counts into nanoseconds: a multiplier with 32 bits behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale(u64);

impl Scale {
    /// For a counter of `hz` (at least 1 MHz).
    pub const fn of(hz: u64) -> Scale {
        Scale(((1_000_000_000u128 << 32) / hz as u128) as u64)
    }

    /// `count` in nanoseconds, rounded down.
    #[inline(always)]
    pub const fn nanos(self, count: u64) -> u64 {
        ((count as u128 * self.0 as u128) >> 32) as u64
    }
}

static ORIGIN: AtomicU64 = AtomicU64::new(0);
static SCALE: AtomicU64 = AtomicU64::new(0);

/// The counter itself.
#[inline(always)]
pub fn tsc() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { _rdtsc() }
}

/// Time begins now; the counter runs at `hz`.
pub fn start(hz: u64) {
    SCALE.store(Scale::of(hz).0, Ordering::Relaxed);
    ORIGIN.store(tsc(), Ordering::Release);
}

/// Time since the start.
#[inline(always)]
pub fn now() -> Timestamp {
    // A CPU whose counter is behind by less than the start-up takes does not wrap.
    let count = tsc().saturating_sub(ORIGIN.load(Ordering::Relaxed));
    Timestamp::from_nanos(Scale(SCALE.load(Ordering::Relaxed)).nanos(count))
}

/// What the counter's difference `count` is in time.
pub fn span(count: u64) -> Duration {
    Duration::from_nanos(Scale(SCALE.load(Ordering::Relaxed)).nanos(count))
}

/// One exchange of counters between two CPUs: ours before and after, theirs in between.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Our counter when we asked.
    pub asked: u64,
    /// Theirs when they answered.
    pub answered: u64,
    /// Ours when the answer was here.
    pub received: u64,
}

/// How far two counters are certainly apart: 0 if the answer could have been given between question and receipt
/// (Cristian's bound), else the distance to that span. The exchange that says least is decisive, so feed many.
pub fn skew(exchanges: impl IntoIterator<Item = Exchange>) -> u64 {
    let outside = |e: Exchange| e.asked.saturating_sub(e.answered).max(e.answered.saturating_sub(e.received));
    exchanges.into_iter().map(outside).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_a_fast_counter_is_a_day() {
        let scale = Scale::of(2_445_404_000);
        let day = 86_400 * 2_445_404_000;
        let error = scale.nanos(day).abs_diff(86_400_000_000_000);
        assert!(error < 100_000, "{error} ns a day");
        assert_eq!(Scale::of(1_000_000_000).nanos(12_345), 12_345);
    }

    #[test]
    fn a_counter_that_answers_from_outside_the_span_is_apart() {
        let fits = Exchange { asked: 100, answered: 150, received: 200 };
        let late = Exchange { asked: 100, answered: 260, received: 200 };
        let early = Exchange { asked: 100, answered: 30, received: 200 };
        assert_eq!(skew([fits]), 0);
        assert_eq!(skew([fits, late]), 60);
        assert_eq!(skew([early]), 70);
    }
}
