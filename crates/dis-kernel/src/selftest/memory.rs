//! Whether what tasks had comes back.

use alloc::format;
use alloc::vec::Vec;

use dis_core::api::{BlockReason, Duration, ExitStatus, TaskState};
use dis_core::intent::Intent;

use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::memory::{frames, heap, stacks};
use crate::{println, sched, task};

fn spawn_and_join(count: usize) -> Outcome {
    for number in 0..count {
        let id = task::spawn("short", Intent::batch(), move || number as i32).map_err(refused)?;
        let status = task::join(id).map_err(refused)?;
        ensure(status == ExitStatus::Exited(number as i32), || format!("task {number}: {status:?}"))?;
    }
    Ok(())
}

/// 10,000 tasks, one after the other, leave nothing behind.
pub fn leak(_: &Booted) -> Outcome {
    let used = || (heap::used(), frames::FRAMES.lock().used(), stacks::count().0);
    let mut seen = Vec::new();
    // What grows once (queues, page tables) grows when a CPU has its first task, and its first two: whoever leaks grows each time.
    for _ in 0..4 {
        spawn_and_join(10_000)?;
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
