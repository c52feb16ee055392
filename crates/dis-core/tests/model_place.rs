//! Places: no ready task is stranded while a CPU idles, and none runs where it may not.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::CpuMask;
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use model::{Act, NOW, World, check, run};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU32, Ordering::SeqCst};
use shuttle::thread;

fn pinned(cpu: usize) -> Intent {
    Intent::batch().with_affinity(CpuMask::single(cpu))
}

/// CPU 1 goes idle while a task is spawned; CPU 0 computes for ever unless the new task is run by the other.
#[test]
fn a_cpu_goes_idle_while_a_task_is_spawned() {
    check(1, || {
        let world = World::new(2, 3);
        let ran = Arc::new(AtomicU32::new(0));
        world.spawn(Some(0), 0, pinned(0));
        world.spawn(Some(1), 1, pinned(1));
        let spawner = {
            let world = world.clone();
            thread::spawn(move || {
                model::dawdle();
                world.spawn(Some(0), 2, Intent::batch());
            })
        };
        let host = world.clone();
        run(
            &world,
            2,
            || (),
            move |_, number, ()| match number {
                0 if ran.load(SeqCst) == 0 => Act::Compute,
                2 => {
                    ran.store(1, SeqCst);
                    host.ring(0);
                    Act::Leave(Leave::Exit(0))
                }
                _ => Act::Leave(Leave::Exit(0)),
            },
        );
        spawner.join().unwrap();
    });
}

/// The same with a task that wakes up.
#[test]
fn a_cpu_goes_idle_while_a_task_wakes_up() {
    check(1, || {
        let world = World::new(2, 3);
        let (step, ran) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        world.spawn(Some(0), 0, pinned(0));
        world.spawn(Some(1), 1, pinned(1));
        world.spawn(Some(0), 2, Intent::batch());
        let waker = {
            let world = world.clone();
            thread::spawn(move || {
                model::dawdle();
                world.unpark(2);
            })
        };
        let host = world.clone();
        run(
            &world,
            2,
            || (),
            move |_, number, ()| match number {
                0 if ran.load(SeqCst) == 0 => Act::Compute,
                2 if step.fetch_add(1, SeqCst) == 0 => Act::Leave(Leave::Block(dis_core::api::BlockReason::Io, None)),
                2 => {
                    ran.store(1, SeqCst);
                    host.ring(0);
                    Act::Leave(Leave::Exit(0))
                }
                _ => Act::Leave(Leave::Exit(0)),
            },
        );
        waker.join().unwrap();
    });
}

/// A task is preempted by one that computes until the first has run: it must be taken over once it is saved.
#[test]
fn a_preempted_task_is_taken_over_once_it_is_saved() {
    check(4, || {
        let world = World::new(2, 3);
        let ran = Arc::new(AtomicU32::new(0));
        world.spawn(Some(0), 0, Intent::batch());
        world.spawn(Some(1), 1, pinned(1));
        let spawner = {
            let world = world.clone();
            thread::spawn(move || {
                model::dawdle();
                world.spawn(Some(0), 2, Intent::interactive(1_000).with_affinity(CpuMask::single(0)));
            })
        };
        let host = world.clone();
        run(
            &world,
            2,
            || (),
            move |_, number, ()| match number {
                0 => {
                    ran.store(1, SeqCst);
                    host.ring(0);
                    Act::Leave(Leave::Exit(0))
                }
                2 if ran.load(SeqCst) == 0 => Act::Compute,
                _ => Act::Leave(Leave::Exit(0)),
            },
        );
        spawner.join().unwrap();
    });
}

/// Idle CPUs steal while the affinity changes: after the change has returned, no decision puts the task elsewhere.
#[test]
fn a_steal_against_a_change_of_affinity() {
    check(1, || {
        let world = World::new(3, 2);
        let fixed = Arc::new(AtomicU32::new(0));
        world.spawn(Some(0), 0, pinned(0));
        world.spawn(Some(0), 1, Intent::batch());
        let changer = {
            let (world, fixed) = (world.clone(), fixed.clone());
            thread::spawn(move || {
                model::dawdle();
                for cpu in [2, 1] {
                    let wake = world.x.set_affinity(NOW, world.id(1), CpuMask::single(cpu)).unwrap();
                    world.obey(wake);
                }
                fixed.store(1, SeqCst);
            })
        };
        let (told, now) = (fixed.clone(), fixed.clone());
        let before = move || told.load(SeqCst);
        run(&world, 3, before, move |cpu, number, &was_fixed| match number {
            0 if now.load(SeqCst) == 1 => Act::Leave(Leave::Exit(0)),
            0 => Act::Leave(Leave::Yield),
            _ => {
                assert!(was_fixed == 0 || cpu == 1, "CPU {cpu} runs it after it was restricted to 1");
                let there = cpu == 1 && now.load(SeqCst) == 1;
                Act::Leave(if there { Leave::Exit(0) } else { Leave::Yield })
            }
        });
        changer.join().unwrap();
        assert_eq!(world.x.stats().tasks_exited, 2);
    });
}
