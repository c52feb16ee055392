//! The virtual clock of a fair queue: the weighted mean of its members' virtual runtimes, in exact integers.

use core::cmp::Ordering;

use crate::api::Duration;

/// Virtual units that a task of weight 1 gains in a nanosecond. With weight 256, the highest, a nanosecond is 256
/// units, so rounding one charge down loses less than 1/256 ns of any task's service.
pub(crate) const SCALE_BITS: u32 = 16;

/// The longest request, 4.3 s; longer ones count as this long. It keeps a request's virtual length below 2^48.
pub(super) const MAX_REQUEST: Duration = Duration::from_nanos(1 << 32);

/// How far a virtual runtime may be from the clock's base. Far below 2^63, so that differences never wrap.
const LIMIT: i64 = 1 << 60;

/// An instant of virtual time. The numbers wrap around; instants less than 2^63 apart compare rightly all the same,
/// and those of one clock are less than 2^61 apart ([`VirtualClock::headroom`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant(pub(super) i64);

impl Instant {
    /// Virtual time from `earlier` to here; negative if `earlier` is later.
    #[inline(always)]
    pub(super) fn since(self, earlier: Instant) -> i64 {
        self.0.wrapping_sub(earlier.0)
    }

    #[inline(always)]
    pub(super) fn after(self, span: i64) -> Instant {
        Instant(self.0.wrapping_add(span))
    }
}

impl Ord for Instant {
    #[inline(always)]
    fn cmp(&self, other: &Self) -> Ordering {
        self.since(*other).cmp(&0)
    }
}

impl PartialOrd for Instant {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The virtual time in which a task of `weight` gains `service`, rounded down; at most [`LIMIT`].
#[inline]
pub(crate) fn virtual_length(service: Duration, weight: u16) -> i64 {
    let service = service.as_nanos().min(LIMIT as u64 >> SCALE_BITS);
    ((service << SCALE_BITS) / u64::from(weight)) as i64
}

/// The shortest service for which a task of `weight` gains at least `length` of virtual time.
#[inline]
pub(super) fn service(length: i64, weight: u16) -> Duration {
    let wide = length.max(0) as u128 * u128::from(weight);
    Duration::from_nanos(wide.div_ceil(1 << SCALE_BITS) as u64)
}

/// Virtual time `V`: the mean of the members' virtual runtimes `v`, weighted by their weights `w`.
///
/// Kept as sums relative to a base: `V = base + moment / weight`, `moment = Σ w·(v − base)`. A member's service,
/// arrival or leave changes the sums by its own term alone, and comparing `v` with `V` needs no division:
/// `v <= V` if and only if `(v − base)·weight <= moment`. The sums are exact. With fewer than 2^32 members of weight
/// at most 2^16, each within 2^62 of the base, `|moment|` stays below 2^110.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    base: i64,
    weight: i64,
    moment: i128,
    /// By how much a task may be ahead of V and still be eligible.
    slack: i64,
}

impl VirtualClock {
    /// `V`, rounded down. Moves the base there, which keeps the numbers small.
    #[inline]
    pub(super) fn now(&mut self) -> Instant {
        if self.weight > 0 {
            let whole = match i64::try_from(self.moment) {
                Ok(moment) => moment.div_euclid(self.weight),
                Err(_) => self.moment.div_euclid(i128::from(self.weight)) as i64,
            };
            self.base = self.base.wrapping_add(whole);
            self.moment -= i128::from(whole) * i128::from(self.weight);
        }
        Instant(self.base)
    }

    /// The sum of the weights of those who compete.
    pub(super) fn weight(&self) -> i64 {
        self.weight
    }

    /// A clock by which a task is eligible although it is ahead by up to `slack` of virtual time.
    pub(super) fn with_slack(slack: i64) -> Self {
        VirtualClock { slack, ..Self::default() }
    }

    /// Whether a task at `v` is eligible: it has had no more than its share, `v <= V`, but for the slack.
    #[inline]
    pub(super) fn reached(&self, v: Instant) -> bool {
        i128::from(v.since(Instant(self.base)) - self.slack) * i128::from(self.weight) <= self.moment
    }

    /// Where a task of `weight` has to join so that its lag is `lag` *after* it has joined. As the mean follows the
    /// newcomer, its distance from the present mean is that much greater (the mean moves by `lag·weight/total`).
    pub(super) fn place(&mut self, lag: i64, weight: u16) -> Instant {
        let now = self.now();
        if self.weight == 0 || lag == 0 {
            return now;
        }
        let total = self.weight + i64::from(weight);
        let distance = match lag.checked_mul(total) {
            Some(product) => product / self.weight,
            None => (i128::from(lag) * i128::from(total) / i128::from(self.weight)) as i64,
        };
        now.after(-distance)
    }

    #[inline]
    pub(super) fn join(&mut self, v: Instant, weight: u16) {
        self.weight += i64::from(weight);
        self.moment += i128::from(v.since(Instant(self.base))) * i128::from(weight);
    }

    #[inline]
    pub(super) fn leave(&mut self, v: Instant, weight: u16) {
        self.weight -= i64::from(weight);
        self.moment -= i128::from(v.since(Instant(self.base))) * i128::from(weight);
    }

    /// A member of `weight` has gone forward by `length`.
    #[inline]
    pub(super) fn advance(&mut self, length: i64, weight: u16) {
        self.moment += i128::from(length) * i128::from(weight);
    }

    /// How far a member at `v` may go forward. Never the limit in practice: it takes a task that runs for
    /// 2^60 units, five hours at weight 1 and two months at 256, while another of its queue waits.
    #[inline]
    pub(super) fn headroom(&mut self, v: Instant) -> i64 {
        if v.since(Instant(self.base)) > LIMIT / 2 {
            self.now();
        }
        LIMIT.saturating_sub(v.since(Instant(self.base))).max(0)
    }
}

#[cfg(test)]
impl VirtualClock {
    /// `V` as a fraction: numerator and denominator.
    pub(super) fn exact(&self) -> (i128, i128) {
        let weight = i128::from(self.weight);
        (i128::from(self.base) * weight + self.moment, weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_is_the_weighted_mean() {
        let mut clock = VirtualClock::default();
        clock.join(Instant(10), 1);
        clock.join(Instant(21), 3);
        assert_eq!(clock.exact(), (73, 4));
        assert!(clock.reached(Instant(18)) && !clock.reached(Instant(19)));
        assert_eq!(clock.now(), Instant(18));
        assert_eq!(clock.exact(), (73, 4), "the base moves, V does not");
        clock.advance(1, 3);
        assert_eq!(clock.exact(), (76, 4));
        assert!(clock.reached(Instant(19)));
        clock.leave(Instant(10), 1);
        assert_eq!((clock.now(), clock.exact()), (Instant(22), (66, 3)));
    }

    #[test]
    fn a_newcomer_has_its_lag_after_it_has_joined() {
        for (lag, weight) in [(0, 5), (60, 1), (-60, 2), (1 << 47, 256), (-1 << 47, 1)] {
            let mut clock = VirtualClock::default();
            clock.join(Instant(1000), 3);
            let v = clock.place(lag, weight);
            clock.join(v, weight);
            let kept = clock.now().since(v);
            assert!((kept - lag).abs() <= 1, "{lag} became {kept}");
        }
        assert_eq!(VirtualClock::default().place(77, 1), Instant(0), "alone, there is nobody who owes it anything");
    }

    #[test]
    fn numbers_that_wrap_compare_rightly() {
        let near = Instant(i64::MAX - 1);
        let mut clock = VirtualClock { base: near.0, ..VirtualClock::default() };
        clock.join(near, 256);
        clock.join(near.after(10), 256);
        assert!(near.after(10) > near && near.after(10).0 < 0);
        assert!(clock.reached(near.after(5)) && !clock.reached(near.after(6)));
        assert_eq!(clock.now(), near.after(5));
    }

    #[test]
    fn a_member_cannot_run_out_of_range() {
        let mut clock = VirtualClock::default();
        let (mut v, idle) = (Instant(0), Instant(0));
        clock.join(v, 1);
        clock.join(idle, 256);
        for _ in 0..1000 {
            let length = virtual_length(Duration::MAX, 1).min(clock.headroom(v));
            clock.advance(length, 1);
            v = v.after(length);
        }
        assert!(v > idle && v.since(idle) <= 2 * LIMIT);
    }

    #[test]
    fn a_request_takes_its_length_of_service() {
        for (nanos, weight) in [(1, 256), (7, 255), (1_000_003, 3), (MAX_REQUEST.as_nanos(), 1)] {
            let request = Duration::from_nanos(nanos);
            let length = virtual_length(request, weight);
            assert_eq!(service(length, weight), request);
            assert!(length > 0 && virtual_length(service(length, weight), weight) >= length);
        }
        assert_eq!(service(-1, 1), Duration::ZERO);
    }
}
