//! Computation that never yields.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// As long as a heavy request computes, if the machine has nothing else to do.
const HEAVY: Duration = Duration::from_millis(50);

/// Mixes bits; the answer depends on every round.
pub fn crunch(rounds: u64) -> u64 {
    (0..rounds)
        .fold(0x9E37_79B9_7F4A_7C15, |x: u64, i| black_box((x ^ i).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(27)))
}

/// How many rounds take 50 ms: by the best of ten tries, as others may use the machine.
pub fn calibrate() -> u64 {
    const TRY: u64 = 2_000_000;
    let one = || {
        let begun = Instant::now();
        black_box(crunch(TRY));
        begun.elapsed()
    };
    let best = (0..10).map(|_| one()).min().unwrap_or(HEAVY).max(Duration::from_micros(1));
    (TRY as f64 * HEAVY.as_secs_f64() / best.as_secs_f64()) as u64
}
