//! What happens when the machine misbehaves: timers that do not come, interrupts that nobody asked for, a CPU that stops.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{CpuMask, Duration, ExitStatus, TaskId, TaskState};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::arch::{apic, idt, irq};
use crate::boot::Booted;
use crate::percpu::{self, PerCpu};
use crate::{println, sched, task, watch};

fn cpu(number: usize) -> Result<&'static PerCpu, String> {
    percpu::get(number).ok_or_else(|| format!("there is no CPU {number}"))
}

/// A pause costs an emulator much, and none would keep it from the other CPUs.
fn compute() {
    (0..1_000).for_each(|turn| _ = core::hint::black_box(turn));
    core::hint::spin_loop();
}

fn spin() -> i32 {
    loop {
        compute();
    }
}

fn end(ids: &[TaskId]) -> Outcome {
    for &id in ids {
        task::kill(id).map_err(refused)?;
        ensure(task::join(id) == Ok(ExitStatus::Killed), || "a task did not end".into())?;
    }
    Ok(())
}

/// All of them, on two CPUs at least.
pub fn injection(booted: &Booted) -> Outcome {
    ensure(booted.cpus >= 2, || "this test needs two CPUs".into())?;
    watch::watch(Duration::from_millis(50));
    lost_timer()?;
    spurious()?;
    pauses(booted.cpus - 1)?;
    stopped(booted.cpus - 1)
}

/// Behind the scheduler's back a task stops the timer of CPU 1, on which another waits for its slice.
fn lost_timer() -> Outcome {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let there = Intent::batch().with_affinity(CpuMask::single(1));
    let waits = task::spawn("waits", there.clone(), || {
        loop {
            TURNS.fetch_add(1, Ordering::Relaxed);
        }
    });
    let waits = waits.map_err(refused)?;
    let lost = || cpu(1).map_or(0, |cpu| cpu.counts.lost_timers.load(Ordering::Relaxed));
    let before = lost();
    let saboteur = task::spawn("saboteur", there, || {
        {
            let _off = irq::Off::new();
            apic::disarm();
        }
        spin()
    });
    let saboteur = saboteur.map_err(refused)?;
    eventually("the lost timer is noticed", || lost() > before)?;
    let turns = TURNS.load(Ordering::Relaxed);
    eventually("whoever waited gets on", || TURNS.load(Ordering::Relaxed) > turns)?;
    end(&[waits, saboteur])
}

/// Interrupts of every kind, many of them, to a CPU that computes.
fn spurious() -> Outcome {
    let there = Intent::batch().with_affinity(CpuMask::single(1));
    let ids = [0, 1].map(|_| task::spawn("computes", there.clone(), spin));
    let ids = [ids[0].map_err(refused)?, ids[1].map_err(refused)?];
    let target = cpu(1)?;
    let before = target.counts.spurious.load(Ordering::Relaxed);
    for round in 0..200 {
        let off = irq::Off::new();
        for vector in [idt::UNEXPECTED, 0x31, 0xef, idt::TIMER, idt::RESCHEDULE] {
            apic::interrupt(target.apic_id, vector);
        }
        drop(off);
        if round % 10 == 0 {
            task::sleep(Duration::from_micros(200));
        }
    }
    eventually("they are counted", || target.counts.spurious.load(Ordering::Relaxed) > before + 3)?;
    let used = ids.map(|id| task::stats(id).map_or(0, |stats| stats.cpu_time));
    eventually("both tasks there get on", || {
        ids.iter().zip(used).all(|(&id, used)| task::stats(id).is_ok_and(|stats| stats.cpu_time > used))
    })?;
    println!("{} interrupts that nobody asked for", target.counts.spurious.load(Ordering::Relaxed) - before);
    end(&ids)
}

fn is_silent(cpu: &PerCpu) -> bool {
    cpu.attention.load(Ordering::SeqCst) & watch::SILENT != 0
}

/// Tasks that are bound to a CPU: one that counts its turns, and one that keeps the CPU from answering until `end`.
fn keep_silent(which: usize, turns: &'static AtomicU64, end: fn() -> bool) -> Result<[TaskId; 2], String> {
    let there = Intent::batch().with_affinity(CpuMask::single(which));
    let bound = task::spawn("bound", there.clone(), || {
        loop {
            turns.fetch_add(1, Ordering::Relaxed);
        }
    });
    let bound = bound.map_err(refused)?;
    eventually("the task that is bound to it runs", || turns.load(Ordering::Relaxed) > 0)?;
    let silencer = task::spawn("stops its CPU", there, move || {
        let _off = irq::Off::new();
        while !end() {
            compute();
        }
        0
    });
    Ok([bound, silencer.map_err(refused)?])
}

fn goes_on(turns: &AtomicU64) -> Outcome {
    let before = turns.load(Ordering::Relaxed);
    eventually("the task that was bound to it goes on", || turns.load(Ordering::Relaxed) > before)
}

/// A CPU does not answer for a while: it is taken offline, and is online again when it answers.
fn pauses(which: usize) -> Outcome {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    let [bound, silencer] = keep_silent(which, &TURNS, || GO_ON.load(Ordering::Relaxed))?;
    let target = cpu(which)?;
    let online = || sched::scheduler().is_online(which);
    eventually("the CPU goes offline", || is_silent(target) && !online())?;
    goes_on(&TURNS)?;
    GO_ON.store(true, Ordering::Relaxed);
    eventually("the CPU is online again", || !is_silent(target) && online())?;
    ensure(task::join(silencer) == Ok(ExitStatus::Exited(0)), || "the task that kept it silent did not end".into())?;
    let home = || sched::scheduler().cpu_of(bound) == Ok(which);
    eventually("the task that is bound to it is back", home)?;
    goes_on(&TURNS)?;
    end(&[bound])
}

/// A CPU stops for good, in the middle of a task. The others notice, say so, take over what it had, and work on.
fn stopped(which: usize) -> Outcome {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let [bound, lost] = keep_silent(which, &TURNS, || {
        x86_64::instructions::hlt();
        false
    })?;
    eventually("the CPU goes offline", || !sched::scheduler().is_online(which))?;
    goes_on(&TURNS)?;
    for number in 0..100 {
        let id = task::spawn("goes on", Intent::batch(), move || number).map_err(refused)?;
        ensure(task::join(id) == Ok(ExitStatus::Exited(number)), || format!("task {number} did not end"))?;
    }
    end(&[bound])?;
    // Its registers are in the CPU that has stopped: nobody else may run it, even if asked to.
    task::set_affinity(lost, CpuMask::single(0)).map_err(refused)?;
    task::sleep(Duration::from_millis(20));
    let place = sched::scheduler().with_task(lost, |task| task.state()).map_err(refused)?;
    let there = sched::scheduler().cpu_of(lost) == Ok(which) && place == TaskState::Running;
    ensure(there, || format!("the task that the CPU ran is {place:?} elsewhere"))
}
