//! UUniFast-Discard.

use super::GenerateError;
use super::random::Random;

/// How many vectors in a row may be discarded.
const ATTEMPTS: u32 = 10_000;

/// `n` values of 0 to 1 with the given sum, uniformly. O(n) for each attempt.
///
/// # Errors
/// [`GenerateError::Discarded`] if no attempt had values up to 1 only.
pub fn draw_discard(n: usize, sum: f64, random: &mut Random) -> Result<Vec<f64>, GenerateError> {
    let mut values = Vec::with_capacity(n);
    for _ in 0..ATTEMPTS {
        draw(n, sum, random, &mut values);
        if values.iter().all(|&value| value <= 1.0) {
            return Ok(values);
        }
    }
    Err(GenerateError::Discarded(ATTEMPTS))
}

/// UUniFast: what k tasks have together, given that k + 1 have `rest`, is `rest` times the k-th root of a uniform number.
fn draw(n: usize, sum: f64, random: &mut Random, values: &mut Vec<f64>) {
    values.clear();
    let mut rest = sum;
    for k in (1..n).rev() {
        let next = rest * libm::pow(random.unit(), 1.0 / k as f64);
        values.push(rest - next);
        rest = next;
    }
    values.push(rest);
}
