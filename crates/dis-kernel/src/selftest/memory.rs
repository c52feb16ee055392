//! Whether what tasks had comes back.

use alloc::format;
use alloc::vec::Vec;

use dis_core::api::{BlockReason, ExitStatus, TaskState};
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
    // What grows once (queues, page tables) has grown then.
    spawn_and_join(500)?;
    let used = || (heap::used(), frames::FRAMES.lock().used(), stacks::count());
    let before = used();
    spawn_and_join(10_000)?;
    // The last may not have been buried yet when its status is there.
    let same = || used().0 == before.0 && used().2.0 == before.2.0;
    eventually("the heap is as before", same).map_err(|why| format!("{why}: before {before:?}, after {:?}", used()))?;
    ensure(used().1 == before.1, || format!("frames: before {before:?}, after {:?}", used()))?;
    println!("10,000 tasks: heap {:?}, frames {}, stacks {:?} as before", before.0, before.1, before.2);
    Ok(())
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
