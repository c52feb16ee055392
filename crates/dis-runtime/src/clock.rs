//! The runtime's clock: nanoseconds of CLOCK_MONOTONIC, read from the time-stamp counter where that is sound.
//!
//! A counter that ticks at one rate in all power states (`constant_tsc`, `nonstop_tsc`) and that the kernel itself uses
//! as its clock source is synchronised over the CPUs. Reading it costs about 10 ns, `clock_gettime` 25 to 170. The rate is
//! measured at the first use and corrected about once a second from then on ([`Clock::maintain`]), by slewing,
//! so the clock never goes back and stays within microseconds of CLOCK_MONOTONIC.

use std::arch::x86_64::{__rdtscp, _rdtsc};
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use dis_core::api::Timestamp;

/// A line through (tsc, ns) with slope rate / 2^32 ns per tick.
struct Line {
    tsc: AtomicU64,
    ns: AtomicU64,
    rate: AtomicU64,
}

/// Reads the time. One per process.
pub(crate) struct Clock {
    use_tsc: bool,
    /// Number of the line in force; the next one is written to the other place first.
    version: AtomicUsize,
    lines: [Line; 2],
    first: (u64, u64),
    next_maintenance: AtomicU64,
    maintaining: AtomicBool,
}

/// How often the rate is corrected.
const INTERVAL_NS: u64 = 1_000_000_000;

impl Clock {
    /// The process's clock; the first call takes 2 ms to measure the counter's rate.
    pub(crate) fn get() -> &'static Clock {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        CLOCK.get_or_init(|| Clock::new(tsc_is_reliable()))
    }

    fn new(use_tsc: bool) -> Clock {
        let line = || Line { tsc: AtomicU64::new(0), ns: AtomicU64::new(0), rate: AtomicU64::new(0) };
        let first = pair();
        let clock = Clock {
            use_tsc,
            version: AtomicUsize::new(0),
            lines: [line(), line()],
            first,
            next_maintenance: AtomicU64::new(first.1 + INTERVAL_NS / 50),
            maintaining: AtomicBool::new(false),
        };
        if use_tsc {
            let mut second = pair();
            while second.1 < first.1 + 2_000_000 {
                second = pair();
            }
            clock.lines[0].set(second.0, second.1, rate(first, second));
        }
        clock
    }

    /// The time.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        if !self.use_tsc {
            return Timestamp::from_nanos(monotonic());
        }
        loop {
            // SAFETY: every x86_64 has the instruction; a process that forbade it (PR_SET_TSC) could not run glibc's clock.
            if let Some(ns) = self.read(|| unsafe { _rdtsc() }) {
                return Timestamp::from_nanos(ns);
            }
        }
    }

    /// The time at a value of the counter; `None` if the line changed meanwhile.
    #[inline]
    fn read(&self, tsc: impl FnOnce() -> u64) -> Option<u64> {
        let version = self.version.load(Ordering::Acquire);
        let ns = self.lines[version & 1].at(tsc());
        fence(Ordering::Acquire);
        // The next update writes the other place, but the one after it may be under way as soon as the next is published.
        (self.version.load(Ordering::Relaxed) == version).then_some(ns)
    }

    /// Corrects the rate if a second has passed. Costs nothing otherwise; call it where a microsecond does not hurt.
    #[inline]
    pub(crate) fn maintain(&self, now: Timestamp) {
        if self.use_tsc && now.as_nanos() >= self.next_maintenance.load(Ordering::Relaxed) {
            self.correct();
        }
    }

    #[cold]
    fn correct(&self) {
        if self.maintaining.swap(true, Ordering::Acquire) {
            return;
        }
        let (tsc, truth) = pair();
        let version = self.version.load(Ordering::Relaxed);
        let ours = self.lines[version & 1].at(tsc);
        let measured = rate(self.first, (tsc, truth));
        // Make up for the difference within the next interval, at most 5 % faster or slower.
        let error = (truth as i64 - ours as i64).clamp(-(INTERVAL_NS as i64) / 20, INTERVAL_NS as i64 / 20);
        let slewed = measured as i128 + measured as i128 * error as i128 / INTERVAL_NS as i128;
        // Whoever reads words of the new line in the place of an old one sees at least this version.
        fence(Ordering::Release);
        self.lines[(version + 1) & 1].set(tsc, ours, slewed as u64);
        self.version.store(version + 1, Ordering::Release);
        self.next_maintenance.store(ours + INTERVAL_NS, Ordering::Relaxed);
        self.maintaining.store(false, Ordering::Release);
    }
}

impl Line {
    fn set(&self, tsc: u64, ns: u64, rate: u64) {
        self.tsc.store(tsc, Ordering::Relaxed);
        self.ns.store(ns, Ordering::Relaxed);
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// A counter read slightly before the line's origin (another CPU was faster to update it) counts as the origin.
    #[inline]
    fn at(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.tsc.load(Ordering::Relaxed));
        let ns = (ticks as u128 * self.rate.load(Ordering::Relaxed) as u128) >> 32;
        self.ns.load(Ordering::Relaxed) + ns as u64
    }
}

fn rate(from: (u64, u64), to: (u64, u64)) -> u64 {
    let ticks = to.0.saturating_sub(from.0).max(1);
    (((to.1.saturating_sub(from.1) as u128) << 32) / ticks as u128) as u64
}

/// CLOCK_MONOTONIC in nanoseconds.
fn monotonic() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Counter and clock at the same instant: the closest of five readings.
fn pair() -> (u64, u64) {
    let read = || {
        let mut aux = 0;
        // SAFETY: as in `now`; rdtscp exists on every x86_64 of the last 15 years and waits for earlier instructions.
        unsafe {
            let before = __rdtscp(&mut aux);
            let ns = monotonic();
            let after = __rdtscp(&mut aux);
            (after.wrapping_sub(before), (before + after.wrapping_sub(before) / 2, ns))
        }
    };
    (0..5).map(|_| read()).min_by_key(|(width, _)| *width).map_or((0, 0), |(_, pair)| pair)
}

/// Whether the kernel itself keeps time by the counter.
fn tsc_is_reliable() -> bool {
    let source = fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if source.is_ok_and(|source| source.trim() == "tsc") {
        return true;
    }
    // Some sandboxes hide /sys; then the processor's own word counts, unless a hypervisor may move us between hosts.
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|f| f == flag);
    has("constant_tsc") && has("nonstop_tsc") && has("rdtscp") && !has("hypervisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_over_an_update_is_no_reading() {
        let clock = Clock::new(true);
        let now = || pair().0;
        assert!(clock.read(now).is_some());
        let updated = clock.read(|| {
            clock.correct();
            now()
        });
        assert_eq!(updated, None);
    }

    #[test]
    fn follows_the_monotonic_clock_and_never_goes_back() {
        for clock in [Clock::new(false), Clock::new(tsc_is_reliable())] {
            let mut last = clock.now();
            for round in 0..20_000 {
                let now = clock.now();
                assert!(now >= last);
                last = now;
                if round % 1000 == 0 {
                    clock.next_maintenance.store(0, Ordering::Relaxed);
                    clock.maintain(now);
                }
            }
            let difference = clock.now().as_nanos().abs_diff(monotonic());
            assert!(difference < 50_000_000, "{difference} ns apart");
        }
    }
}
