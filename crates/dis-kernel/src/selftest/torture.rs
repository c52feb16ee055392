//! Whether every register survives: tasks fill all of them, are preempted, and look.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{CpuMask, Duration, ExitStatus, TaskId};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::{println, task};

core::arch::global_asm!(include_str!("torture.s"));

unsafe extern "C" {
    fn torture(seed: u64, spins: u64) -> u64;
    #[cfg(feature = "clobber-red-zone")]
    static torture_end: u8;
}

/// Does to the red zone of the routine what the CPU would do if it pushed its frame on the stack that it interrupts.
#[cfg(feature = "clobber-red-zone")]
pub(crate) fn clobber_red_zone(registers: *const crate::context::Registers) {
    let routine = torture as *const () as u64..&raw const torture_end as u64;
    // SAFETY: the entry has saved them; what lies below the routine's stack pointer is its own, and wrong on purpose.
    unsafe {
        if routine.contains(&(*registers).rip) {
            (((*registers).rsp - 40) as *mut u8).write_bytes(0, 40);
        }
    }
}

/// What the number that the routine answers stands for.
fn what(number: u64) -> &'static str {
    match number {
        1..=15 => "a general register",
        101..=116 => "an SSE register",
        201..=208 => "an x87 register",
        301..=316 => "the red zone",
        401 | 402 => "a control word",
        _ => "something else",
    }
}

/// Tasks that wake several thousand times a second on each CPU, until `stop`.
pub(super) fn pests(cpus: usize, stop: &Arc<AtomicBool>) -> Result<Vec<TaskId>, String> {
    let pest = |cpu| {
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
        task::spawn("pest", Intent::system().with_affinity(CpuMask::single(cpu)), pest).map_err(refused)
    };
    (0..cpus).map(pest).collect()
}

/// Twice as many tasks as CPUs, each preempted often by tasks that sleep for a fraction of a millisecond; all of them also
/// compute with floating-point numbers.
pub fn torture_all(booted: &Booted) -> Outcome {
    const PREEMPTIONS: u64 = 100;
    static WRONG: AtomicU64 = AtomicU64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let pests = pests(booted.cpus, &stop)?;
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
        ensure(status == ExitStatus::Exited(0), || format!("{} was wrong (number {wrong}; {status:?})", what(wrong)))?;
    }
    println!("{preemptions} preemptions, no register wrong");
    Ok(())
}
