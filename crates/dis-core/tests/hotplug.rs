//! CPUs that go offline and come back: where their tasks, sleepers and reservations go, and who is told.

mod common;

use common::machine::{Machine, Op::*};
use common::{ms, us};
use dis_core::admission::RejectReason;
use dis_core::api::{CpuMask, SchedError, TaskState};
use dis_core::intent::{Intent, QueueType};

fn on(cpu: usize) -> CpuMask {
    CpuMask::single(cpu)
}

/// A Realtime task that needs `wcet` of every 10 ms.
fn periodic(m: &mut Machine, wcet: u64, cpus: CpuMask) -> usize {
    let intent = Intent::realtime(10_000, 10_000, wcet).with_affinity(cpus);
    m.spawn(intent, &[Run(us(wcet)), NextPeriod])
}

fn reserved_on(m: &Machine, task: usize) -> Option<usize> {
    m.task(task, |t| t.reserved_on())
}

#[test]
fn the_last_cpu_stays() {
    let mut m = Machine::new(2);
    assert_eq!(m.set_offline(2).unwrap_err(), SchedError::NoCpu);
    assert_eq!(m.set_online(0).unwrap_err(), SchedError::InvalidState);
    let _ = m.set_offline(0).unwrap();
    assert!(m.executor.is_vacant(0) && !m.executor.is_online(0));
    assert_eq!(m.set_offline(0).unwrap_err(), SchedError::InvalidState);
    assert_eq!(m.set_offline(1).unwrap_err(), SchedError::LastCpu);
    let back = m.set_online(0).unwrap();
    assert!(back.interrupts.contains(0) && m.executor.is_online(0) && !m.executor.is_vacant(0));
    assert_eq!(Machine::new(1).set_offline(0).unwrap_err(), SchedError::LastCpu);
}

/// Whoever runs, waits, sleeps or blocks there goes on elsewhere; sleepers wake in time.
#[test]
fn everybody_leaves() {
    let mut m = Machine::new(2);
    let runs = m.spawn(Intent::batch(), &[]);
    let other = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1));
    let (cpu, left) = if m.current(0) == Some(runs) { (0, 1) } else { (1, 0) };
    // Their own CPU first, then either.
    let waits = m.spawn(Intent::batch().with_affinity(on(cpu)), &[]);
    let sleeps = m.spawn(Intent::interactive(1_000).with_affinity(on(cpu)), &[Run(us(10)), Sleep(ms(50))]);
    m.run_until(ms(2));
    for task in [waits, sleeps] {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    assert_eq!(m.state(sleeps), TaskState::Sleeping);
    let answer = m.set_offline(cpu).unwrap();
    assert!(answer.interrupts.contains(cpu), "its task must leave");
    assert!(answer.displaced.is_empty() && answer.strays.is_empty());
    assert!(!m.executor.is_vacant(cpu), "not before that is saved");
    m.run_until(ms(3));
    assert!(m.executor.is_vacant(cpu) && m.until(cpu).is_none());
    for task in [runs, waits, sleeps, other] {
        assert_eq!(m.executor.cpu_of(m.actors[task].id), Ok(left));
    }
    m.run_until(ms(200));
    assert!(m.actors[sleeps].done[1] >= 4, "it slept on: {:?}", m.actors[sleeps].done);
    m.reconcile();
    assert_eq!(m.busy(left), ms(200));
    let (before, shares) = (m.busy(cpu), [runs, waits, other].map(|task| m.actors[task].cpu_time));
    assert!(shares.iter().all(|&share| share >= ms(60)), "{shares:?}");
    // Back: it is roused, and takes its part.
    let _ = m.set_online(cpu).unwrap();
    m.run_until(ms(400));
    m.reconcile();
    assert!(m.busy(cpu) - before >= ms(199), "{}", m.busy(cpu));
}

/// A task's registers must be saved before it goes on elsewhere.
#[test]
fn who_runs_leaves_when_its_registers_are_saved() {
    let mut m = Machine::new(2);
    m.save_delay = us(300);
    let tasks: Vec<usize> = (0..2).map(|_| m.spawn(Intent::batch(), &[])).collect();
    m.run_until(ms(5));
    let _ = m.set_offline(1).unwrap();
    m.run_until(ms(100));
    assert!(m.executor.is_vacant(1));
    assert!(tasks.iter().all(|&task| m.actors[task].cpu_time >= ms(40)));
}

#[test]
fn a_task_whose_cpus_are_all_offline_runs_anywhere_until_one_is_back() {
    let mut m = Machine::new(3);
    let bound = m.spawn(Intent::batch().with_affinity(on(2)), &[]);
    let asleep = m.spawn(Intent::batch().with_affinity(on(2)), &[Block(dis_core::api::BlockReason::Event)]);
    m.run_until(ms(5));
    let answer = m.set_offline(2).unwrap();
    assert_eq!(answer.strays.len(), 2);
    m.run_until(ms(10));
    assert_eq!(m.task(bound, |t| t.affinity), CpuMask::ALL);
    m.wake(asleep).unwrap();
    m.run_until(ms(20));
    m.reconcile();
    assert!(m.actors[bound].ran_between(ms(6), ms(20)) >= ms(13));
    // Nobody may ask for it anew meanwhile.
    let ask = m.call(bound, |x, now, id| x.set_affinity(now, id, on(2)));
    assert_eq!(ask.unwrap_err(), SchedError::NoCpu);
    let _ = m.set_online(2).unwrap();
    m.run_until(ms(30));
    for task in [bound, asleep] {
        assert_eq!(m.task(task, |t| t.affinity), on(2));
        assert_eq!(m.executor.cpu_of(m.actors[task].id), Ok(2));
    }
    m.reconcile();
    assert_eq!(m.actors[bound].runs.last().unwrap().2, 2);
}

/// The densest reservation finds its place first; what does not fit is told, runs on as Batch within its budget, and comes back.
#[test]
fn reservations_are_made_anew() {
    let mut m = Machine::new(2);
    let stays = periodic(&mut m, 4_000, on(0));
    let (large, small) = (periodic(&mut m, 5_000, on(1)), periodic(&mut m, 4_000, on(1)));
    for task in [large, small] {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    let hog = m.spawn(Intent::interactive(1_000), &[Run(us(400)), Sleep(us(600))]);
    m.run_until(ms(100));
    let answer = m.set_offline(1).unwrap();
    assert_eq!(answer.displaced.len(), 1);
    let lost = &answer.displaced[0];
    assert_eq!(lost.task, m.actors[small].id);
    assert!(matches!(lost.reason, RejectReason::NoRoom(why) if why.cpu == 0), "{lost}");
    assert_eq!([stays, large, small].map(|task| reserved_on(&m, task)), [Some(0), Some(0), None]);
    m.run_until(ms(101));
    assert_eq!(m.task(small, |t| t.urgency().class), QueueType::Batch);
    m.run_until(ms(2_000));
    for task in [stays, large] {
        assert_eq!(m.task(task, |t| t.stats.deadline_misses), 0, "the admitted keep their deadlines");
    }
    let missed = m.task(small, |t| t.stats.deadline_misses);
    assert!(missed > 0, "there is no room for it");
    assert!(m.actors[small].cpu_time > ms(40), "but it is not stopped");
    assert!(m.actors[hog].cpu_time > 0);
    let back = m.set_online(1).unwrap();
    assert_eq!(back.placed, [m.actors[small].id]);
    assert_eq!(reserved_on(&m, small), Some(1));
    m.run_until(ms(2_100));
    let late = m.task(small, |t| t.stats.deadline_misses);
    m.run_until(ms(4_000));
    assert_eq!(m.task(small, |t| t.stats.deadline_misses), late, "from now on it meets its deadlines");
}

/// Three tasks of 55 % on three CPUs: on two, one is split; on one, two have no room.
#[test]
fn a_reservation_may_be_split_and_whole_again() {
    let mut m = Machine::new(3);
    let tasks: Vec<usize> = (0..3).map(|_| periodic(&mut m, 5_500, CpuMask::ALL)).collect();
    m.run_until(ms(95));
    assert!(m.set_offline(2).unwrap().displaced.is_empty());
    let split = |m: &Machine| tasks.iter().filter(|&&task| m.task(task, |t| t.is_split())).count();
    assert_eq!(split(&m), 1);
    m.run_until(ms(200));
    let misses = |m: &Machine| tasks.iter().map(|&task| m.task(task, |t| t.stats.deadline_misses)).sum::<u64>();
    let late = misses(&m);
    assert!(late <= 1, "the job that was under way may be late: {late}");
    m.run_until(ms(1_000));
    assert_eq!(misses(&m), late, "on two CPUs all deadlines hold");
    let answer = m.set_offline(1).unwrap();
    assert_eq!((answer.displaced.len(), split(&m)), (2, 0));
    m.run_until(ms(1_100));
    let _ = m.set_online(1).unwrap();
    assert_eq!(split(&m), 1, "on two CPUs again");
    m.run_until(ms(1_200));
    let late = misses(&m);
    m.run_until(ms(3_000));
    assert_eq!(misses(&m), late);
}

/// A share is reserved again elsewhere; without room for it, its task is one of its class.
#[test]
fn shares_move_too() {
    let mut m = Machine::new(2);
    let share = |m: &mut Machine, cpu| m.spawn(Intent::background().with_cpu_share(400, 0).with_affinity(on(cpu)), &[]);
    let (first, second) = (share(&mut m, 1), share(&mut m, 1));
    let there = m.spawn(Intent::batch().with_cpu_share(300, 0).with_affinity(on(0)), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(100));
    let answer = m.set_offline(1).unwrap();
    assert_eq!((answer.displaced.len(), answer.strays.len()), (1, 2));
    let (kept, lost) = if reserved_on(&m, first) == Some(0) { (first, second) } else { (second, first) };
    m.run_until(ms(1_100));
    let got = |m: &Machine, task: usize| m.actors[task].ran_between(ms(100), ms(1_100));
    assert!(got(&m, kept) >= ms(395) && got(&m, there) >= ms(295), "{} {}", got(&m, kept), got(&m, there));
    assert!(got(&m, lost) < ms(50), "{} of Background's turns", got(&m, lost));
    assert!(got(&m, batch) > ms(100));
    assert_eq!(m.set_online(1).unwrap().placed, [m.actors[lost].id]);
    assert_eq!(reserved_on(&m, lost), Some(1));
}

/// What a task on an offline CPU does before it leaves changes nothing about that.
#[test]
fn a_child_of_a_task_that_is_to_leave_goes_elsewhere() {
    let mut m = Machine::new(2);
    m.interrupt_delay = ms(2);
    let parent = m.spawn(Intent::batch().with_affinity(on(1)), &[]);
    m.run_until(ms(5));
    m.call(parent, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    let _ = m.set_offline(1).unwrap();
    assert_eq!(m.current(1), Some(parent), "it has not been interrupted yet");
    let spec = dis_core::api::TaskSpec::new("", Intent::batch(), 0);
    let child = m.try_spawn_from(Some(1), spec, &[]).unwrap();
    assert_eq!(m.executor.cpu_of(m.actors[child].id), Ok(0));
    m.run_until(ms(20));
    assert!(m.executor.is_vacant(1) && m.actors[child].cpu_time > ms(5));
}
