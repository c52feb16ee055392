//! How much of a CPU Realtime is sure to get.
//!
//! An analysis asks for the *supply bound function*: the least CPU time that Realtime gets in any interval of a given length
//! in which it always has something ready (Shin and Lee, "Periodic resource model for compositional real-time guarantees",
//! RTSS 2003). This one is derived from what `optimizer/arbiter.rs` does in each window, of length W:
//!
//! 1. System runs before Realtime for at most S of each window while Realtime is ready. It may do so at any time of the window, so
//!    at the end of one and at the beginning of the next without a pause: 2 S at once (the back-to-back hit of a deferrable
//!    server: Strosnider, Lehoczky and Sha, IEEE Trans. Computers 44(1), 1995).
//! 2. The lower classes run before Realtime for at most R = W - cap of each window, and only in its last R: System and Realtime must
//!    have used up the cap in this window before. They cannot if together they never ask for that much of one window
//!    ([`Supply::under`]); then R = 0.
//! 3. Turns of lower classes do not come before Realtime.
//! 4. Windows adjoin, and tasks are released at any time of them.
//! 5. The kernel gives the host the CPU. What the host itself needs is part of the tasks' wcet.
//! 6. Whoever runs on loan as Realtime because it holds what a Realtime task waits for is the tasks' blocking or
//!    [`Supply::less`], not supply.
//!
//! Worst case, to scale for S = 1, R = 2, W = 8 (`s` System, `l` lower, `-` Realtime); the interval begins at `|`:
//!
//! ```text
//! ..... |s l l|s - - - - - l l|s - - - - - l l|...
//! ```

use super::SporadicTask;
use crate::api::Duration;
use crate::optimizer::Limits;

/// The supply bound function of one CPU. All operations are O(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Supply {
    window: u64,
    /// S, and R.
    system: u64,
    rest: u64,
    /// What is left of a window.
    per_window: u64,
    /// Work of others that goes first, once.
    ahead: u64,
}

impl Default for Supply {
    fn default() -> Self {
        Supply::dedicated()
    }
}

impl Supply {
    /// A whole CPU.
    pub const fn dedicated() -> Supply {
        Supply { window: 1, system: 0, rest: 0, per_window: 1, ahead: 0 }
    }

    /// At most `system` of each `window` goes to System, and what is left of it beyond `cap` to lower classes. A `cap` as long
    /// as the window is none.
    pub const fn windowed(window: Duration, cap: Duration, system: Duration) -> Supply {
        let window = if window.is_zero() { 1 } else { window.as_nanos() };
        let rest = window.saturating_sub(cap.as_nanos());
        let per_window = (window - rest).saturating_sub(system.as_nanos());
        Supply { window, system: window - rest - per_window, rest, per_window, ahead: 0 }
    }

    /// What `tasks` get under `limits` if System may use at most `system` of each window. Lower classes get the cap's
    /// remainder only if System and `tasks` can use up the cap in one window, which is impossible if they cannot when no
    /// remainder is taken: before the first time, all deadlines are met without it, so in a window each task has run for no
    /// more than a late job, and all later ones as early as can be (`window_workload`). O(n).
    pub fn under(limits: &Limits, system: Duration, tasks: &[SporadicTask]) -> Supply {
        let work = tasks.iter().fold(Duration::ZERO, |sum, task| sum + window_workload(task, limits.window));
        Self::under_load(limits, system, work)
    }

    /// [`under`](Self::under) with the sum of the tasks' [`window_workload`]s. O(1).
    pub(super) fn under_load(limits: &Limits, system: Duration, work: Duration) -> Supply {
        let cap = limits.window.mul_div(limits.realtime.into(), 1000);
        Self::windowed(limits.window, if system + work < cap { limits.window } else { cap }, system)
    }

    /// The same supply after `work` of somebody else: in any interval, that goes first, once.
    pub const fn less(self, work: Duration) -> Supply {
        Supply { ahead: self.ahead.saturating_add(work.as_nanos()), ..self }
    }

    /// Whether all of the CPU's time is supplied.
    pub const fn is_dedicated(&self) -> bool {
        self.per_window == self.window && self.ahead == 0
    }

    /// The share that is supplied in the long run: nanoseconds of how many.
    pub const fn rate(&self) -> (Duration, Duration) {
        (Duration::from_nanos(self.per_window), Duration::from_nanos(self.window))
    }

    /// The delay Δ of the linear bound: `within(t) >= rate * (t - Δ) - ahead`.
    pub(super) const fn delay(&self) -> u64 {
        self.rest.saturating_add(self.system.saturating_mul(2))
    }

    /// See [`less`](Self::less), ns.
    pub(super) const fn ahead(&self) -> u64 {
        self.ahead
    }

    /// The least time that is supplied within any interval of this length.
    pub const fn within(&self, interval: Duration) -> Duration {
        let t = interval.as_nanos();
        if self.per_window == self.window {
            return Duration::from_nanos(t.saturating_sub(self.ahead));
        }
        let t = t.saturating_sub(self.system + self.rest);
        let (windows, part) = (t / self.window, t % self.window);
        let part = part.saturating_sub(self.system);
        let part = if part < self.per_window { part } else { self.per_window };
        Duration::from_nanos((windows * self.per_window + part).saturating_sub(self.ahead))
    }

    /// The inverse: the shortest interval within which at least `work` is supplied. `None` if there is none below 2^64 ns.
    pub const fn time_for(&self, work: Duration) -> Option<Duration> {
        if work.is_zero() {
            return Some(Duration::ZERO);
        }
        let Some(work) = work.as_nanos().checked_add(self.ahead) else { return None };
        if self.per_window == self.window {
            return Some(Duration::from_nanos(work));
        }
        if self.per_window == 0 {
            return None;
        }
        let windows = (work - 1) / self.per_window;
        let part = work - windows * self.per_window;
        let Some(windows) = windows.checked_mul(self.window) else { return None };
        match windows.checked_add(self.delay() + part) {
            Some(t) => Some(Duration::from_nanos(t)),
            None => None,
        }
    }
}

/// The most that a task whose deadlines are met can run within any span: its first job as late as possible, all others as early
/// as possible (Bertogna and Cirinei, "Response-time analysis for globally scheduled symmetric multiprocessor platforms",
/// RTSS 2007, equation 4). What is run for it on loan while it waits counts as its own.
pub(super) fn window_workload(task: &SporadicTask, span: Duration) -> Duration {
    let [wcet, deadline, period] = [task.wcet, task.deadline, task.period].map(|d| u128::from(d.as_nanos()));
    let reach = (u128::from(span.as_nanos()) + deadline).saturating_sub(wcet);
    let (jobs, part) = (reach / period.max(1), reach % period.max(1));
    let work = jobs * wcet + part.min(wcet);
    Duration::from_nanos(u64::try_from(work).unwrap_or(u64::MAX)).min(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn d(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    /// What an arbiter could do to a Realtime task that is always ready from `start` on: each tick is System's if anything of
    /// S is left in this window, the lower classes' in the last R ticks, else Realtime's. Both are as early as they can be.
    fn simulated(window: u64, cap: u64, system: u64, start: u64, length: u64) -> u64 {
        let (mut got, mut left) = (0, system);
        for t in start..start + length {
            if t % window == 0 {
                left = system;
            }
            if t % window >= cap {
                continue;
            }
            if left > 0 {
                left -= 1;
            } else {
                got += 1;
            }
        }
        got
    }

    #[test]
    fn no_start_is_worse_than_the_bound_and_one_is_as_bad() {
        for window in 1..9 {
            for cap in 0..=window {
                for system in 0..=cap {
                    let supply = Supply::windowed(d(window), d(cap), d(system));
                    for length in 0..4 * window {
                        let worst = (0..window).map(|start| simulated(window, cap, system, start, length)).min();
                        assert_eq!(
                            Some(supply.within(d(length)).as_nanos()),
                            worst,
                            "W {window} cap {cap} S {system} t {length}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_inverse_is_the_shortest_interval() {
        let mut supplies: Vec<Supply> = [(1, 1, 0), (8, 6, 1), (8, 8, 3), (7, 5, 5), (5, 4, 0), (9, 1, 0)]
            .map(|(w, c, s)| Supply::windowed(d(w), d(c), d(s)))
            .into();
        supplies.push(Supply::dedicated());
        supplies.extend(supplies.clone().iter().map(|supply| supply.less(d(3))));
        for supply in supplies {
            for work in 0..40 {
                let shortest = (0..1000).map(d).find(|&t| supply.within(t) >= d(work));
                assert_eq!(supply.time_for(d(work)), shortest, "{supply:?} {work}");
            }
        }
    }

    #[test]
    fn the_linear_bound_is_below() {
        for (window, cap, system) in [(8, 6, 1), (8, 8, 3), (7, 5, 2), (5, 4, 0)] {
            let supply = Supply::windowed(d(window), d(cap), d(system));
            let (num, den) = supply.rate();
            for t in 0..50u64 {
                let linear = num.as_nanos() * t.saturating_sub(supply.delay());
                assert!(supply.within(d(t)).as_nanos() * den.as_nanos() >= linear, "{supply:?} {t}");
            }
        }
    }

    #[test]
    fn the_remainder_is_taken_only_from_those_who_can_use_up_the_cap() {
        let limits = Limits::default();
        let us = Duration::from_micros;
        let system = us(100);
        let uncapped = Supply::windowed(limits.window, limits.window, system);
        let capped = Supply::windowed(limits.window, us(9_500), system);
        // 4 ms in every 10 ms: at most 8 ms of one window, if one job is late and the next one early.
        let task = SporadicTask::implicit(us(4_000), us(10_000));
        assert_eq!(window_workload(&task, limits.window), us(8_000));
        assert_eq!(Supply::under(&limits, system, &[task]), uncapped);
        assert_eq!(Supply::under(&limits, us(1_500), &[task]).rate().0, us(8_000));
        let task = SporadicTask::implicit(us(4_700), us(10_000));
        assert_eq!(Supply::under(&limits, system, &[task]), capped);
        // A whole second apart, two jobs are never in one window, unless one is due at the end of its period.
        assert_eq!(window_workload(&SporadicTask::new(us(4_700), us(20_000), us(1_000_000)), limits.window), us(4_700));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let supply = Supply::windowed(Duration::MAX, Duration::MAX, d(1));
        assert_eq!(supply.within(Duration::MAX), d(u64::MAX - 2));
        assert_eq!(supply.time_for(Duration::MAX), None);
        assert_eq!(Supply::windowed(d(10), d(0), d(4)).time_for(d(1)), None);
        assert_eq!(Supply::windowed(d(0), d(0), d(0)).within(d(5)), d(0));
        assert_eq!(Supply::dedicated().within(Duration::MAX), Duration::MAX);
        let mad = SporadicTask::new(Duration::MAX, Duration::MAX, d(0));
        assert_eq!(window_workload(&mad, d(10)), d(10));
    }
}
