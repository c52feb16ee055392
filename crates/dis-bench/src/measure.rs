//! Timing inside a candidate.

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
