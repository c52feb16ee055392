//! Whether every register survives: tasks fill all of them, are preempted, and look.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{Duration, ExitStatus};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::{println, task};

core::arch::global_asm!(include_str!("torture.s"));

unsafe extern "C" {
    fn torture(seed: u64, spins: u64) -> u64;
}

/// Twice as many tasks as CPUs, each preempted often by tasks that sleep for a fraction of a millisecond; all of them also
/// compute with floating-point numbers.
pub fn torture_all(booted: &Booted) -> Outcome {
    const PREEMPTIONS: u64 = 20;
    static WRONG: AtomicU64 = AtomicU64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let mut pests = Vec::new();
    for _ in 0..booted.cpus {
        let stop = stop.clone();
        let pest = move || {
            let mut sum = 0.1f64;
            while !stop.load(Ordering::Relaxed) {
                task::sleep(Duration::from_micros(300));
                // The compiler uses xmm for this: a task that lost its own would find these.
                sum = core::hint::black_box(sum * 1.000_1 + 0.3);
            }
            i32::from(sum < 0.0)
        };
        pests.push(task::spawn("pest", Intent::system(), pest).map_err(refused)?);
    }
    let mut ids = Vec::new();
    for number in 0..2 * booted.cpus as u64 {
        let stop = stop.clone();
        let work = move || {
            let mut seed = 0x0123_4567_89ab_0000 + (number << 48);
            while !stop.load(Ordering::Relaxed) {
                seed += 1009;
                // SAFETY: the routine keeps what its caller needs.
                let wrong = unsafe { torture(seed, 100_000) };
                if wrong != 0 {
                    WRONG.store(wrong, Ordering::Relaxed);
                    return 1;
                }
            }
            0
        };
        ids.push(task::spawn("torture", Intent::batch(), work).map_err(refused)?);
    }
    eventually("each task is preempted often, or one finds a wrong register", || {
        let enough = |&id| task::stats(id).is_ok_and(|stats| stats.preemptions >= PREEMPTIONS);
        WRONG.load(Ordering::Relaxed) != 0 || ids.iter().all(enough)
    })?;
    stop.store(true, Ordering::Relaxed);
    let preemptions: u64 = ids.iter().filter_map(|&id| task::stats(id).ok()).map(|stats| stats.preemptions).sum();
    for id in ids.into_iter().chain(pests) {
        let status = task::join(id).map_err(refused)?;
        let wrong = WRONG.load(Ordering::Relaxed);
        ensure(status == ExitStatus::Exited(0), || format!("{status:?}: register number {wrong} was wrong"))?;
    }
    println!("{preemptions} preemptions, no register wrong");
    Ok(())
}
