//! Wake-ups, ends, moves: what one task does to another, in every state and window.

mod common;

use common::direct::{ask, machine, runs, spawn, state};
use common::machine::{Machine, Op::*};
use common::{at, ms};
use dis_core::api::{BlockReason, CpuMask, ExitStatus, SchedError, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Kill, Leave, Placement};
use dis_core::intent::Intent;

fn pinned(cpu: usize) -> Intent {
    Intent::batch().with_affinity(CpuMask::single(cpu))
}

const BLOCK: Leave = Leave::Block(BlockReason::Event, None);

#[test]
fn an_unpark_before_the_block_is_not_lost() {
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    ask(&x, 0, 0, Leave::Ask);
    assert_eq!(x.unpark(at(1), id).unwrap().placement, Placement::Remembered);
    let decision = ask(&x, 0, 2, BLOCK);
    assert_eq!((runs(&decision), decision.next.unwrap().switch), (Some(1), false));
    assert_eq!(state(&x, id), TaskState::Running);
    // One token, however many wake-ups.
    assert_eq!(runs(&ask(&x, 0, 3, BLOCK)), None);
    assert_eq!(state(&x, id), TaskState::Blocked);
    assert!(x.unpark(at(4), id).unwrap().interrupt);
    assert_eq!(x.with_task(id, |t| (t.stats.blocks, t.stats.wakes)).unwrap(), (1, 1));
}

#[test]
fn unpark_does_not_cut_a_sleep_short_and_wake_does() {
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    ask(&x, 0, 0, Leave::Ask);
    assert_eq!(ask(&x, 0, 1, Leave::Sleep(at(100))).until, Some(at(100)));
    let _ = x.unpark(at(2), id).unwrap();
    assert_eq!(state(&x, id), TaskState::Sleeping);
    let _ = x.wake(at(3), id).unwrap();
    assert_eq!(state(&x, id), TaskState::Ready);
    assert_eq!(x.wake(at(4), id).map(|w| w.cpu), Err(SchedError::InvalidState));
    // Woken early, it does not wake a second time: it blocks for good (the token of the unpark is used first).
    assert_eq!(runs(&ask(&x, 0, 5, Leave::Ask)), Some(1));
    ask(&x, 0, 6, BLOCK);
    let decision = ask(&x, 0, 7, BLOCK);
    assert_eq!((runs(&decision), decision.until), (None, None));
    assert_eq!(runs(&ask(&x, 0, 200, Leave::Ask)), None);
    assert_eq!(x.with_task(id, |t| t.stats.wakes), Ok(1));
}

#[test]
fn a_time_out_ends_a_block_once() {
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    ask(&x, 0, 0, Leave::Ask);
    let decision = ask(&x, 0, 0, Leave::Block(BlockReason::Io, Some(at(50))));
    assert_eq!(decision.until, Some(at(50)));
    assert_eq!(runs(&ask(&x, 0, 49, Leave::Ask)), None);
    assert_eq!(runs(&ask(&x, 0, 50, Leave::Ask)), Some(1));
    assert_eq!(ask(&x, 0, 51, BLOCK).until, None);
    assert_eq!(x.with_task(id, |t| (t.stats.wakes, t.stats.blocks)), Ok((1, 2)));
}

#[test]
fn every_reason_is_recorded_while_it_lasts() {
    use BlockReason::*;
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    ask(&x, 0, 0, Leave::Ask);
    for reason in [Io, Mutex, Semaphore, Event, ChildExit, Ipc] {
        ask(&x, 0, 1, Leave::Block(reason, None));
        assert_eq!(x.with_task(id, Task::block_reason), Ok(Some(reason)));
        let _ = x.wake(at(1), id).unwrap();
        assert_eq!(x.with_task(id, Task::block_reason), Ok(None));
        ask(&x, 0, 1, Leave::Ask);
    }
}

#[test]
fn a_cpu_that_has_not_saved_may_not_switch_again() {
    let x = machine(1);
    let _ = (spawn(&x, 0, 1, Intent::batch()), spawn(&x, 0, 2, Intent::batch()));
    ask(&x, 0, 0, Leave::Ask);
    assert!(x.schedule(0, at(1), Leave::Yield).unwrap().next.unwrap().switch);
    let before = x.stats();
    for leave in [Leave::Ask, Leave::Yield, BLOCK, Leave::Exit(0)] {
        assert_eq!(x.schedule(0, at(2), leave).map(|_| ()), Err(SchedError::InvalidState));
    }
    assert_eq!(x.stats(), before, "nothing has changed");
    x.switched(0);
    assert!(x.schedule(0, at(3), Leave::Yield).is_ok());
}

#[test]
fn an_idle_cpu_can_only_ask() {
    let x = machine(1);
    for leave in [Leave::Yield, BLOCK, Leave::Sleep(at(9)), Leave::NextPeriod, Leave::Exit(0), Leave::Declined] {
        assert_eq!(x.schedule(0, at(0), leave).map(|_| ()), Err(SchedError::InvalidState));
    }
    assert!(x.schedule(0, at(0), Leave::Ask).unwrap().next.is_none());
    assert_eq!(x.schedule(1, at(0), Leave::Ask).map(|_| ()), Err(SchedError::NoCpu));
}

#[test]
fn a_task_is_killed_wherever_it_is() {
    // Ready, sleeping, blocked: at once.
    for leave in [Leave::Yield, Leave::Sleep(at(1_000)), BLOCK] {
        let x = machine(1);
        let (id, _other) = (spawn(&x, 0, 1, Intent::batch()), spawn(&x, 0, 2, Intent::batch()));
        ask(&x, 0, 0, Leave::Ask);
        assert_eq!(runs(&ask(&x, 0, 1, leave)), Some(2));
        assert_eq!(x.kill(at(2), id), Ok(Kill::Done(None)));
        assert_eq!(state(&x, id), TaskState::Zombie);
        assert_eq!(x.kill(at(2), id), Err(SchedError::InvalidState));
        assert_eq!(ask(&x, 0, 2_000, Leave::Ask).next.unwrap().context, 2, "its timer is gone");
        assert_eq!(x.with_task(id, Task::exit_status), Ok(Some(ExitStatus::Killed)));
    }
    // Running, on another CPU: when that CPU asks.
    let x = machine(2);
    let id = spawn(&x, 0, 1, pinned(1));
    ask(&x, 1, 0, Leave::Ask);
    assert_eq!(x.kill(at(1), id), Ok(Kill::Pending(1)));
    assert_eq!(x.kill(at(1), id), Err(SchedError::InvalidState));
    assert_eq!(runs(&ask(&x, 1, 2, Leave::Ask)), None);
    assert_eq!((state(&x, id), x.stats().tasks_killed), (TaskState::Zombie, 1));
}

#[test]
fn a_task_whose_registers_are_unsaved_ends_when_they_are_saved() {
    for saved_first in [false, true] {
        let x = machine(1);
        let (id, _other) = (spawn(&x, 0, 1, Intent::batch()), spawn(&x, 0, 2, Intent::batch()));
        ask(&x, 0, 0, Leave::Ask);
        x.schedule(0, at(1), Leave::Yield).unwrap();
        assert_eq!(x.kill(at(2), id), Ok(Kill::Pending(0)));
        assert!(!state(&x, id).has_ended(), "its stack is still in use");
        if saved_first {
            assert!(x.switched(0), "something waits for it");
        }
        // Nothing may run it any more, nor kill it twice.
        assert!(x.unpark(at(2), id).is_err());
        assert!(x.wake(at(2), id).is_err());
        assert!(x.kill(at(2), id).is_err());
        let _ = x.set_affinity(at(2), id, CpuMask::single(0)).unwrap();
        if !saved_first {
            assert!(x.switched(0));
        }
        assert_eq!(runs(&ask(&x, 0, 3, Leave::Ask)), Some(2));
        assert_eq!((state(&x, id), x.stats().tasks_killed), (TaskState::Zombie, 1));
        ask(&x, 0, 4, Leave::Ask);
        assert_eq!(x.stats().tasks_killed, 1);
    }
}

/// The same with another CPU to go to: it must end, not run there.
#[test]
fn a_killed_task_does_not_escape_to_another_cpu() {
    let x = machine(2);
    let id = spawn(&x, 0, 1, Intent::batch());
    let cpu = x.cpu_of(id).unwrap();
    ask(&x, cpu, 0, Leave::Ask);
    x.schedule(cpu, at(1), BLOCK).unwrap();
    assert_eq!(x.kill(at(2), id), Ok(Kill::Pending(cpu)));
    assert!(x.switched(cpu));
    assert!(x.unpark(at(3), id).is_err());
    let _ = x.set_affinity(at(3), id, CpuMask::single(1 - cpu));
    ask(&x, cpu, 4, Leave::Ask);
    assert_eq!(runs(&ask(&x, 1 - cpu, 5, Leave::Ask)), None);
    assert_eq!(state(&x, id), TaskState::Zombie);
}

/// A task that is moved away is killed between the saving of its registers and the move.
#[test]
fn a_task_on_its_way_is_killed_once() {
    let x = machine(2);
    let id = spawn(&x, 0, 1, pinned(0));
    let _other = spawn(&x, 0, 2, pinned(0));
    ask(&x, 0, 0, Leave::Ask);
    assert!(x.set_affinity(at(1), id, CpuMask::single(1)).unwrap().interrupt);
    x.schedule(0, at(1), Leave::Ask).unwrap();
    assert!(x.switched(0));
    assert_eq!(x.kill(at(2), id), Ok(Kill::Done(None)));
    ask(&x, 0, 3, Leave::Ask);
    assert_eq!((x.stats().tasks_killed, state(&x, id)), (1, TaskState::Zombie));
    assert_eq!(x.join(id, TaskId::INVALID), Ok(Some(ExitStatus::Killed)));
}

#[test]
fn exit_codes_wait_in_zombies_until_they_are_collected() {
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    ask(&x, 0, 0, Leave::Ask);
    ask(&x, 0, 1, Leave::Exit(-7));
    assert_eq!(state(&x, id), TaskState::Zombie);
    assert!(x.wake(at(1), id).is_err() && x.unpark(at(1), id).is_err());
    assert!(x.set_intent(at(1), id, &Intent::realtime(10, 10, 5)).is_err(), "a zombie reserves nothing");
    assert_eq!(x.join(id, TaskId::INVALID), Ok(Some(ExitStatus::Exited(-7))));
    assert_eq!(x.join(id, TaskId::INVALID), Err(SchedError::TaskNotFound));
    // The slot is used again, the id is not.
    let next = spawn(&x, 2, 2, Intent::batch());
    assert_eq!((next.slot(), next.generation()), (id.slot(), id.generation() + 1));
    assert_eq!(x.kill(at(2), id), Err(SchedError::TaskNotFound));
    assert_eq!(x.stats().tasks_exited, 1);
}

#[test]
fn a_joiner_is_woken_by_the_end() {
    let mut m = Machine::new(2);
    let child = m.try_spawn(TaskSpec::new("", pinned(0), 0).joinable(), &[Run(ms(5)), Exit(3)]).unwrap();
    let parent = m.spawn(pinned(1), &[Block(BlockReason::ChildExit), Run(ms(100))]);
    assert_eq!(m.join(child, parent), Ok(None));
    m.run_until(ms(6));
    assert_eq!(m.state(parent), TaskState::Running);
    assert_eq!(m.actors[parent].runs.last().map(|run| run.0), None, "not charged yet");
    assert_eq!(m.join(child, parent), Ok(Some(ExitStatus::Exited(3))));
}

#[test]
fn a_joiner_that_has_ended_does_not_wait() {
    let x = machine(1);
    let child = spawn(&x, 0, 1, Intent::batch());
    let (first, second) = (spawn(&x, 0, 2, Intent::batch()), spawn(&x, 0, 3, Intent::batch()));
    assert_eq!(x.join(child, child), Err(SchedError::InvalidState));
    assert_eq!(x.join(child, first), Ok(None));
    assert_eq!(x.join(child, second), Err(SchedError::InvalidState), "one joiner");
    assert_eq!(x.join(child, first), Ok(None), "which may ask again");
    let _ = x.kill(at(1), first).unwrap();
    assert_eq!(x.join(child, second), Ok(None));
    assert_eq!(x.detach(first), Ok(()));
    let third = spawn(&x, 2, 4, Intent::batch());
    let _ = x.kill(at(2), second).unwrap();
    x.detach(second).unwrap();
    assert_eq!(x.join(child, third), Ok(None), "nor does one that is gone");
}

#[test]
fn a_detached_task_is_gone_the_moment_it_ends() {
    let x = machine(1);
    let id = spawn(&x, 0, 1, Intent::batch());
    x.detach(id).unwrap();
    assert_eq!(x.join(id, TaskId::INVALID), Err(SchedError::TaskNotFound));
    ask(&x, 0, 0, Leave::Ask);
    ask(&x, 0, 1, Leave::Exit(0));
    assert_eq!(x.with_task(id, |_| ()), Err(SchedError::TaskNotFound));
    assert!(x.task_ids().is_empty());
}

#[test]
fn a_change_of_affinity_moves_a_waiting_task_at_once() {
    for leave in [Leave::Yield, Leave::Sleep(at(1_000)), BLOCK] {
        let x = machine(2);
        let (id, _other) = (spawn(&x, 0, 1, pinned(0)), spawn(&x, 0, 2, pinned(0)));
        ask(&x, 0, 0, Leave::Ask);
        ask(&x, 0, 1, leave);
        let before = state(&x, id);
        let wake = x.set_affinity(at(2), id, CpuMask::single(1)).unwrap();
        assert_eq!((x.cpu_of(id), state(&x, id)), (Ok(1), before), "{leave:?}");
        match leave {
            Leave::Yield => assert!(wake.interrupt && wake.cpu == 1),
            Leave::Sleep(t) => assert_eq!((wake.cpu, wake.until), (1, Some(t))),
            _ => assert!(x.unpark(at(3), id).unwrap().interrupt),
        }
        assert_eq!(runs(&ask(&x, 1, 1_000, Leave::Ask)), Some(1));
        assert_eq!(x.with_task(id, |t| t.stats.migrations), Ok(1));
    }
}

#[test]
fn a_running_task_moves_when_its_registers_are_saved() {
    let x = machine(2);
    let id = spawn(&x, 0, 1, pinned(0));
    ask(&x, 0, 0, Leave::Ask);
    let wake = x.set_affinity(at(1), id, CpuMask::single(1)).unwrap();
    assert_eq!((wake.cpu, wake.interrupt), (0, true));
    let decision = x.schedule(0, at(2), Leave::Ask).unwrap();
    assert!(decision.next.is_none() && decision.vacate, "nothing else to run, but it must leave");
    assert!(x.schedule(1, at(3), Leave::Ask).unwrap().next.is_none(), "not before its registers are saved");
    assert!(x.switched(0));
    assert_eq!(ask(&x, 0, 4, Leave::Ask).interrupt, Some(1));
    assert_eq!(runs(&ask(&x, 1, 5, Leave::Ask)), Some(1));
}

/// The change of affinity arrives, and the task leaves by itself before its CPU has been interrupted.
#[test]
fn a_task_never_runs_where_it_may_not() {
    for leave in [
        Leave::Yield,
        Leave::Sleep(at(10)),
        BLOCK,
        Leave::Block(BlockReason::Io, Some(at(10))),
        Leave::NextPeriod,
        Leave::Ask,
    ] {
        for saved_first in [false, true] {
            let x = machine(2);
            let intent = Intent::realtime(10_000, 10_000, 9_000).with_affinity(CpuMask::single(0));
            let id = spawn(&x, 0, 1, if leave == Leave::NextPeriod { intent } else { pinned(0) });
            ask(&x, 0, 0, Leave::Ask);
            let _ = x.set_affinity(at(1), id, CpuMask::single(1)).unwrap();
            let now = if leave == Leave::NextPeriod { 10_000_000 } else { 2 };
            let decision = x.schedule(0, at(now), leave).unwrap();
            assert_eq!(runs(&decision), None, "{leave:?}");
            if saved_first {
                x.switched(0);
            }
            let _ = x.unpark(at(now + 1), id);
            if !saved_first {
                x.switched(0);
            }
            assert_eq!(runs(&ask(&x, 0, now + 20, Leave::Ask)), None, "{leave:?}");
            assert_eq!(x.cpu_of(id), Ok(1), "{leave:?}");
            assert_eq!(runs(&ask(&x, 1, now + 30, Leave::Ask)), Some(1), "{leave:?} {saved_first}");
        }
    }
}

#[test]
fn an_affinity_that_changes_back_leaves_the_task_in_place() {
    let x = machine(2);
    let (id, _other) = (spawn(&x, 0, 1, pinned(0)), spawn(&x, 0, 2, pinned(0)));
    ask(&x, 0, 0, Leave::Ask);
    let _ = x.set_affinity(at(1), id, CpuMask::single(1)).unwrap();
    assert_eq!(runs(&x.schedule(0, at(1), Leave::Ask).unwrap()), Some(2));
    let _ = x.set_affinity(at(2), id, CpuMask::single(0)).unwrap();
    assert!(x.switched(0));
    ask(&x, 0, 3, Leave::Ask);
    assert_eq!((x.cpu_of(id), state(&x, id)), (Ok(0), TaskState::Ready));
    assert_eq!(runs(&ask(&x, 0, 4, Leave::Exit(0))), Some(1));
}

#[test]
fn a_mask_without_cpus_of_this_machine_is_refused() {
    let x = machine(2);
    let id = spawn(&x, 0, 1, Intent::batch());
    assert_eq!(x.set_affinity(at(0), id, CpuMask::single(2)).map(|_| ()), Err(SchedError::NoCpu));
    assert_eq!(x.with_task(id, |t| t.affinity), Ok(CpuMask::ALL));
    let spec = TaskSpec::new("", pinned(7), 1);
    assert_eq!(x.spawn(at(0), None, spec).map(|_| ()), Err(SchedError::NoCpu));
}

#[test]
fn a_declined_task_blocks_and_leaves_the_registers_alone() {
    let x = machine(1);
    let (first, second) = (spawn(&x, 0, 1, Intent::batch()), spawn(&x, 0, 2, Intent::batch()));
    ask(&x, 0, 0, Leave::Ask);
    let chosen = x.schedule(0, at(1), Leave::Yield).unwrap();
    assert_eq!(runs(&chosen), Some(2));
    // The host cannot load 2: the registers of 1 are still live, so it goes on without a switch.
    let decision = x.schedule(0, at(1), Leave::Declined).unwrap();
    assert_eq!((runs(&decision), decision.next.unwrap().switch), (Some(1), false));
    assert_eq!(x.with_task(second, Task::block_reason), Ok(Some(BlockReason::Mutex)));
    assert_eq!(state(&x, first), TaskState::Running);
    let _ = x.unpark(at(2), second).unwrap();
    assert_eq!(runs(&ask(&x, 0, 3, Leave::Yield)), Some(2));
}

#[test]
fn stale_ids_find_nobody_for_ever() {
    let x = machine(1);
    let mut ids: Vec<TaskId> = Vec::new();
    for round in 0..1_000 {
        let id = spawn(&x, round, 1, Intent::batch());
        assert!(!ids.contains(&id));
        x.detach(id).unwrap();
        let _ = x.kill(at(round), id).unwrap();
        ids.push(id);
    }
    for id in ids.into_iter().chain([TaskId::INVALID, TaskId::IDLE, TaskId::idle(3), TaskId(u64::MAX)]) {
        assert_eq!(x.with_task(id, |_| ()), Err(SchedError::TaskNotFound));
        assert_eq!(x.wake(at(9), id).map(|_| ()), Err(SchedError::TaskNotFound));
        assert_eq!(x.kill(at(9), id), Err(SchedError::TaskNotFound));
        assert_eq!(x.set_priority(at(9), id, 1).map(|_| ()), Err(SchedError::TaskNotFound));
    }
}

/// A task that is alone on its CPU is never asked about, so it is never charged; its counters hold what it has had all
/// the same, and reading them charges nothing.
#[test]
fn counters_hold_the_stretch_that_is_under_way() {
    let x = machine(2);
    let (hog, waits) = (spawn(&x, 0, 1, pinned(0)), spawn(&x, 0, 2, pinned(0)));
    ask(&x, 0, 10, Leave::Ask);
    let cpu_time = |now, id| x.task_stats(at(now), id).map(|stats| stats.cpu_time);
    assert_eq!((cpu_time(ms(7) + 10, hog), cpu_time(ms(7) + 10, waits)), (Ok(ms(7)), Ok(0)));
    assert_eq!((x.stats_at(at(ms(7) + 10)).total_cpu_time, x.stats().total_cpu_time), (ms(7), 0));
    ask(&x, 0, ms(8) + 10, BLOCK);
    assert_eq!((cpu_time(ms(9) + 10, hog), cpu_time(ms(9) + 10, waits)), (Ok(ms(8)), Ok(ms(1))));
    assert_eq!(x.task_stats(at(0), TaskId::INVALID).err(), Some(SchedError::TaskNotFound));
}

/// The end of a task and the wake-up of the one that waits for it are one question, wherever that one is.
#[test]
fn an_exit_unparks_who_waits_for_it() {
    for movable in [true, false] {
        for others in [0, 2] {
            let x = machine(1);
            let spawn = |t| x.spawn(at(t), Some(0), TaskSpec::new("", Intent::batch(), 0)).unwrap().0;
            let parent = spawn(0);
            x.set_movable(parent, movable).unwrap();
            assert_eq!(x.schedule(0, at(0), Leave::Ask).unwrap().next.unwrap().id, parent);
            x.switched(0);
            let child = spawn(1);
            let chosen = x.schedule(0, at(2), Leave::Block(BlockReason::ChildExit, None)).unwrap().next.unwrap();
            assert_eq!(chosen.id, child);
            x.switched(0);
            for _ in 0..others {
                spawn(3);
            }
            let decision = x.exit_and_unpark(0, at(4), 0, parent).unwrap();
            x.switched(0);
            let wakes = x.with_task(parent, |task| (task.stats.wakes, task.state() == TaskState::Blocked)).unwrap();
            assert_eq!((wakes, x.stats().tasks_exited), ((1, false), 1));
            assert!(others > 0 || decision.next.unwrap().id == parent);
        }
    }
}

#[test]
fn an_exit_unparks_on_another_cpu_and_leaves_a_token() {
    let x = machine(2);
    let on = |cpu| {
        let intent = Intent::batch().with_affinity(CpuMask::single(cpu));
        let id = x.spawn(at(0), None, TaskSpec::new("", intent, 0)).unwrap().0;
        assert_eq!(x.schedule(cpu, at(0), Leave::Ask).unwrap().next.unwrap().id, id);
        x.switched(cpu);
        id
    };
    let (_, waiter) = (on(0), on(1));
    // It runs still: its next block returns at once.
    assert_eq!(x.exit_and_unpark(0, at(1), 0, waiter).unwrap().interrupt, None);
    x.switched(0);
    let block = Leave::Block(BlockReason::ChildExit, None);
    assert_eq!(x.schedule(1, at(2), block).unwrap().next.unwrap().id, waiter);
    assert_eq!(x.schedule(1, at(3), block).unwrap().next, None);
    x.switched(1);
    on(0);
    assert_eq!(x.exit_and_unpark(0, at(4), 0, waiter).unwrap().interrupt, Some(1));
}

#[test]
fn tasks_are_visited_in_steps() {
    let x = machine(2);
    let on = |cpu| Intent::batch().with_affinity(CpuMask::single(cpu));
    let ids: Vec<TaskId> = (0..5).map(|n| spawn(&x, 0, n, on(0))).collect();
    spawn(&x, 0, 5, on(1));
    let _ = x.kill(at(0), ids[1]).unwrap();
    x.detach(ids[1]).unwrap();
    let (mut seen, mut from, mut steps) = (Vec::new(), Some(0), 0);
    while let Some(start) = from {
        from = x.visit_tasks(0, start, 2, |task| seen.push(task.id));
        steps += 1;
    }
    assert_eq!((seen, steps), ([0, 2, 3, 4].map(|n| ids[n]).to_vec(), 3));
    assert_eq!(x.visit_tasks(7, 0, 1, |_| panic!("no such CPU")), None);
}
