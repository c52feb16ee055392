//! Whether what tasks had comes back.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use dis_core::api::{BlockReason, Duration, ExitStatus, TaskSpec, TaskState};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused, user};
use crate::boot::Booted;
use crate::context::Work;
use crate::fault::FAULTED;
use crate::memory::{frames, heap, stacks};
use crate::user::Program;
use crate::{println, sched, task};

/// How a task of the leak test ends.
fn spawn_and_join(program: Program, number: usize) -> Outcome {
    let exits = ExitStatus::Exited;
    let (id, expected) = match number % 100 {
        0 => {
            let fault: Work = Box::new(|| {
                // SAFETY: wrong on purpose: the kernel is to end the task.
                unsafe { core::arch::asm!("ud2", options(noreturn)) }
            });
            (task::spawn_with(TaskSpec::new("faults", Intent::batch(), ()).joinable(), fault), exits(FAULTED + 6))
        }
        place if place % 10 == 1 => {
            let wait = || {
                task::block(BlockReason::Event, None);
                0
            };
            let id = task::spawn("killed", Intent::batch(), wait).map_err(refused)?;
            // Sometimes it has begun by then.
            if place % 20 == 1 {
                task::yield_now();
            }
            task::kill(id).map_err(refused)?;
            (Ok(id), ExitStatus::Killed)
        }
        place if place % 10 == 2 => {
            (crate::user::spawn("user", Intent::batch(), program, user::compute(), 10), exits(7))
        }
        _ => (task::spawn("short", Intent::batch(), move || number as i32), exits(number as i32)),
    };
    let status = task::join(id.map_err(refused)?).map_err(refused)?;
    ensure(status == expected, || format!("task {number}: {status:?} instead of {expected:?}"))
}

/// 10,000 tasks, one after the other, leave nothing behind: 100 fault, 1,000 are killed, 1,000 run in ring 3.
pub fn leak(_: &Booted) -> Outcome {
    let used = || (heap::used(), frames::FRAMES.lock().used(), stacks::count().0);
    let program = user::program();
    let mut seen = Vec::new();
    // What grows once (queues, page tables) grows when a CPU has its first task, and its first two: whoever leaks grows each time.
    for _ in 0..4 {
        (0..10_000).try_for_each(|number| spawn_and_join(program, number))?;
        // The last may not have been buried yet when its status is there.
        task::sleep(Duration::from_millis(100));
        let (before, after) = (seen.last().copied(), used());
        if before == Some(after) {
            println!("10,000 tasks: heap {:?}, frames {}, stacks {} as before", after.0, after.1, after.2);
            return Ok(());
        }
        seen.push(after);
    }
    Err(format!("memory in use after each 10,000 tasks (heap, frames, stacks): {seen:?}"))
}

/// 10,000 tasks at the same time.
pub fn many(_: &Booted) -> Outcome {
    let mut ids = Vec::new();
    for number in 0..10_000 {
        let wait = move || {
            task::block(BlockReason::Event, None);
            number
        };
        ids.push(task::spawn("one of many", Intent::batch(), wait).map_err(refused)?);
    }
    let waits = |&id| sched::scheduler().with_task(id, |task| task.state()) == Ok(TaskState::Blocked);
    eventually("all of them wait", || ids.iter().all(waits))?;
    println!(
        "{} stacks, {} KiB of frames, {:?} of heap",
        stacks::count().0,
        frames::FRAMES.lock().used() * 4,
        heap::used()
    );
    for &id in &ids {
        task::unpark(id).map_err(refused)?;
    }
    for (number, id) in ids.into_iter().enumerate() {
        let status = task::join(id).map_err(refused)?;
        ensure(status == ExitStatus::Exited(number as i32), || format!("task {number}: {status:?}"))?;
    }
    Ok(())
}
