//! CPUs that go offline and come back, against wake-ups, blocks, spawns, steals and changes of affinity.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask};
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use model::{Act, NOW, World, check, dawdle, run};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicU32, Ordering::SeqCst};
use shuttle::thread;

const BLOCK: Leave = Leave::Block(BlockReason::Event, None);

fn offline(world: &World, cpu: usize) {
    let answer = world.x.set_offline(cpu, NOW).unwrap();
    answer.interrupts.iter().for_each(|cpu| world.ring(cpu));
}

fn online(world: &World, cpu: usize) {
    let answer = world.x.set_online(cpu, NOW).unwrap();
    answer.interrupts.iter().for_each(|cpu| world.ring(cpu));
}

/// Two tasks, one of which may be bound to the CPU that goes: whatever they do meanwhile, nobody is chosen there afterwards, and
/// both get to their ends.
fn a_cpu_goes(mask: CpuMask, how: Leave) {
    let world = World::new(2, 2);
    let gone = Arc::new(AtomicU32::new(0));
    world.spawn(Some(0), 0, Intent::interactive(1_000));
    world.spawn(Some(0), 1, Intent::batch().with_affinity(mask));
    let goes = {
        let (world, gone) = (world.clone(), gone.clone());
        thread::spawn(move || {
            dawdle();
            offline(&world, 1);
            gone.store(1, SeqCst);
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
    let (told, now) = (gone.clone(), gone.clone());
    run(
        &world,
        2,
        move || told.load(SeqCst),
        move |cpu, number, &was_gone| {
            assert!(was_gone == 0 || cpu == 0, "CPU {cpu} is offline and runs {number}");
            Act::Leave(match number {
                _ if now.load(SeqCst) == 1 && cpu == 0 => Leave::Exit(0),
                0 => Leave::Yield,
                _ => how,
            })
        },
    );
    goes.join().unwrap();
    waker.join().unwrap();
    assert!(world.x.is_vacant(1));
}

#[test]
fn a_cpu_goes_while_a_task_blocks_and_wakes() {
    check(1, || a_cpu_goes(CpuMask::ALL, BLOCK));
    check(1, || a_cpu_goes(CpuMask::single(1), BLOCK));
}

#[test]
fn a_cpu_goes_while_a_task_yields() {
    check(1, || a_cpu_goes(CpuMask::ALL, Leave::Yield));
    check(1, || a_cpu_goes(CpuMask::single(1), Leave::Yield));
}

/// It comes back at once, and a task is bound to it and set free again meanwhile.
#[test]
fn a_cpu_goes_and_comes() {
    check(1, || {
        let world = World::new(2, 2);
        let over = Arc::new(AtomicU32::new(0));
        world.spawn(Some(0), 0, Intent::batch());
        world.spawn(Some(0), 1, Intent::batch().with_affinity(CpuMask::single(1)));
        let goes = {
            let (world, over) = (world.clone(), over.clone());
            thread::spawn(move || {
                dawdle();
                offline(&world, 1);
                online(&world, 1);
                over.fetch_add(1, SeqCst);
                world.unpark(0);
                world.unpark(1);
            })
        };
        let changer = {
            let (world, over) = (world.clone(), over.clone());
            thread::spawn(move || {
                dawdle();
                // Refused while the CPU is offline.
                for mask in [CpuMask::single(1), CpuMask::ALL] {
                    if let Ok(wake) = world.x.set_affinity(NOW, world.id(0), mask) {
                        world.obey(wake);
                    }
                }
                over.fetch_add(1, SeqCst);
                world.unpark(0);
                world.unpark(1);
            })
        };
        run(&world, 2, || (), move |_, _, ()| Act::Leave(if over.load(SeqCst) == 2 { Leave::Exit(0) } else { BLOCK }));
        goes.join().unwrap();
        changer.join().unwrap();
    });
}

/// A child is spawned while its CPU goes, and idle CPUs look for work.
#[test]
fn a_child_is_spawned_while_its_cpu_goes() {
    check(1, || {
        let world = World::new(2, 2);
        world.spawn(None, 0, Intent::batch().with_affinity(CpuMask::single(1)));
        let goes = {
            let world = world.clone();
            thread::spawn(move || {
                dawdle();
                offline(&world, 1);
            })
        };
        let (spawner, spawned) = (world.clone(), Arc::new(AtomicU32::new(0)));
        run(
            &world,
            2,
            || (),
            move |cpu, number, ()| {
                if number == 0 && spawned.swap(1, SeqCst) == 0 {
                    spawner.spawn(Some(cpu), 1, Intent::batch());
                }
                Act::Leave(Leave::Exit(0))
            },
        );
        goes.join().unwrap();
    });
}
