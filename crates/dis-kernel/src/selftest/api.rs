//! Every call of the task API, on this machine.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId, TaskState};
use dis_core::intent::{Intent, IoPriority};

use super::user::{compute, program};
use super::{Outcome, ensure, eventually, refused};
use crate::boot::Booted;
use crate::{clock, println, sched, task, user};

fn state(id: TaskId) -> Option<TaskState> {
    sched::scheduler().with_task(id, |task| task.state()).ok()
}

fn ends(id: TaskId, expected: ExitStatus) -> Outcome {
    let status = task::join(id).map_err(refused)?;
    ensure(status == expected, || format!("{status:?} instead of {expected:?}"))?;
    ensure(task::join(id) == Err(SchedError::TaskNotFound), || "a status was collected twice".into())
}

/// All of them, with one task each.
pub fn api(booted: &Booted) -> Outcome {
    block_and_wake()?;
    sleep_and_times()?;
    kill_in_each_state()?;
    yields_and_priorities()?;
    what_cannot_be_enforced()?;
    if booted.cpus > 1 {
        elsewhere(booted.cpus)?;
    }
    Ok(())
}

fn block_and_wake() -> Outcome {
    use BlockReason::*;
    for reason in [Io, Mutex, Semaphore, Event, ChildExit, Ipc] {
        let block = move || {
            task::block(reason, None);
            5
        };
        let id = task::spawn("waits", Intent::batch(), block).map_err(refused)?;
        let blocked = || sched::scheduler().with_task(id, |task| task.block_reason()) == Ok(Some(reason));
        eventually("the task blocks for its reason", blocked)?;
        task::wake(id).map_err(refused)?;
        ends(id, ExitStatus::Exited(5))?;
    }
    // A wake-up that comes first is not lost; a strict one is refused.
    let id = task::spawn("early", Intent::batch(), || {
        let me = task::current();
        assert_eq!(task::wake(me), Err(SchedError::InvalidState));
        task::unpark(me).unwrap();
        task::block(BlockReason::Event, None);
        // A time-out instead of a wake-up.
        task::block(BlockReason::Event, Some(clock::now() + Duration::from_millis(1)));
        3
    });
    ends(id.map_err(refused)?, ExitStatus::Exited(3))?;
    let id = task::spawn("detached", Intent::batch(), || 0).map_err(refused)?;
    task::detach(id).map_err(refused)?;
    eventually("a detached task goes by itself", || state(id).is_none())
}

fn sleep_and_times() -> Outcome {
    let id = task::spawn("sleeps", Intent::interactive(1000), || {
        let before = clock::now();
        task::sleep(Duration::from_millis(3));
        let slept = clock::now().since(before);
        i32::from(slept < Duration::from_millis(3))
    });
    ends(id.map_err(refused)?, ExitStatus::Exited(0))?;
    let id = task::spawn("periodic", Intent::realtime(5_000, 5_000, 500), || {
        (0..5).for_each(|_| task::next_period());
        let stats = task::stats(task::current()).unwrap();
        i32::from(stats.context_switches == 0 || stats.cpu_time == 0)
    });
    ends(id.map_err(refused)?, ExitStatus::Exited(0))?;
    let refused_one = task::spawn("too much", Intent::realtime(1_000, 1_000, 1_000), || 0);
    ensure(refused_one.is_err(), || "a reservation of a whole CPU was admitted".into())
}

fn kill_in_each_state() -> Outcome {
    let sleeping = task::spawn("sleeper", Intent::batch(), || {
        task::sleep(Duration::from_secs(1000));
        0
    });
    let blocked = task::spawn("blocked", Intent::batch(), || {
        task::block(BlockReason::Io, None);
        0
    });
    let running = task::spawn("running", Intent::batch(), || {
        loop {
            core::hint::spin_loop();
        }
    });
    let (sleeping, blocked, running) =
        (sleeping.map_err(refused)?, blocked.map_err(refused)?, running.map_err(refused)?);
    eventually("they are asleep and blocked", || {
        state(sleeping) == Some(TaskState::Sleeping)
            && state(blocked) == Some(TaskState::Blocked)
            && task::stats(running).is_ok_and(|stats| stats.cpu_time > 0)
    })?;
    for id in [sleeping, blocked, running] {
        task::kill(id).map_err(refused)?;
        let again = task::kill(id);
        ensure(again.is_err(), || "a task was killed twice".into())?;
        ends(id, ExitStatus::Killed)?;
    }
    // A task may kill itself.
    let id = task::spawn("suicide", Intent::batch(), || {
        let _ = task::kill(task::current());
        1
    });
    ends(id.map_err(refused)?, ExitStatus::Killed)
}

fn yields_and_priorities() -> Outcome {
    let id = task::spawn("yields", Intent::batch(), || {
        (0..10).for_each(|_| task::yield_now());
        let stats = task::stats(task::current()).unwrap();
        i32::from(stats.voluntary_yields != 10)
    });
    ends(id.map_err(refused)?, ExitStatus::Exited(0))?;
    let id = task::spawn("changes", Intent::batch(), || {
        task::block(BlockReason::Event, None);
        0
    });
    let id = id.map_err(refused)?;
    task::set_priority(id, 120).map_err(refused)?;
    let priority = sched::scheduler().with_task(id, |task| task.priority).map_err(refused)?;
    ensure(priority == 120, || format!("the priority is {priority}"))?;
    task::set_intent(id, &Intent::background()).map_err(refused)?;
    let intent = sched::scheduler().with_task(id, |task| task.intent.clone()).map_err(refused)?;
    ensure(intent == Intent::background(), || "the intent did not change".into())?;
    task::unpark(id).map_err(refused)?;
    ends(id, ExitStatus::Exited(0))
}

/// Each limit that this kernel holds no task to is refused by its name: at the spawn of a kernel task, of one of ring 3 (whose
/// memory it does limit), and as a new intent.
fn what_cannot_be_enforced() -> Outcome {
    let with = |change: fn(&mut Intent)| {
        let mut intent = Intent::batch();
        change(&mut intent);
        intent
    };
    let limits = [
        ("max_memory: ", with(|intent| intent.constraints.max_memory = Some(1 << 20))),
        ("numa_node: ", with(|intent| intent.constraints.numa_node = Some(1))),
        ("io_priority: ", with(|intent| intent.constraints.io_priority = IoPriority::Idle)),
        ("net_priority: ", with(|intent| intent.constraints.net_priority = 1)),
        ("mem_bandwidth: ", with(|intent| intent.qos.mem_bandwidth = Some(100))),
        ("io_bandwidth: ", with(|intent| intent.qos.io_bandwidth = Some(100))),
    ];
    let waits = || {
        task::block(BlockReason::Event, None);
        0
    };
    let id = task::spawn("accepted", with(|intent| intent.constraints.numa_node = Some(0)), waits).map_err(refused)?;
    for (name, intent) in limits {
        let by_name = |what: &str, error: Option<SchedError>| {
            let right = matches!(error, Some(SchedError::NotSupported(why)) if why.starts_with(name));
            ensure(right, || format!("{name}{what}: {error:?}"))
        };
        by_name("a kernel task", task::spawn("refused", intent.clone(), || 0).err())?;
        by_name("a new intent", task::set_intent(id, &intent).err())?;
        if intent.constraints.max_memory.is_none() {
            by_name("a task of ring 3", user::spawn("refused", intent, program(), compute(), 1).err())?;
        }
    }
    task::unpark(id).map_err(refused)?;
    ends(id, ExitStatus::Exited(0))
}

/// What needs a second CPU: affinity, and a kill of a task that runs elsewhere.
fn elsewhere(cpus: usize) -> Outcome {
    static SEEN: AtomicU64 = AtomicU64::new(u64::MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let look = {
        let stop = stop.clone();
        move || {
            let mut last = clock::now();
            let mut back = false;
            while !stop.load(Ordering::Relaxed) {
                SEEN.store(task::cpu() as u64, Ordering::Relaxed);
                // Perhaps another CPU's.
                let now = clock::now();
                back |= now < last;
                last = now;
            }
            i32::from(back)
        }
    };
    let id = task::spawn("moves", Intent::batch(), look).map_err(refused)?;
    for cpu in (0..cpus).chain([0]) {
        task::set_affinity(id, CpuMask::single(cpu)).map_err(refused)?;
        eventually("the running task moves where it must", || SEEN.load(Ordering::Relaxed) == cpu as u64)?;
    }
    ensure(task::set_affinity(id, CpuMask::single(cpus)) == Err(SchedError::NoCpu), || "a CPU too many".into())?;
    stop.store(true, Ordering::Relaxed);
    ends(id, ExitStatus::Exited(0))?;
    for round in 0..50 {
        let spin = || {
            loop {
                core::hint::spin_loop();
            }
        };
        let intent = Intent::batch().with_affinity(CpuMask::single(1 + round % (cpus - 1)));
        let id = task::spawn("elsewhere", intent, spin).map_err(refused)?;
        eventually("it runs elsewhere", || task::stats(id).is_ok_and(|stats| stats.cpu_time > 0))?;
        task::kill(id).map_err(refused)?;
        ends(id, ExitStatus::Killed)?;
    }
    println!("50 tasks were killed on other CPUs");
    Ok(())
}
