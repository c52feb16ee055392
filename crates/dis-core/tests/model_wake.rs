//! Wake-ups against blocks: none is lost, whoever wakes, wherever the task goes.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask, TaskState};
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use model::{Act, NOW, World, check, run};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU32, Ordering::SeqCst};
use shuttle::thread;

const BLOCK: Leave = Leave::Block(BlockReason::Event, None);

/// The consumer looks for signals and blocks if there is none; producers on other CPUs signal and unpark.
fn producers_and_consumer(intent: fn() -> Intent) {
    let world = World::new(2, 3);
    let (signals, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    world.spawn(Some(0), 0, intent());
    world.spawn(Some(1), 1, Intent::batch().with_affinity(CpuMask::single(1)));
    world.spawn(Some(1), 2, Intent::batch());
    let host = world.clone();
    run(
        &world,
        2,
        || (),
        move |_, number, ()| match number {
            0 if seen.load(SeqCst) == 2 => Act::Leave(Leave::Exit(0)),
            0 if signals.load(SeqCst) > seen.load(SeqCst) => {
                seen.fetch_add(1, SeqCst);
                Act::Again
            }
            0 => Act::Leave(BLOCK),
            _ => {
                signals.fetch_add(1, SeqCst);
                host.unpark(0);
                Act::Leave(Leave::Exit(0))
            }
        },
    );
}

#[test]
fn a_wake_up_that_meets_a_block_is_kept() {
    check(1, || producers_and_consumer(|| Intent::batch().with_affinity(CpuMask::single(0))));
}

#[test]
fn a_task_that_migrates_as_it_wakes_loses_no_other_wake_up() {
    check(1, || producers_and_consumer(Intent::batch));
}

/// A task has blocked; its home gets busy; then several wake it at once, and it has to go elsewhere. `and_pin` keeps it
/// at home at the same time.
fn wakers_of_one_whose_home_is_busy(and_pin: bool) {
    let world = World::new(2, 2);
    let (woken, fixed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    world.spawn(Some(0), 1, Intent::batch().with_affinity(CpuMask::single(0)));
    let outside = {
        let (world, woken, fixed) = (world.clone(), woken.clone(), fixed.clone());
        thread::spawn(move || {
            while world.x.with_task(world.id(1), |task| task.state()) != Ok(TaskState::Blocked) {
                thread::yield_now();
            }
            let wake = world.x.set_affinity(NOW, world.id(1), CpuMask::ALL).unwrap();
            world.obey(wake);
            world.spawn(Some(0), 0, Intent::interactive(1_000).with_affinity(CpuMask::single(0)));
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (world, woken) = (world.clone(), woken.clone());
                    thread::spawn(move || {
                        world.unpark(1);
                        woken.fetch_add(1, SeqCst);
                        world.unpark(1);
                    })
                })
                .collect();
            if and_pin {
                let wake = world.x.set_affinity(NOW, world.id(1), CpuMask::single(0)).unwrap();
                world.obey(wake);
                fixed.store(1, SeqCst);
            }
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
        })
    };
    let (told, now) = (fixed.clone(), woken.clone());
    let before = move || told.load(SeqCst);
    run(&world, 2, before, move |cpu, number, &was_fixed| {
        assert!(number == 0 || was_fixed == 0 || cpu == 0, "it began on CPU {cpu} after it was pinned to 0");
        match (number, now.load(SeqCst)) {
            (_, 2) => Act::Leave(Leave::Exit(0)),
            (0, _) => Act::Leave(Leave::Yield),
            _ => Act::Leave(BLOCK),
        }
    });
    outside.join().unwrap();
}

#[test]
fn two_wakers_and_a_move() {
    check(1, || wakers_of_one_whose_home_is_busy(false));
}

#[test]
fn two_wakers_and_a_move_that_is_forbidden_meanwhile() {
    check(1, || wakers_of_one_whose_home_is_busy(true));
}

/// A wake-up against a change of affinity: the task ends up where it may be.
#[test]
fn a_wake_up_against_a_change_of_affinity() {
    check(1, || {
        let world = World::new(3, 2);
        let pinned = Arc::new(AtomicU32::new(0));
        // Its home is busy, so waking it up means to move it.
        world.spawn(Some(0), 0, Intent::interactive(1_000).with_affinity(CpuMask::single(0)));
        world.spawn(Some(0), 1, Intent::batch());
        let changer = {
            let (world, pinned) = (world.clone(), pinned.clone());
            thread::spawn(move || {
                model::dawdle();
                let wake = world.x.set_affinity(NOW, world.id(1), CpuMask::single(2)).unwrap();
                world.obey(wake);
                pinned.store(1, SeqCst);
            })
        };
        let waker = {
            let world = world.clone();
            thread::spawn(move || {
                model::dawdle();
                (0..2).for_each(|_| world.unpark(1));
            })
        };
        let (told, host) = (pinned.clone(), world.clone());
        let before = move || told.load(SeqCst);
        run(&world, 3, before, move |cpu, number, &was_pinned| match number {
            0 if pinned.load(SeqCst) == 0 => Act::Leave(Leave::Yield),
            0 => {
                host.unpark(1);
                Act::Leave(Leave::Exit(0))
            }
            _ => {
                assert!(was_pinned == 0 || cpu == 2, "it began on CPU {cpu} after it was pinned to 2");
                if cpu == 2 && pinned.load(SeqCst) == 1 { Act::Leave(Leave::Exit(0)) } else { Act::Leave(BLOCK) }
            }
        });
        changer.join().unwrap();
        waker.join().unwrap();
    });
}

/// A task waits for the end of another one, which unparks it as it ends.
#[test]
fn an_end_against_the_wait_for_it() {
    check(1, || {
        let world = World::new(2, 2);
        let done = Arc::new(AtomicU32::new(0));
        world.spawn(Some(0), 0, Intent::batch());
        world.spawn(Some(1), 1, Intent::batch());
        run(
            &world,
            2,
            || (),
            move |_, number, ()| match number {
                0 if done.load(SeqCst) == 0 => Act::Leave(Leave::Block(BlockReason::ChildExit, None)),
                0 => Act::Leave(Leave::Exit(0)),
                _ => {
                    done.store(1, SeqCst);
                    Act::ExitAndUnpark(0)
                }
            },
        );
        assert_eq!(world.x.stats().tasks_exited, 2);
    });
}
