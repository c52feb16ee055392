//! Hammers what preemption could break: `cargo run --release -p dis-runtime --example stress -- SECONDS`.
//! Exits with 1 if anything was corrupted, lost or stuck.

#[path = "../tests/common/hammer.rs"]
mod hammer;

use std::time::Duration;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(60);
    let report = hammer::run(2, Duration::from_secs(seconds));
    println!("{report}");
    std::process::exit(i32::from(!report.is_clean()));
}
