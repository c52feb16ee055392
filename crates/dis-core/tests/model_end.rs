//! Ends: a kill against a switch, an exit against a join.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{BlockReason, CpuMask, ExitStatus};
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use model::{Act, World, check, run};
use shuttle::thread;

fn kill_while(leave: Leave, movable: bool) {
    let world = World::new(2, 2);
    let mask = if movable { CpuMask::ALL } else { CpuMask::single(0) };
    world.spawn(Some(0), 0, Intent::batch().with_affinity(mask));
    world.spawn(Some(0), 1, Intent::batch().with_affinity(CpuMask::single(0)));
    let killer = {
        let world = world.clone();
        thread::spawn(move || {
            model::dawdle();
            world.unpark(0);
            world.kill(0);
        })
    };
    let host = world.clone();
    run(
        &world,
        2,
        || (),
        move |_, number, ()| {
            if number == 0 {
                return Act::Leave(leave);
            }
            // Ends when the other has.
            if host.x.with_task(host.id(0), |_| ()).is_err() {
                Act::Leave(Leave::Exit(0))
            } else {
                Act::Leave(Leave::Yield)
            }
        },
    );
    killer.join().unwrap();
    let stats = world.x.stats();
    assert_eq!((stats.tasks_killed, stats.tasks_exited), (1, 1));
}

#[test]
fn a_task_is_killed_while_it_yields() {
    check(1, || kill_while(Leave::Yield, false));
}

#[test]
fn a_task_is_killed_while_it_blocks() {
    check(1, || kill_while(Leave::Block(BlockReason::Io, None), false));
}

#[test]
fn a_task_is_killed_while_it_moves() {
    check(1, || kill_while(Leave::Yield, true));
}

#[test]
fn an_exit_meets_a_join() {
    check(1, || {
        let world = World::new(2, 2);
        world.spawn(Some(0), 0, Intent::batch().with_affinity(CpuMask::single(0)));
        world.spawn(Some(1), 1, Intent::batch().with_affinity(CpuMask::single(1)));
        let host = world.clone();
        run(
            &world,
            2,
            || (),
            move |_, number, ()| match number {
                0 => Act::Leave(Leave::Exit(5)),
                _ => match host.x.join(host.id(0), host.id(1)).unwrap() {
                    Some(status) => {
                        assert_eq!(status, ExitStatus::Exited(5));
                        Act::Leave(Leave::Exit(0))
                    }
                    None => Act::Leave(Leave::Block(BlockReason::ChildExit, None)),
                },
            },
        );
    });
}
