//! The stress test, for a few seconds; `DIS_STRESS_SECONDS` makes it longer.

#[path = "common/hammer.rs"]
mod hammer;

use std::time::Duration;

#[test]
fn nothing_is_corrupted_lost_or_stuck() {
    let seconds = std::env::var("DIS_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let report = hammer::run(2, Duration::from_secs(seconds));
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}
