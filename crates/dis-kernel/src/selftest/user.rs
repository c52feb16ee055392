//! Tasks in ring 3.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{CpuMask, ExitStatus, TaskStats};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused, torture};
use crate::boot::Booted;
use crate::fault::{FAULTED, MEMORY_LIMIT};
use crate::memory::{frames, stacks};
use crate::user::Program;
use crate::{println, sched, task, user};

core::arch::global_asm!(include_str!("user.s"));

macro_rules! symbols {
    ($($name:ident)*) => {
        unsafe extern "C" {
            $(static $name: u8;)*
        }
        $(
            #[allow(non_snake_case, reason = "named as the symbol")]
            mod $name {
                /// How far behind the program's start it is.
                pub fn offset() -> u64 {
                    &raw const super::$name as u64 - &raw const super::user_start as u64
                }
            }
        )*
    };
}

symbols! {
    user_compute user_pages user_privileged user_kernel user_text user_stack_code user_spin user_calls user_torture
}

unsafe extern "C" {
    static user_start: u8;
    static user_end: u8;
    #[link_name = "torture"]
    static routine: u8;
    static torture_end: u8;
}

/// The program, and on the next page the routine that verifies registers.
pub(super) fn program() -> Program {
    let part = |first: *const u8, last: *const u8| {
        // SAFETY: the two symbols enclose machine code.
        unsafe { core::slice::from_raw_parts(first, last as usize - first as usize) }
    };
    let mut bytes = Vec::from(part(&raw const user_start, &raw const user_end));
    bytes.resize(4096, 0);
    bytes.extend(part(&raw const routine, &raw const torture_end));
    Box::leak(bytes.into_boxed_slice())
}

/// Where in it a task begins that counts its argument down and exits with 7.
pub(super) fn compute() -> u64 {
    user_compute::offset()
}

fn run(program: Program, intent: Intent, entry: u64, argument: u64) -> Result<ExitStatus, alloc::string::String> {
    let id = user::spawn("user", intent, program, entry, argument).map_err(refused)?;
    task::join(id).map_err(refused)
}

/// A word of the kernel's, mapped and writable, which ring 3 may neither read nor write, nor have read or written.
pub(super) static KERNELS: AtomicU64 = AtomicU64::new(42);

/// What ring 3 may do, what it may not, and what it costs.
pub fn user_mode(booted: &Booted) -> Outcome {
    let program = program();
    let kernels = &raw const KERNELS as u64;
    let cases = [
        ("compute", user_compute::offset(), 1_000_000, 7),
        ("pages", user_pages::offset(), 100, 0),
        ("calls", user_calls::offset(), kernels, 0),
        ("privileged", user_privileged::offset(), 0, FAULTED + 13),
        ("kernel", user_kernel::offset(), kernels, FAULTED + 14),
        ("text", user_text::offset(), 0, FAULTED + 14),
        ("stack-code", user_stack_code::offset(), 0, FAULTED + 14),
    ];
    // Stacks stay mapped, and how many there are depends on how many tasks waited for their burial at once: they are counted apart.
    let used = || {
        // First, and on its own: whoever makes a stack holds the pool's lock and takes the frames'.
        let pooled = stacks::frames();
        frames::FRAMES.lock().used() - pooled
    };
    let before = used();
    let come_back = || {
        let back = eventually("all frames come back", || used() == before);
        back.map_err(|why| format!("{why}: {} are in use besides stacks, {before} were", used()))
    };
    for (name, entry, argument, code) in cases {
        let status = run(program, Intent::batch(), entry, argument)?;
        ensure(status == ExitStatus::Exited(code), || format!("{name}: {status:?} instead of {code}"))?;
    }
    let little = Intent::batch().with_memory_limit(64 << 10);
    let status = run(program, little, user_pages::offset(), 17)?;
    ensure(status == ExitStatus::Exited(MEMORY_LIMIT), || format!("17 pages of 16: {status:?}"))?;
    come_back()?;
    registers(booted, program)?;
    times(program)?;
    come_back()
}

/// Registers of ring 3, segment registers too, over preemptions and system calls; two tasks for each CPU.
fn registers(booted: &Booted, program: Program) -> Outcome {
    const PREEMPTIONS: u64 = 20;
    let stop = Arc::new(AtomicBool::new(false));
    let pests = torture::pests(booted.cpus, &stop)?;
    let mut ids = Vec::new();
    for _ in 0..2 * booted.cpus {
        ids.push(user::spawn("user torture", Intent::batch(), program, user_torture::offset(), 300).map_err(refused)?);
    }
    let ended = |&id| sched::scheduler().with_task(id, |task| task.state().has_ended()).unwrap_or(true);
    eventually("all of them end", || ids.iter().all(ended))?;
    let preempted: Vec<u64> =
        ids.iter().filter_map(|&id| task::stats(id).ok()).map(|stats| stats.preemptions).collect();
    stop.store(true, Ordering::Relaxed);
    for id in ids {
        match task::join(id).map_err(refused)? {
            ExitStatus::Exited(0) => {}
            ExitStatus::Exited(2) => return Err("a segment register of ring 3 was wrong".into()),
            other => return Err(format!("a register of ring 3 was wrong: {other:?}")),
        }
    }
    for id in pests {
        ensure(task::join(id) == Ok(ExitStatus::Exited(0)), || "a pest failed".into())?;
    }
    println!("tasks in ring 3 were preempted {preempted:?} times, no register wrong");
    let often = preempted.len() == 2 * booted.cpus && preempted.iter().all(|&count| count >= PREEMPTIONS);
    ensure(often, || format!("too few preemptions to show anything: {preempted:?}"))
}

/// A computing task is in user mode nearly all the time; all of its CPU time is one or the other.
fn times(program: Program) -> Outcome {
    // On one CPU, as a task that is alone on one is not interrupted, and its times are known when it is.
    let here = Intent::batch().with_affinity(CpuMask::single(0));
    let spin = user::spawn("spin", here.clone(), program, user_spin::offset(), 0).map_err(refused)?;
    let rival = task::spawn("rival", here, || {
        loop {
            core::hint::spin_loop();
        }
    });
    let rival = rival.map_err(refused)?;
    let mut seen = TaskStats::default();
    eventually("the task has computed for 50 ms", || {
        seen = task::stats(spin).unwrap_or_default();
        seen.user_time >= 50_000_000
    })?;
    for id in [spin, rival] {
        task::kill(id).map_err(refused)?;
        task::join(id).map_err(refused)?;
    }
    let (user, system, all) = (seen.user_time, seen.system_time, seen.cpu_time);
    println!("user {user} ns, system {system} ns, of {all} ns on CPUs; {} page faults", seen.page_faults);
    // The core reckons with the instants of decisions; what comes after one is the next task's there, and this one's here.
    ensure((user + system).abs_diff(all) < all / 5 && system < user, || "the times do not fit".into())?;
    ensure(seen.page_faults == 0, || "it has touched nothing".into())
}
