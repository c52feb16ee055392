//! Instants and spans. The core never reads a clock: hosts pass [`Timestamp`]s in.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// An instant of the host's monotonic clock, in nanoseconds since an origin that the host chooses.
///
/// 64 bits of nanoseconds last 584 years. Sums saturate instead of wrapping, so an instant far in the
/// future ("never") stays in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Timestamp = Timestamp(0);
    /// Later than every other instant; what "never" compares as.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Timestamp(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to `self`; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(d.as_nanos()))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(d.as_nanos()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A span of time with nanosecond resolution, at most 584 years.
///
/// One 64-bit number rather than the reference's `secs` and `nanos` pair: every queue and budget computes with
/// nanoseconds, and the pair can hold values (`nanos >= 10^9`) that compare wrongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(transparent)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// The longest span.
    pub const MAX: Duration = Duration(u64::MAX);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Duration(nanos)
    }

    /// A span of `us` microseconds; saturates.
    pub const fn from_micros(us: u64) -> Self {
        Duration(us.saturating_mul(1_000))
    }

    /// A span of `ms` milliseconds; saturates.
    pub const fn from_millis(ms: u64) -> Self {
        Duration(ms.saturating_mul(1_000_000))
    }

    /// A span of `secs` seconds; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Duration(secs.saturating_mul(1_000_000_000))
    }

    /// The whole span in nanoseconds.
    pub const fn as_nanos(&self) -> u64 {
        self.0
    }

    /// Whole seconds in the span.
    pub const fn as_secs(&self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Nanoseconds beyond the whole seconds, `0..10^9`.
    pub const fn subsec_nanos(&self) -> u32 {
        (self.0 % 1_000_000_000) as u32
    }

    /// Whether the span is empty.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// `self + other`, at most [`Duration::MAX`].
    pub const fn saturating_add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }

    /// `self - other`, at least zero.
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }

    /// `self * num / den`, computed in 128 bits and saturating; `den` 0 counts as 1.
    #[inline]
    pub const fn mul_div(self, num: u64, den: u64) -> Duration {
        let den = if den == 0 { 1 } else { den };
        if let Some(product) = self.0.checked_mul(num) {
            return Duration(product / den);
        }
        let wide = self.0 as u128 * num as u128 / den as u128;
        if wide > u64::MAX as u128 { Duration::MAX } else { Duration(wide as u64) }
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        self.saturating_add(other)
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        self.saturating_sub(other)
    }
}

impl From<core::time::Duration> for Duration {
    fn from(d: core::time::Duration) -> Self {
        Duration(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Duration> for core::time::Duration {
    fn from(d: Duration) -> Self {
        core::time::Duration::from_nanos(d.0)
    }
}

impl fmt::Display for Duration {
    /// In the largest unit that keeps the value exact: `10ms`, `1500us`, `7ns`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        match n {
            0 => f.write_str("0s"),
            n if n % 1_000_000_000 == 0 => write!(f, "{}s", n / 1_000_000_000),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn sums_saturate_at_both_ends() {
        assert_eq!(Timestamp::MAX + Duration::from_nanos(1), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO - Duration::from_nanos(1), Timestamp::ZERO);
        assert_eq!(Timestamp::from_nanos(3).since(Timestamp::from_nanos(5)), Duration::ZERO);
        assert_eq!(Duration::from_secs(u64::MAX), Duration::MAX);
    }

    #[test]
    fn prints_in_the_largest_exact_unit() {
        for (d, text) in [
            (Duration::from_secs(2), "2s"),
            (Duration::from_millis(1500), "1500ms"),
            (Duration::from_micros(70), "70us"),
            (Duration::from_nanos(1), "1ns"),
            (Duration::ZERO, "0s"),
        ] {
            assert_eq!(d.to_string(), text);
        }
    }

    #[test]
    fn mul_div_does_not_overflow_midway() {
        assert_eq!(Duration::MAX.mul_div(1, 2), Duration::from_nanos(u64::MAX / 2));
        assert_eq!(Duration::MAX.mul_div(3, 2), Duration::MAX);
        assert_eq!(Duration::from_nanos(7).mul_div(1, 0), Duration::from_nanos(7));
    }
}
