//! A token bucket, as the generic cell rate algorithm (ITU-T I.371, annex A; virtual scheduling): one instant says how far the
//! task's transfers so far have used the future up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_core::api::Timestamp;

/// What may be used at once after a rest.
const BURST: Duration = Duration::from_millis(10);

/// Bytes a second, with bursts of 10 ms.
#[derive(Debug)]
pub(crate) struct Bucket {
    bytes_per_second: u64,
    /// When all that was transferred so far would have been through at exactly the rate, ns. Changed by the task only.
    through: AtomicU64,
}

impl Bucket {
    /// `rate`: KB/s of 1,000 bytes; at least 1.
    pub(crate) fn new(rate: u32) -> Bucket {
        Bucket { bytes_per_second: u64::from(rate.max(1)) * 1_000, through: AtomicU64::new(0) }
    }

    /// Most bytes to be transferred in one go, so that no transfer is ahead of the rate by more than a burst.
    pub(crate) fn piece(&self) -> usize {
        let bytes = u128::from(self.bytes_per_second) * BURST.as_nanos() / 1_000_000_000;
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }

    /// When the next transfer may begin.
    pub(crate) fn ready_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.through.load(Ordering::Relaxed).saturating_sub(BURST.as_nanos() as u64))
    }

    /// Counts a transfer of `bytes` that has been made at `now`.
    pub(crate) fn take(&self, now: Timestamp, bytes: usize) {
        let lasts = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second));
        let from = self.through.load(Ordering::Relaxed).max(now.as_nanos());
        self.through.store(from.saturating_add(u64::try_from(lasts).unwrap_or(u64::MAX)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever transfers as soon as he may, in pieces of any size, gets the rate.
    #[test]
    fn a_second_brings_the_rate() {
        for (rate, piece) in [(100, 1), (100, 333), (100, 1_000), (1, 10), (50_000, 500_000)] {
            let bucket = Bucket::new(rate);
            let start = 5_000_000_000;
            let (mut now, mut moved) = (Timestamp::from_nanos(start), 0);
            loop {
                now = now.max(bucket.ready_at());
                if now.as_nanos() > start + 1_000_000_000 {
                    break;
                }
                let piece = piece.min(bucket.piece());
                bucket.take(now, piece);
                moved += piece as u64;
            }
            let goal = u64::from(rate) * 1_000;
            let burst = goal / 100;
            assert!(
                (goal..=goal + 2 * burst + 1).contains(&moved),
                "{moved} bytes in a second at {rate} KB/s by {piece}"
            );
        }
    }

    #[test]
    fn a_rest_is_worth_a_burst_and_no_more() {
        let bucket = Bucket::new(100);
        let later = Timestamp::from_nanos(100_000_000_000);
        bucket.take(later, bucket.piece());
        assert_eq!(bucket.ready_at(), later, "a burst at once");
        bucket.take(later, bucket.piece());
        assert_eq!(bucket.ready_at(), later + Duration::from_millis(10).into());
    }
}
