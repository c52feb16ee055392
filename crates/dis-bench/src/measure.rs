//! Timing inside a candidate.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Nanoseconds per operation of `ops` operations, done by one call of `work`.
pub fn per_op(ops: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / ops.max(1) as f64
}

/// The value below which `p` (0..=1) of the sorted values lie.
pub fn percentile(sorted: &[u64], p: f64) -> u64 {
    match sorted.len() {
        0 => 0,
        n => sorted[((n as f64 * p).ceil() as usize).clamp(1, n) - 1],
    }
}

/// Pages that are in memory, in bytes.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|t| t.parse().ok()).unwrap_or(0);
    // SAFETY: a call without memory.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64
}

/// Page tables, in bytes: memory that a task costs without being part of what is resident.
pub fn page_table_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// CLOCK_MONOTONIC, ns: the same clock for all candidates.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is valid; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Computes until `stop` is set, without calling anything that could yield.
pub fn never_yield(stop: &AtomicBool) {
    let mut x = 1;
    while !stop.load(Ordering::Relaxed) {
        x = compute(x, 1_000);
    }
    black_box(x);
}

/// `steps` steps of a computation that uses nothing but the processor, about a nanosecond each.
#[inline]
pub fn compute(mut x: u64, steps: u64) -> u64 {
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    x
}

/// Binds the calling thread to one CPU. False if that is not allowed.
pub fn pin_to(cpu: usize) -> bool {
    // SAFETY: the set is initialised by zeroing, and lives on this stack.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0
    }
}
