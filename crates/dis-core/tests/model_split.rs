//! Split tasks, which go on, on another CPU, when the budget of a piece is used up: against a kill and a change of affinity.
#![cfg(feature = "shuttle")]

mod model;

use dis_core::api::{CpuMask, Duration, SchedError, TaskState};
use dis_core::executor::Leave;
use dis_core::intent::Intent;
use dis_core::scheduler::Config;
use model::{Act, World, check, dawdle, run};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, Ordering::SeqCst};
use shuttle::thread;

/// The task that is split. The others have a CPU each.
const SPLIT: u32 = 0;

/// Two CPUs with one task each that needs 2 of every 3 us, and another one for which neither has room.
fn crowded() -> Arc<World> {
    let mut config = Config::new(2);
    // All of the time is Realtime's.
    (config.limits.realtime, config.limits.system) = (1000, 1);
    config.limits.window = Duration::from_nanos(999);
    let world = World::with_timers(config, 3);
    for task in [1, 2, SPLIT] {
        world.spawn(None, task, Intent::realtime(3, 3, 2));
    }
    assert!(world.x.with_task(world.id(SPLIT), |task| task.is_split()).unwrap());
    world
}

/// The others do little, and end when the split one has.
fn others(world: &World) -> Act {
    let is_there =
        world.x.with_task(world.id(SPLIT), |task| task.state()).is_ok_and(|state| state != TaskState::Zombie);
    Act::Leave(if is_there { Leave::NextPeriod } else { Leave::Exit(0) })
}

/// The split task computes until the budget of the piece is used up, on the CPU of that piece.
fn piece(world: &World, cpu: usize) -> Act {
    let place = world.x.with_task(world.id(SPLIT), |task| task.reserved_on());
    assert!(place.is_err() || place == Ok(None) || place == Ok(Some(cpu)), "{place:?} runs on CPU {cpu}");
    Act::UseUp
}

/// It is killed while it runs, while its registers are still in the CPU of the last piece, on its way, while it waits for its piece to
/// begin. It ends once, is never loaded twice, and nothing is reserved for it afterwards.
fn a_kill_on_the_way() {
    let world = crowded();
    let killer = {
        let world = world.clone();
        thread::spawn(move || {
            dawdle();
            world.kill(SPLIT);
        })
    };
    let host = world.clone();
    run(
        &world,
        2,
        || (),
        move |cpu, number, ()| {
            if number == SPLIT { piece(&host, cpu) } else { others(&host) }
        },
    );
    killer.join().unwrap();
    let stats = world.x.stats();
    assert_eq!((stats.tasks_killed, stats.tasks_exited), (1, 2));
    assert_eq!(world.x.reserved_ppm(), [0, 0]);
}

/// It exits by itself after some pieces, on whichever CPU that is.
fn an_end_on_the_way() {
    let world = crowded();
    let host = world.clone();
    let pieces = Arc::new(shuttle::sync::atomic::AtomicU32::new(0));
    run(
        &world,
        2,
        || (),
        move |cpu, number, ()| match number {
            SPLIT if pieces.fetch_add(1, SeqCst) < 5 => piece(&host, cpu),
            SPLIT => Act::Leave(Leave::Exit(0)),
            _ => others(&host),
        },
    );
    assert_eq!(world.x.reserved_ppm(), [0, 0]);
}

/// As soon as the task of CPU 1 has ended there is room on it, and the split task is told to stay there: after that it runs nowhere else,
/// wherever its pieces were when it was told. What is refused before that changes nothing.
fn a_new_place_on_the_way() {
    let world = crowded();
    let fixed = Arc::new(AtomicBool::new(false));
    let changer = {
        let (world, fixed) = (world.clone(), fixed.clone());
        thread::spawn(move || {
            dawdle();
            loop {
                match world.x.set_affinity(world.now(), world.id(SPLIT), CpuMask::single(1)) {
                    Ok(wake) => break world.obey(wake),
                    Err(error) => assert_eq!(error, SchedError::NoCpu),
                }
                thread::yield_now();
            }
            assert!(!world.x.with_task(world.id(SPLIT), |task| task.is_split()).unwrap());
            fixed.store(true, SeqCst);
        })
    };
    let (host, now, told) = (world.clone(), fixed.clone(), fixed);
    run(
        &world,
        2,
        move || told.load(SeqCst),
        move |cpu, number, &was_fixed| match number {
            SPLIT => {
                assert!(!was_fixed || cpu == 1, "CPU {cpu} runs it after it was given CPU 1");
                if was_fixed && cpu == 1 { Act::Leave(Leave::Exit(0)) } else { Act::UseUp }
            }
            2 if !now.load(SeqCst) => Act::Leave(Leave::Exit(0)),
            _ => others(&host),
        },
    );
    changer.join().unwrap();
    assert_eq!(world.x.reserved_ppm(), [0, 0]);
}

#[test]
fn a_split_task_is_killed_on_its_way() {
    check(1, a_kill_on_the_way);
}

#[test]
fn a_split_task_ends_on_its_way() {
    check(1, an_end_on_the_way);
}

#[test]
fn a_split_task_is_given_a_place_on_its_way() {
    check(1, a_new_place_on_the_way);
}
