//! What the tests of the core share. Each test file uses its own part of it.
#![allow(dead_code)]

pub mod direct;
pub mod erratic;
pub mod lock;
pub mod machine;
pub mod modules;
pub mod rng;
pub mod wrapped;

use dis_core::api::{Duration, Timestamp};

/// The instant `nanos` nanoseconds after the origin.
pub fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// A span of `n` milliseconds in nanoseconds.
pub const fn ms(n: u64) -> u64 {
    n * 1_000_000
}

/// A span of `n` microseconds in nanoseconds.
pub const fn us(n: u64) -> u64 {
    n * 1_000
}

/// A span of `nanos` nanoseconds.
pub fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}
