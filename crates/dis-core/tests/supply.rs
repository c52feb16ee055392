//! The supply bound against the arbiter itself: whatever System and lower classes do, Realtime gets what it is sure of.

#[allow(dead_code)]
#[path = "common/rng.rs"]
mod rng;

use dis_core::admission::Supply;
use dis_core::api::{Duration, Timestamp};
use dis_core::intent::QueueType;
use dis_core::optimizer::{Arbiter, ClassSet, Limits};
use rng::Rng;

const WINDOW: u64 = 100;
const LENGTH: u64 = 4 * WINDOW;

fn d(n: u64) -> Duration {
    Duration::from_nanos(n)
}

/// What Realtime gets within each span from `start` on, in which it is always ready; the classes are asked for each instant.
fn supplied(limits: Limits, start: u64, mut ready: impl FnMut(u64) -> ClassSet) -> Vec<u64> {
    let mut arbiter = Arbiter::new(limits);
    let (mut got, mut spans) = (0, vec![0]);
    for t in 0..start + LENGTH {
        let mut ready = ready(t);
        ready.set(QueueType::Realtime, ready.contains(QueueType::Realtime) || t >= start);
        let Some((class, _)) = arbiter.choose(ready, Timestamp::from_nanos(t)) else { continue };
        arbiter.charge(class, d(1), Timestamp::from_nanos(t + 1));
        if t >= start {
            got += u64::from(class == QueueType::Realtime);
            spans.push(got);
        }
    }
    spans
}

fn limits(realtime: u16, system: u16) -> Limits {
    Limits { window: d(WINDOW), realtime, system, ..Limits::default() }
}

#[test]
fn the_arbiter_never_gives_less() {
    let mut rng = Rng::new(1);
    for _ in 0..if cfg!(debug_assertions) { 2_000 } else { 20_000 } {
        let (realtime, system) = (500 + 50 * rng.below(11), 50 * rng.below(6) + 10);
        let limits = limits(realtime as u16, system as u16);
        let supply = Supply::windowed(d(WINDOW), d(WINDOW * realtime / 1000), limits.window.mul_div(system, 1000));
        // Each class is ready and not for a while, in turns; at times one is always.
        let chances: Vec<u64> = (0..5).map(|_| *rng.of(&[0, 20, 200, 500, 1000])).collect();
        let mut now = ClassSet::default();
        let start = 1 + rng.below(3 * WINDOW);
        let spans = supplied(limits, start, |_| {
            for (class, &chance) in QueueType::ALL.into_iter().zip(&chances) {
                if rng.chance(50) || chance == 1000 {
                    now.set(class, rng.chance(chance));
                }
            }
            now
        });
        for (span, &got) in spans.iter().enumerate() {
            let sure = supply.within(d(span as u64)).as_nanos();
            assert!(got >= sure, "cap {realtime} S {system} start {start}: {got} of {sure} within {span}");
        }
    }
}

/// System comes just before the cap is used up, and is ready from then on: the bound is met exactly, at every length.
#[test]
fn the_bound_is_met() {
    let supply = Supply::windowed(d(WINDOW), d(90), d(10));
    let spans = supplied(limits(900, 100), 2 * WINDOW - 20, |t| {
        let mut ready = ClassSet::default();
        ready.insert(QueueType::Realtime);
        ready.insert(QueueType::Batch);
        ready.set(QueueType::System, t >= 2 * WINDOW - 20);
        ready
    });
    let sure: Vec<u64> = (0..spans.len() as u64).map(|span| supply.within(d(span)).as_nanos()).collect();
    assert_eq!(spans, sure);
}
