//! What happens when the machine misbehaves: timers that do not come, interrupts that nobody asked for, a CPU that stops.

use alloc::format;
use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::{CpuMask, Duration, ExitStatus, TaskId};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::arch::{apic, idt, irq};
use crate::boot::Booted;
use crate::percpu::{self, PerCpu};
use crate::{println, smp, task};

fn cpu(number: usize) -> Result<&'static PerCpu, alloc::string::String> {
    percpu::get(number).ok_or_else(|| format!("there is no CPU {number}"))
}

fn spin() -> i32 {
    loop {
        core::hint::spin_loop();
    }
}

fn end(ids: &[TaskId]) -> Outcome {
    for &id in ids {
        task::kill(id).map_err(refused)?;
        ensure(task::join(id) == Ok(ExitStatus::Killed), || "a task did not end".into())?;
    }
    Ok(())
}

/// All three, on two CPUs at least.
pub fn injection(booted: &Booted) -> Outcome {
    ensure(booted.cpus >= 2, || "this test needs two CPUs".into())?;
    smp::watch(Duration::from_millis(50));
    lost_timer()?;
    spurious()?;
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

/// A CPU stops for good, in the middle of a task. The others notice, say so, and work on.
fn stopped(which: usize) -> Outcome {
    let there = Intent::batch().with_affinity(CpuMask::single(which));
    let stop = || {
        irq::push();
        loop {
            x86_64::instructions::hlt();
        }
    };
    task::spawn("stops its CPU", there, stop).map_err(refused)?;
    let target = cpu(which)?;
    eventually("the silence is reported", || target.silent.load(Ordering::Relaxed) != 0)?;
    let elsewhere: CpuMask = (0..which).collect();
    for number in 0..100 {
        let intent = Intent::batch().with_affinity(elsewhere);
        let id = task::spawn("goes on", intent, move || number).map_err(refused)?;
        ensure(task::join(id) == Ok(ExitStatus::Exited(number)), || format!("task {number} did not end"))?;
    }
    Ok(())
}
