//! Moves: a change of affinity against blocks, wake-ups, the saving of registers, spawns, and itself.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask, TaskId, TaskSpec, TaskState};
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use model::{Act, NOW, World, check, dawdle, run};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU32, Ordering::SeqCst};
use shuttle::thread;

const BLOCK: Leave = Leave::Block(BlockReason::Event, None);

/// A task blocks again and again, is woken again and again, and is sent to and fro; the world checks that it is never
/// loaded twice, and that it gets to its end.
fn to_and_fro(masks: &'static [CpuMask], wakes: u32) {
    let world = World::new(2, 1);
    let over = Arc::new(AtomicU32::new(0));
    world.spawn(Some(0), 0, Intent::batch());
    let changer = {
        let (world, over) = (world.clone(), over.clone());
        thread::spawn(move || {
            for mask in masks {
                dawdle();
                if let Ok(wake) = world.x.set_affinity(NOW, world.id(0), *mask) {
                    world.obey(wake);
                }
            }
            over.fetch_add(1, SeqCst);
            world.unpark(0);
        })
    };
    let waker = {
        let (world, over) = (world.clone(), over.clone());
        thread::spawn(move || {
            for _ in 0..wakes {
                world.unpark(0);
            }
            over.fetch_add(1, SeqCst);
            world.unpark(0);
        })
    };
    run(&world, 2, || (), move |_, _, ()| Act::Leave(if over.load(SeqCst) == 2 { Leave::Exit(0) } else { BLOCK }));
    changer.join().unwrap();
    waker.join().unwrap();
}

const LEFT: CpuMask = CpuMask::single(0);
const RIGHT: CpuMask = CpuMask::single(1);

#[test]
fn a_task_is_sent_away_while_it_blocks() {
    check(2, || to_and_fro(&[RIGHT], 1));
    check(2, || to_and_fro(&[LEFT], 1));
}

#[test]
fn a_task_is_sent_to_and_fro_while_it_blocks_and_wakes() {
    check(2, || to_and_fro(&[RIGHT, LEFT, RIGHT], 4));
}

/// What was decided before the last change of affinity has no effect after it.
fn the_last_mask_counts(masks: &'static [usize], last: usize, woken: bool) {
    let world = World::new(2, 2);
    let fixed = Arc::new(AtomicU32::new(0));
    world.spawn(Some(0), 0, Intent::interactive(1_000).with_affinity(LEFT));
    world.spawn(Some(0), 1, Intent::batch());
    let changer = {
        let (world, fixed) = (world.clone(), fixed.clone());
        thread::spawn(move || {
            dawdle();
            for &cpu in masks.iter().chain([&last]) {
                let wake = world.x.set_affinity(NOW, world.id(1), CpuMask::single(cpu)).unwrap();
                world.obey(wake);
            }
            fixed.store(1, SeqCst);
            world.unpark(1);
        })
    };
    let waker = {
        let world = world.clone();
        thread::spawn(move || {
            dawdle();
            world.unpark(1);
        })
    };
    let (told, now) = (fixed.clone(), fixed.clone());
    let before = move || told.load(SeqCst);
    run(&world, 2, before, move |cpu, number, &was_fixed| match number {
        0 if now.load(SeqCst) == 1 => Act::Leave(Leave::Exit(0)),
        0 => Act::Leave(Leave::Yield),
        _ => {
            assert!(was_fixed == 0 || cpu == last, "CPU {cpu} runs it after it was restricted to {last}");
            let ends = cpu == last && now.load(SeqCst) == 1;
            Act::Leave(match (ends, woken) {
                (true, _) => Leave::Exit(0),
                (false, true) => BLOCK,
                (false, false) => Leave::Yield,
            })
        }
    });
    changer.join().unwrap();
    waker.join().unwrap();
}

#[test]
fn a_wake_up_does_not_undo_a_change_of_affinity() {
    check(2, || the_last_mask_counts(&[], 0, true));
    check(1, || the_last_mask_counts(&[], 1, true));
}

#[test]
fn a_move_under_way_does_not_undo_a_change_of_affinity() {
    check(2, || the_last_mask_counts(&[1], 0, false));
    check(1, || the_last_mask_counts(&[0], 1, false));
}

/// A task moves away, and another takes its place in the table: calls about the first do not reach the second.
#[test]
fn a_call_does_not_reach_whoever_came_after() {
    check(1, || {
        let world = World::new(2, 0);
        let spawn = |cpu| {
            let spec = TaskSpec::new("", Intent::batch().with_affinity(CpuMask::single(cpu)), 0).joinable();
            move |world: &World| world.x.spawn(NOW, None, spec).unwrap().0
        };
        let first: TaskId = spawn(0)(&world);
        let mover = {
            let world = world.clone();
            thread::spawn(move || {
                let _ = world.x.set_affinity(NOW, first, RIGHT);
                spawn(0)(&world)
            })
        };
        let killer = {
            let world = world.clone();
            thread::spawn(move || {
                let _ = world.x.kill(NOW, first).unwrap();
                let _ = world.x.unpark(NOW, first);
            })
        };
        let second = mover.join().unwrap();
        killer.join().unwrap();
        assert_eq!(world.x.with_task(first, |t| t.state()), Ok(TaskState::Zombie));
        assert_eq!(world.x.with_task(second, |t| t.state()), Ok(TaskState::Ready));
    });
}
