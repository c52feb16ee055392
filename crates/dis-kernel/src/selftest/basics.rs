//! The first things that must work.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{Duration, ExitStatus};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::{clock, println, task};

/// Tasks that never give way, twice as many as CPUs, and one that sleeps: all get on.
pub fn preempt(booted: &Booted) -> Outcome {
    static TURNS: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
    let count = (2 * booted.cpus).min(TURNS.len());
    let mut ids = Vec::new();
    for turns in &TURNS[..count] {
        let spin = move || {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
            }
        };
        ids.push(task::spawn("spin", Intent::batch(), spin).map_err(refused)?);
    }
    let before = clock::now();
    task::sleep(Duration::from_millis(100));
    ensure(clock::now().since(before) >= Duration::from_millis(100), || "a sleep ended too early".into())?;
    eventually("each of the tasks runs and is preempted", || {
        let turns = TURNS[..count].iter().all(|turns| turns.load(Ordering::Relaxed) > 0);
        turns && ids.iter().all(|&id| task::stats(id).is_ok_and(|stats| stats.cpu_time > 0 && stats.preemptions > 0))
    })?;
    for (place, &id) in ids.iter().enumerate() {
        task::kill(id).map_err(refused)?;
        ensure(task::join(id) == Ok(ExitStatus::Killed), || format!("task {place} did not end"))?;
    }
    println!("{count} tasks preempted each other");
    Ok(())
}
