//! Which class goes next on one CPU: the order System > Realtime > Interactive > Batch > Background, bounded.
//!
//! - *Caps.* Within a window, System and Realtime together run at most their cap while a lower class waits; what is
//!   left of the window belongs to the lower classes. System alone has a cap of its own within that.
//! - *Waits.* A lower class that has been ready for its wait bound gets a turn of fixed length before the classes
//!   above it (but never before System and Realtime, which are bounded by their caps).
//!
//! The idea of a deadline per class with a bounded turn is XNU's (doc/scheduler/sched_clutch_edge.md, "EDF between
//! root buckets" and "starvation avoidance window"); windows, caps and numbers are ours.

use super::Limits;
use crate::api::{Duration, Timestamp};
use crate::executor::Reason;
use crate::intent::QueueType;

const HIGH: u8 = 0b0_0011;
const LOW: u8 = 0b1_1100;

/// The set of classes in which something is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSet(u8);

impl ClassSet {
    /// Adds `class`.
    #[inline(always)]
    pub fn insert(&mut self, class: QueueType) {
        self.0 |= 1 << class.rank();
    }

    /// Takes `class` out.
    #[inline(always)]
    pub fn remove(&mut self, class: QueueType) {
        self.0 &= !(1 << class.rank());
    }

    /// Puts `class` in or takes it out.
    #[inline(always)]
    pub fn set(&mut self, class: QueueType, contained: bool) {
        self.0 = self.0 & !(1 << class.rank()) | u8::from(contained) << class.rank();
    }

    /// The set with `class` added.
    #[inline(always)]
    pub fn with(self, class: QueueType) -> ClassSet {
        ClassSet(self.0 | 1 << class.rank())
    }

    /// The set with `class` taken out.
    #[inline(always)]
    pub fn without(self, class: QueueType) -> ClassSet {
        ClassSet(self.0 & !(1 << class.rank()))
    }

    /// Whether `class` is in the set.
    #[inline(always)]
    pub fn contains(self, class: QueueType) -> bool {
        self.0 & 1 << class.rank() != 0
    }

    /// Whether `class`, and nothing else, is in the set.
    #[inline(always)]
    pub fn is_only(self, class: QueueType) -> bool {
        self.0 == 1 << class.rank()
    }

    /// Whether the set is empty.
    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The highest class of the set.
    #[inline(always)]
    pub fn first(self) -> Option<QueueType> {
        QueueType::ALL.get(self.0.trailing_zeros() as usize).copied()
    }

    #[inline(always)]
    fn masked(self, mask: u8) -> ClassSet {
        ClassSet(self.0 & mask)
    }
}

/// The class arbitration of one CPU.
#[derive(Debug)]
pub struct Arbiter {
    limits: Limits,
    cap: Duration,
    system_share: u16,
    system_cap: Duration,
    window_start: Timestamp,
    window_end: Timestamp,
    high_used: Duration,
    system_used: Duration,
    /// Since when each class has waited.
    waits_since: [Timestamp; 5],
    turn: Option<(QueueType, Timestamp)>,
}

impl Arbiter {
    /// An arbiter whose windows begin at the clock's origin.
    pub fn new(limits: Limits) -> Self {
        let mut arbiter = Arbiter {
            limits,
            cap: limits.window.mul_div(limits.realtime.into(), 1000),
            system_share: 0,
            system_cap: Duration::ZERO,
            window_start: Timestamp::ZERO,
            window_end: Timestamp::ZERO,
            high_used: Duration::ZERO,
            system_used: Duration::ZERO,
            waits_since: [Timestamp::MAX; 5],
            turn: None,
        };
        arbiter.limit_system(limits.system);
        arbiter
    }

    /// System may use at most `share` per mille of each window while others wait, as more would endanger what is reserved
    /// here.
    pub fn limit_system(&mut self, share: u16) {
        self.system_share = share.min(self.limits.system);
        self.system_cap = self.limits.window.mul_div(self.system_share.into(), 1000);
    }

    /// What System may use of each window while others wait, per mille.
    pub fn system_share(&self) -> u16 {
        self.system_share
    }

    #[inline(always)]
    fn wait(&self, class: QueueType) -> Option<(Duration, Duration)> {
        match class {
            QueueType::Batch => Some((self.limits.batch_wait, self.limits.batch_turn)),
            QueueType::Background => Some((self.limits.background_wait, self.limits.background_turn)),
            _ => None,
        }
    }

    /// `class` has begun to wait: it became ready, or its running task was its last and was put back.
    #[inline(always)]
    pub fn begin_wait(&mut self, class: QueueType, now: Timestamp) {
        self.waits_since[class.rank()] = now;
    }

    /// When `class` has waited for its bound.
    fn due(&self, class: QueueType) -> Timestamp {
        self.wait(class).map_or(Timestamp::MAX, |(wait, _)| self.waits_since[class.rank()] + wait)
    }

    /// Begins the window that contains `now`. Windows follow one another without gaps, so that a cap that is not used
    /// up in one window becomes due in the next at an instant that is known beforehand.
    #[inline(always)]
    fn roll(&mut self, now: Timestamp) {
        if now >= self.window_end {
            self.next_window(now);
        }
    }

    #[cold]
    #[inline(never)]
    fn next_window(&mut self, now: Timestamp) {
        let past = now.since(self.window_end).as_nanos() / self.limits.window.as_nanos().max(1);
        self.window_start = self.window_end + self.limits.window.mul_div(past, 1);
        self.window_end = self.window_start + self.limits.window;
        self.high_used = Duration::ZERO;
        self.system_used = Duration::ZERO;
    }

    /// A running task of `class` has used `ran` up to `now`. What it used before the present window does not count.
    #[inline(always)]
    pub fn charge(&mut self, class: QueueType, ran: Duration, now: Timestamp) {
        // Served up to now: its wait begins anew.
        self.begin_wait(class, now);
        if class > QueueType::Realtime {
            return;
        }
        self.roll(now);
        let ran = ran.min(now.since(self.window_start));
        self.high_used += ran;
        if class == QueueType::System {
            self.system_used += ran;
        }
    }

    /// Whether there is nothing to arbitrate, as `class`, and no other, is ready.
    #[inline(always)]
    pub fn is_left_to(&self, class: QueueType, ready: ClassSet) -> bool {
        ready.is_only(class) && self.turn.is_none()
    }

    /// The class that goes next, of those in which a task is ready or running.
    #[inline(always)]
    pub fn choose(&mut self, ready: ClassSet, now: Timestamp) -> Option<(QueueType, Reason)> {
        // The usual case: nothing to arbitrate.
        match ready.first() {
            Some(class) if ready.is_only(class) && self.turn.is_none() => Some((class, Reason::ClassOrder)),
            _ => self.arbitrate(ready, now),
        }
    }

    fn arbitrate(&mut self, ready: ClassSet, now: Timestamp) -> Option<(QueueType, Reason)> {
        self.roll(now);
        if self.turn.is_some_and(|(class, end)| now >= end || !ready.contains(class)) {
            self.turn = None;
        }
        let high = self.eligible_high(ready);
        if let Some(class) = high.first() {
            return Some((class, Reason::ClassOrder));
        }
        let low = ready.masked(LOW);
        let held_back = !ready.masked(HIGH).is_empty();
        if let Some((class, _)) = self.turn {
            return Some((class, Reason::WaitBound));
        }
        let overdue = [QueueType::Batch, QueueType::Background]
            .into_iter()
            .filter(|&class| low.contains(class) && low.first() != Some(class) && now >= self.due(class))
            .min_by_key(|&class| self.due(class));
        if let (Some(class), Some((_, turn))) = (overdue, overdue.and_then(|c| self.wait(c))) {
            self.turn = Some((class, now + turn));
            return Some((class, Reason::WaitBound));
        }
        let reason = if held_back { Reason::Cap } else { Reason::ClassOrder };
        // Only a System task beyond its cap is left: nobody is hurt if it goes on.
        low.first().or(ready.first()).map(|class| (class, reason))
    }

    /// The high classes that have not used up their caps, or hurt nobody by going on.
    #[inline(always)]
    fn eligible_high(&self, ready: ClassSet) -> ClassSet {
        let mut high = ready.masked(HIGH);
        if self.high_used >= self.cap && !ready.masked(LOW).is_empty() {
            return ClassSet::default();
        }
        let others = ready.without(QueueType::System);
        if high.contains(QueueType::System) && self.system_used >= self.system_cap && !others.is_empty() {
            high.remove(QueueType::System);
        }
        high
    }

    /// The earliest instant at which [`choose`](Self::choose) may answer otherwise than `running`, if `waiting` stays
    /// as it is.
    #[inline(always)]
    pub fn horizon(&mut self, running: QueueType, waiting: ClassSet, now: Timestamp) -> Option<Timestamp> {
        if waiting.is_empty() || (waiting.is_only(running) && self.turn.is_none()) {
            return None;
        }
        self.horizon_among_others(running, waiting, now)
    }

    fn horizon_among_others(&mut self, running: QueueType, waiting: ClassSet, now: Timestamp) -> Option<Timestamp> {
        self.roll(now);
        let mut horizon = Timestamp::MAX;
        let mut earlier = |t: Timestamp| horizon = horizon.min(t);
        if running.rank() < QueueType::Interactive.rank() {
            if !waiting.masked(LOW).is_empty() {
                earlier(self.exhaustion(self.cap, self.high_used, now));
            }
            if running == QueueType::System {
                if !waiting.without(QueueType::System).is_empty() {
                    earlier(self.exhaustion(self.system_cap, self.system_used, now));
                }
            } else if waiting.contains(QueueType::System) {
                earlier(self.window_end);
            }
        } else {
            if !waiting.masked(HIGH).is_empty() {
                earlier(self.window_end);
            }
            if let Some((_, end)) = self.turn {
                earlier(end);
            } else {
                for class in [QueueType::Batch, QueueType::Background] {
                    if class > running && waiting.contains(class) {
                        earlier(self.due(class));
                    }
                }
            }
        }
        (horizon != Timestamp::MAX).then_some(horizon)
    }

    /// When a cap of which `used` is gone will be used up by running on from `now`.
    #[inline(always)]
    fn exhaustion(&self, cap: Duration, used: Duration, now: Timestamp) -> Timestamp {
        let at = now + cap.saturating_sub(used);
        if at <= self.window_end { at } else { self.window_end + cap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueueType::*;

    fn set(classes: &[QueueType]) -> ClassSet {
        classes.iter().fold(ClassSet::default(), |s, &c| s.with(c))
    }

    fn ms(n: u64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000)
    }

    #[test]
    fn the_highest_ready_class_goes_first() {
        let mut a = Arbiter::new(Limits::default());
        for (i, class) in QueueType::ALL.into_iter().enumerate() {
            assert_eq!(a.choose(set(&QueueType::ALL[i..]), ms(1)), Some((class, Reason::ClassOrder)));
        }
        assert_eq!(a.choose(ClassSet::default(), ms(1)), None);
    }

    #[test]
    fn realtime_leaves_a_twentieth_of_the_window_to_those_who_wait() {
        let mut a = Arbiter::new(Limits::default());
        let ready = set(&[Realtime, Batch]);
        assert_eq!(a.choose(ready, ms(0)), Some((Realtime, Reason::ClassOrder)));
        assert_eq!(a.horizon(Realtime, set(&[Batch]), ms(0)), Some(Timestamp::from_nanos(9_500_000)));
        let at_cap = Timestamp::from_nanos(9_500_000);
        a.charge(Realtime, Duration::from_micros(9_500), at_cap);
        assert_eq!(a.choose(ready, at_cap), Some((Batch, Reason::Cap)));
        assert_eq!(a.horizon(Batch, set(&[Realtime]), at_cap), Some(ms(10)));
        assert_eq!(a.choose(ready, ms(10)), Some((Realtime, Reason::ClassOrder)));
        // Alone, it is not held back.
        a.charge(Realtime, Duration::from_millis(10), ms(19));
        assert_eq!(a.choose(set(&[Realtime]), ms(19)), Some((Realtime, Reason::ClassOrder)));
        assert_eq!(a.horizon(Realtime, ClassSet::default(), ms(19)), None);
    }

    #[test]
    fn system_is_capped_below_what_realtime_has_reserved() {
        let mut a = Arbiter::new(Limits::default());
        a.limit_system(50);
        let ready = set(&[System, Realtime]);
        assert_eq!(a.choose(ready, ms(0)).unwrap().0, System);
        a.charge(System, Duration::from_micros(500), ms(1));
        assert_eq!(a.choose(ready, ms(1)).unwrap().0, Realtime);
        assert_eq!(a.horizon(Realtime, set(&[System]), ms(1)), Some(ms(10)));
        assert_eq!(a.choose(set(&[System]), ms(2)), Some((System, Reason::ClassOrder)));
        assert_eq!(a.choose(set(&[System, Background]), ms(2)), Some((Background, Reason::Cap)));
    }

    #[test]
    fn batch_and_background_get_their_turns() {
        let mut a = Arbiter::new(Limits::default());
        a.begin_wait(Batch, ms(0));
        a.begin_wait(Background, ms(0));
        let ready = set(&[Interactive, Batch, Background]);
        assert_eq!(a.choose(ready, ms(74)).unwrap().0, Interactive);
        assert_eq!(a.horizon(Interactive, set(&[Batch, Background]), ms(74)), Some(ms(75)));
        assert_eq!(a.choose(ready, ms(75)), Some((Batch, Reason::WaitBound)));
        assert_eq!(a.horizon(Batch, set(&[Interactive]), ms(75)), Some(ms(80)));
        assert_eq!(a.choose(ready, ms(79)), Some((Batch, Reason::WaitBound)));
        a.begin_wait(Batch, ms(80));
        assert_eq!(a.choose(ready, ms(80)).unwrap().0, Interactive);
        assert_eq!(a.choose(ready, ms(250)), Some((Batch, Reason::WaitBound)));
        a.begin_wait(Batch, ms(255));
        assert_eq!(a.choose(ready, ms(255)), Some((Background, Reason::WaitBound)));
        // A turn does not outrank Realtime, and ends when its class has nothing ready.
        assert_eq!(a.choose(ready.with(Realtime), ms(256)).unwrap().0, Realtime);
        assert_eq!(a.choose(set(&[Interactive]), ms(256)).unwrap().0, Interactive);
    }
}
