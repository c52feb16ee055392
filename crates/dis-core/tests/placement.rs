//! Which CPU: placement, stealing, balancing.

mod common;

use common::machine::{Machine, Op::*};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, TaskSpec, TaskState};
use dis_core::executor::{Leave, Placement, Reason};
use dis_core::intent::{Intent, QueueType};
use dis_core::optimizer::SPAWN_GRACE;

fn on(cpu: usize) -> CpuMask {
    CpuMask::single(cpu)
}

#[test]
fn an_idle_cpu_steals_what_it_may() {
    let mut m = Machine::new(2);
    let held = m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    let fixed = m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    let free = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert_eq!(m.actors[free].cpu_time, ms(1_000));
    assert!(m.actors[held].cpu_time.abs_diff(m.actors[fixed].cpu_time) <= ms(10));
    assert!(m.actors[fixed].runs.iter().all(|run| run.2 == 0));
}

/// Many that may not move do not hide one that may, on whichever CPU it waits.
#[test]
fn pinned_tasks_do_not_hide_one_that_may_move() {
    for free_on in 0..5 {
        let mut m = Machine::new(6);
        let last = m.spawn(Intent::batch().with_affinity(on(5)), &[Run(ms(3)), Exit(0)]);
        for cpu in 0..5 {
            for _ in 0..=(2 + cpu) {
                m.spawn(Intent::batch().with_affinity(on(cpu)), &[]);
            }
        }
        m.run_until(ms(1));
        let free = m.spawn(Intent::batch().with_affinity(on(free_on)), &[]);
        m.run_until(ms(2));
        m.call(free, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
        m.run_until(ms(10));
        m.reconcile();
        assert!(m.actors[last].gone);
        assert_eq!(m.executor.cpu_of(m.actors[free].id), Ok(5));
        assert_eq!(m.current(5), Some(free));
    }
}

#[test]
fn reservations_and_loans_stay() {
    let mut m = Machine::new(2);
    let first = m.spawn(Intent::realtime(10_000, 10_000, 4_000), &[]);
    let second = m.spawn(Intent::realtime(10_000, 10_000, 4_000), &[]);
    m.run_until(ms(100));
    for task in [first, second] {
        assert!(m.actors[task].runs.iter().all(|run| run.2 == 0), "first fit, and it stays");
    }
    assert_eq!(m.current(1), None);
}

/// Several sleepers of one CPU wake at one instant: all idle CPUs get work.
#[test]
fn a_burst_of_wake_ups_spreads() {
    let mut m = Machine::new(4);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut spec = TaskSpec::new("", Intent::batch().with_affinity(on(0)), 0);
        spec.start = Some(at(ms(10)));
        tasks.push(m.try_spawn(spec, &[]).unwrap());
    }
    for &task in &tasks {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    m.run_until(ms(20));
    m.reconcile();
    for task in tasks {
        assert_eq!(m.actors[task].cpu_time, ms(10), "each on a CPU of its own, at once");
    }
}

/// A CPU goes idle between the choice of a place and the entry there, or is told too late: the task is found.
#[test]
fn a_preempted_task_goes_to_an_idle_cpu_once_it_is_saved() {
    let mut m = Machine::new(2);
    (m.save_delay, m.interrupt_delay) = (us(300), us(300));
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1));
    let cpu = m.executor.cpu_of(m.actors[batch].id).unwrap();
    let system = m.spawn(Intent::system().with_affinity(on(cpu)), &[]);
    m.run_until(ms(3));
    assert_eq!((m.current(cpu), m.current(1 - cpu)), (Some(system), Some(batch)));
}

/// scylladb/seastar#1430: an urgent wake-up does not wait for its own busy CPU while another runs something less urgent.
#[test]
fn an_urgent_task_goes_where_the_least_urgent_runs() {
    use QueueType::*;
    let make = |class| match class {
        System => Intent::system(),
        Realtime => Intent::realtime(10_000, 10_000, 5_000),
        Interactive => Intent::interactive(1_000),
        Batch => Intent::batch(),
        Background => Intent::background(),
    };
    for high in [System, Interactive] {
        for (here, there) in [(System, Batch), (Interactive, Batch), (Interactive, Background), (Batch, Background)] {
            let mut m = Machine::new(2);
            let task = m.spawn(make(high).with_affinity(on(0)), &[Run(us(10)), Block(BlockReason::Io)]);
            m.run_until(ms(1));
            m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
            m.spawn(make(here).with_affinity(on(0)), &[]);
            m.spawn(make(there).with_affinity(on(1)), &[]);
            m.run_until(ms(2));
            let woken = m.unpark(task).unwrap();
            assert_eq!((woken.cpu, woken.placement), (1, Placement::LessUrgent), "{high} beside {here}, {there}");
            m.run_until(ms(2) + us(5));
            assert_eq!(m.state(task), TaskState::Running);
        }
    }
}

#[test]
fn a_task_wakes_where_its_cache_is_warm() {
    let mut m = Machine::new(4);
    let task = m.spawn(Intent::batch().with_affinity(on(2)), &[Run(us(10)), Block(BlockReason::Io)]);
    m.run_until(ms(1));
    m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    for _ in 0..10 {
        let woken = m.unpark(task).unwrap();
        assert_eq!((woken.cpu, woken.interrupt), (2, true));
        m.run_for(ms(1));
    }
}

#[test]
fn the_load_is_balanced_while_everybody_runs() {
    let mut m = Machine::new(2);
    let tasks: Vec<usize> = (0..6).map(|_| m.spawn(Intent::batch().with_affinity(on(0)), &[])).collect();
    for &task in &tasks[2..] {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    m.run_until(ms(6_000));
    m.reconcile();
    for task in tasks {
        let used = m.actors[task].cpu_time;
        assert!(used.abs_diff(ms(2_000)) < ms(250), "{used}: three tasks to a CPU");
    }
}

#[test]
fn load_balance_moves_one_task() {
    let mut m = Machine::new(2);
    m.spawn(Intent::batch().with_affinity(on(1)), &[]);
    for _ in 0..4 {
        m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    }
    m.run_until(ms(1));
    assert_eq!(m.executor.load_balance(at(m.now)), None, "nothing may move");
    for task in 1..5 {
        // Not through the machine: it would be interrupted, and the CPUs would balance by themselves.
        let _ = m.executor.set_affinity(at(m.now), m.actors[task].id, CpuMask::ALL).unwrap();
    }
    assert_eq!(m.executor.load_balance(at(m.now)), Some(1));
    assert_eq!(m.executor.load_balance(at(m.now)), None, "3 and 2 are balanced");
    m.check();
}

#[test]
fn a_stolen_task_says_so() {
    let mut m = Machine::new(2);
    m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    m.spawn(Intent::system().with_affinity(on(1)), &[Run(ms(2)), Exit(0)]);
    let free = m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    m.run_until(ms(1));
    m.call(free, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    m.run_until(ms(5));
    let first = m.trace.iter().find(|e| e.task == Some(free)).unwrap();
    assert_eq!((first.t, first.cpu, first.reason), (ms(2), 1, Reason::Stolen));
}

/// A task that spawns one and soon waits for its end finds it run by its own CPU; nobody is roused.
#[test]
fn a_child_waits_beside_its_parent() {
    for intent in [Intent::batch(), Intent::background(), Intent::interactive(2_000)] {
        let mut m = Machine::new(2);
        let parent = m.spawn(intent.clone(), &[Run(us(100)), Block(BlockReason::ChildExit), Run(ms(1)), Exit(0)]);
        m.run_until(us(10));
        let home = m.executor.cpu_of(m.actors[parent].id).unwrap();
        let spec = TaskSpec::new("", intent, 0);
        let child = m.try_spawn_from(Some(home), spec, &[Run(us(5)), Unpark(parent), Exit(0)]).unwrap();
        m.run_until(us(100));
        assert_eq!((m.current(home), m.current(1 - home)), (Some(child), None));
        m.run_until(us(110));
        // The parent is not stuck behind anything, so it may have gone anywhere.
        assert!(m.actors[child].gone && m.state(parent) == TaskState::Running);
        assert_eq!(m.actors[child].runs, [(us(100), us(105), home)]);
    }
}

/// If the parent computes on, another CPU takes the child when the grace is over: not earlier, not later.
#[test]
fn a_child_waits_no_longer_than_the_grace() {
    let grace = SPAWN_GRACE.as_nanos();
    let mut m = Machine::new(2);
    let parent = m.spawn(Intent::batch(), &[]);
    m.run_until(us(10));
    let home = m.executor.cpu_of(m.actors[parent].id).unwrap();
    let child = m.try_spawn_from(Some(home), TaskSpec::new("", Intent::batch(), 0), &[]).unwrap();
    assert_eq!(m.until(home), Some(us(10) + grace));
    m.run_until(us(10) + grace - 1);
    assert_eq!((m.current(home), m.current(1 - home)), (Some(parent), None));
    m.run_until(us(10) + grace);
    assert_eq!((m.current(home), m.current(1 - home)), (Some(parent), Some(child)));
    // An interrupt in between does not make it wait anew.
    let mut m = Machine::new(2);
    let parent = m.spawn(Intent::batch(), &[]);
    m.run_until(us(10));
    let home = m.executor.cpu_of(m.actors[parent].id).unwrap();
    let child = m.try_spawn_from(Some(home), TaskSpec::new("", Intent::batch(), 0), &[]).unwrap();
    m.run_until(us(100));
    m.ask(home, Leave::Ask);
    m.run_until(us(10) + grace);
    assert_eq!((m.current(home), m.current(1 - home)), (Some(parent), Some(child)));
}

/// Several children wait beside their parent, until the first one's grace is over or the parent waits itself.
#[test]
fn children_wait_beside_their_parent_while_it_runs() {
    for waits in [true, false] {
        let mut m = Machine::new(3);
        let grace = SPAWN_GRACE.as_nanos();
        let end = if waits { us(100) } else { us(10) + grace };
        let then: &[_] = if waits { &[Run(us(100)), Block(BlockReason::ChildExit)] } else { &[] };
        let parent = m.spawn(Intent::interactive(2_000), then);
        m.run_until(us(10));
        let home = m.executor.cpu_of(m.actors[parent].id).unwrap();
        let mut children = Vec::new();
        for late in 0..2 {
            m.run_until(us(10 + 20 * late));
            let spec = TaskSpec::new("", Intent::interactive(2_000), 0);
            children.push(m.try_spawn_from(Some(home), spec, &[]).unwrap());
        }
        m.run_until(end - 1);
        assert_eq!((0..3).filter_map(|cpu| m.current(cpu)).collect::<Vec<_>>(), [parent]);
        m.run_until(end);
        let running: Vec<_> = (0..3).filter_map(|cpu| m.current(cpu)).collect();
        assert!(children.iter().all(|child| running.contains(child)), "{running:?}");
        assert_eq!(running.contains(&parent), !waits);
    }
}

/// Beside a task that waits for another reason, a child does not wait.
#[test]
fn a_child_waits_beside_children_only() {
    let mut m = Machine::new(2);
    let parent = m.spawn(Intent::batch().with_affinity(on(0)), &[Run(us(100)), Block(BlockReason::ChildExit)]);
    m.run_until(us(10));
    let ops = [Run(us(50)), Unpark(parent), Run(ms(10))];
    let child = m.try_spawn_from(Some(0), TaskSpec::new("", Intent::batch(), 0), &ops).unwrap();
    m.run_until(us(200));
    assert_eq!((m.current(0), m.state(parent)), (Some(child), TaskState::Ready));
    let other = m.try_spawn_from(Some(0), TaskSpec::new("", Intent::batch(), 0), &[]).unwrap();
    m.run_until(us(201));
    assert_eq!(m.current(1), Some(other));
}

/// One that is more urgent than its parent, or wants to begin soon, goes to an idle CPU at once.
#[test]
fn idle_cpus_are_used_at_once_where_that_is_wanted() {
    let mut m = Machine::new(3);
    let parent = m.spawn(Intent::batch(), &[]);
    m.run_until(us(10));
    let home = m.executor.cpu_of(m.actors[parent].id).unwrap();
    let mut spawn = |intent: Intent| {
        let child = m.try_spawn_from(Some(home), TaskSpec::new("", intent, 0), &[Run(us(50)), Exit(0)]).unwrap();
        m.executor.cpu_of(m.actors[child].id).unwrap()
    };
    assert_ne!(spawn(Intent::interactive(1_000)), home);
    assert_eq!(spawn(Intent::batch()), home);
    assert_eq!(spawn(Intent::batch()), home);
    assert_ne!(spawn(Intent::interactive(2_000)), home);
    for intent in [Intent::system(), Intent::interactive(1_999)] {
        let mut m = Machine::new(2);
        m.spawn(intent.clone().with_affinity(on(0)), &[]);
        m.run_until(us(10));
        let child = m.try_spawn_from(Some(0), TaskSpec::new("", intent, 0), &[]).unwrap();
        m.run_until(us(10));
        assert_eq!(m.current(1), Some(child));
    }
}

/// A change of intent that moves a task: the CPU it comes to is told when to decide anew.
#[test]
fn a_new_intent_may_move_a_task_to_a_busy_cpu() {
    let mut m = Machine::new(2);
    m.spawn(Intent::system().with_affinity(on(1)), &[]);
    m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    let moved = m.spawn(Intent::batch().with_affinity(on(0)), &[]);
    m.run_until(ms(1_001));
    m.call(moved, |x, now, id| x.set_intent(now, id, &Intent::batch().with_affinity(on(1)))).unwrap();
    m.run_until(ms(2_001));
    m.reconcile();
    assert!(m.actors[moved].ran_between(ms(1_001), m.now) >= ms(490), "System leaves it half");
}
