//! Split tasks: C=D pieces that go from CPU to CPU when their budgets are used up.

mod common;

use common::machine::{Machine, Op, Op::*};
use common::rng::{Replay, Rng};
use common::{ms, ns, us};
use dis_core::admission::{Assignment, Piece};
use dis_core::api::{BlockReason, CpuMask, TaskState, Timestamp};
use dis_core::executor::{Leave, Roused};
use dis_core::intent::{Intent, QueueType};
use dis_core::scheduler::Config;

/// CPUs on which nobody but Realtime gets anything: the window is so short that no share of it is a nanosecond.
fn whole(cpus: usize) -> Config {
    let mut config = Config::new(cpus);
    (config.limits.realtime, config.limits.system, config.limits.window) = (1000, 1, ns(999));
    config
}

/// Times in us.
fn realtime(wcet: u64, period: u64) -> Intent {
    Intent::realtime(period, period, wcet)
}

fn piece(cpu: usize, budget: u64, offset: u64, deadline: u64) -> Piece {
    Piece { cpu, budget: ns(us(budget)), offset: ns(us(offset)), deadline: ns(us(deadline)) }
}

fn assert_on_time(m: &Machine, tasks: &[usize]) {
    for &task in tasks {
        assert_eq!(m.task(task, |t| (t.stats.deadline_misses, t.stats.overruns)), (0, 0), "task {task}");
    }
}

/// Three tasks of 6 ms in 10, and one of 1 ms, on two CPUs: the third is split. Each job needs its whole wcet.
fn crowded() -> (Machine, [usize; 4]) {
    let mut m = Machine::new(2);
    let mut spawn = |wcet: u64| m.spawn(realtime(wcet, 10_000), &[Run(us(wcet)), NextPeriod]);
    let tasks = [spawn(6_000), spawn(6_000), spawn(6_000), spawn(100)];
    assert!(m.task(tasks[2], |t| t.is_split()));
    m.spawn(Intent::batch(), &[]);
    (m, tasks)
}

/// C/T = 2/3 three times on two CPUs: utilisation 2, nothing is left, and no task fits beside another on a CPU.
#[test]
fn three_tasks_of_two_thirds_fit_on_two_cpus() {
    let mut m = Machine::with(whole(2));
    let script = [Run(us(2)), NextPeriod];
    let (a, b) = (m.spawn(realtime(2, 3), &script), m.spawn(realtime(2, 3), &script));
    let split = Assignment::Split(vec![piece(0, 1, 0, 1), piece(1, 1, 1, 3)]);
    assert_eq!(m.executor.admission(&realtime(2, 3)), Ok(Some(split)));
    let c = m.spawn(realtime(2, 3), &script);
    m.run_until(us(301));
    m.reconcile();
    assert_on_time(&m, &[a, b, c]);
    let expected = |n: u64| [(us(3 * n), us(3 * n + 1), 0), (us(3 * n + 2), us(3 * n + 3), 1)];
    assert_eq!(m.actors[c].runs[..200], (0..100).flat_map(expected).collect::<Vec<_>>());
    assert_eq!((m.busy(0), m.busy(1)), (us(301), us(301)));
}

/// Beside a Batch hog under the caps; all jobs need all of their wcet.
#[test]
fn pieces_are_met_beside_lower_classes() {
    let (mut m, tasks) = crowded();
    m.run_until(ms(2_000));
    m.reconcile();
    assert_on_time(&m, &tasks);
    // Two moves each period: to the second CPU, and back.
    let moves = m.task(tasks[2], |t| t.stats.migrations);
    assert!((398..=401).contains(&moves), "{moves}");
}

/// Registers are saved late, and interrupts come late: no task is loaded twice (the machine sees to that), and what
/// moving costs is in the budget of the second piece.
#[test]
fn a_slow_host_moves_pieces() {
    let mut config = Config::new(2);
    config.limits.budget_overhead = ns(us(300));
    let mut m = Machine::with(config);
    (m.save_delay, m.interrupt_delay) = (us(40), us(40));
    let mut spawn = |wcet: u64| m.spawn(realtime(wcet, 10_000), &[Run(us(wcet)), NextPeriod]);
    let tasks = [spawn(5_000), spawn(5_000), spawn(5_000)];
    assert!(m.task(tasks[2], |t| t.is_split()));
    m.run_until(ms(2_000));
    m.reconcile();
    assert_on_time(&m, &tasks);
    assert!(m.task(tasks[2], |t| t.stats.migrations) > 390);
}

/// It is stopped when its last piece is over, and goes on with the first one in the next period: nobody else notices.
#[test]
fn an_overrun_hurts_only_itself() {
    let (mut m, tasks) = crowded();
    m.say(tasks[2], &[Run(ms(7)), NextPeriod]);
    m.run_until(ms(2_000));
    m.reconcile();
    assert_on_time(&m, &[tasks[0], tasks[1], tasks[3]]);
    assert!(m.task(tasks[2], |t| t.stats.overruns) > 100);
    // In each period of its own no more than its budget.
    for n in 0..199 {
        assert!(m.actors[tasks[2]].ran_between(ms(10 * n), ms(10 * n + 10)) <= ms(6), "period {n}");
    }
    assert!(m.actors[tasks[2]].cpu_time >= ms(1_190));
}

/// Whoever waits in mid-piece has the rest postponed: no CPU sees more of it than its piece.
#[test]
fn a_job_that_suspends_itself_hurts_only_itself() {
    let scripts: [&[Op]; 4] = [
        &[Run(us(500)), Sleep(us(3_300)), Run(us(5_500)), NextPeriod],
        &[Run(us(1_700)), Block(BlockReason::Io)],
        &[Run(us(3_000)), Yield, Sleep(us(1)), Run(us(900)), Sleep(us(8_000))],
        &[Run(us(6_000)), Sleep(us(9_100)), NextPeriod],
    ];
    for script in scripts {
        let (mut m, tasks) = crowded();
        m.say(tasks[2], script);
        for i in 1..1_500 {
            m.at(i * us(1_313), move |m| {
                let _ = m.unpark(2);
            });
        }
        m.run_until(ms(2_000));
        m.reconcile();
        assert_on_time(&m, &[tasks[0], tasks[1], tasks[3]]);
        assert!(m.actors[tasks[2]].cpu_time <= ms(1_206), "{script:?}");
    }
}

/// Woken in mid-piece, it begins anew with its first piece, on another CPU. The CPU that woke it sees to that at once, also if to wake it
/// and to leave was one question.
#[test]
fn whoever_wakes_it_directly_sends_it_where_it_begins_anew() {
    let leave = Leave::Block(BlockReason::Ipc, None);
    let decide = |directly: bool| {
        let (mut m, tasks) = crowded();
        (0..4).for_each(|_| _ = m.spawn(Intent::batch(), &[]));
        let split = tasks[2];
        m.say(split, &[Run(us(5_500)), Block(BlockReason::Io)]);
        m.run_until(ms(1));
        let first = m.task(split, |t| t.reserved_on());
        let cpu = 1 - first.unwrap();
        let waits = |m: &Machine| m.task(split, |t| (t.state(), t.reserved_on())) == (TaskState::Blocked, Some(cpu));
        let batch =
            |m: &Machine| m.current(cpu).is_some_and(|task| m.task(task, |t| t.urgency().class) == QueueType::Batch);
        while !(waits(&m) && batch(&m)) {
            m.run_for(us(50));
        }
        let (x, now, id) = (&m.executor, Timestamp::from_nanos(m.now), m.actors[split].id);
        let decided = if directly {
            x.unpark_and(cpu, now, id, leave)
        } else {
            assert!(x.unpark(now, id).unwrap().interrupt);
            x.schedule_at_length(cpu, now, leave).map(Roused::Decision)
        };
        assert_eq!(m.task(split, |t| t.reserved_on()), first);
        (decided.unwrap(), x.cpu_of(id))
    };
    assert_eq!(decide(true), decide(false));
}

/// A job that ends in its first piece, or in its second, has its next one begin on the first piece's CPU.
#[test]
fn early_ends_go_back() {
    let (mut m, tasks) = crowded();
    let jobs = [100, 2_900, 5_999, 3_100].into_iter().flat_map(|run| [Run(us(run)), NextPeriod]);
    m.say(tasks[2], &jobs.collect::<Vec<_>>());
    m.run_until(ms(2_000));
    m.reconcile();
    assert_on_time(&m, &tasks);
    let first = m.actors[tasks[2]].runs[0].2;
    for &(from, _, cpu) in m.actors[tasks[2]].runs.iter().filter(|run| run.0 % ms(10) == 0) {
        assert_eq!(cpu, first, "at {from}");
    }
}

/// A host that lets it run on for too long takes that from the next piece.
#[test]
fn late_timers_are_paid_for() {
    let mut m = Machine::new(2);
    (m.save_delay, m.interrupt_delay) = (us(400), us(400));
    let tasks: Vec<usize> = (0..3).map(|_| m.spawn(realtime(6_000, 10_000), &[])).collect();
    assert!(m.task(tasks[2], |t| t.is_split()));
    m.run_until(ms(2_000));
    m.reconcile();
    for task in tasks {
        assert!(m.actors[task].cpu_time <= ms(1_208), "{}", m.actors[task].cpu_time);
    }
}

#[test]
fn it_comes_changes_and_goes() {
    let reserved = |m: &Machine| m.executor.reserved_ppm().iter().sum::<u64>();
    let on = CpuMask::single;
    for when in [0, 500, 3_000, 4_500, 9_000] {
        let (mut m, tasks) = crowded();
        let split = tasks[2];
        m.run_until(ms(100) + us(when));
        // What fits nowhere but in pieces is not sent to one CPU.
        assert!(m.call(split, |x, now, id| x.set_affinity(now, id, on(1))).is_err());
        assert!(m.task(split, |t| t.is_split()));
        // Less fits whole, and becomes so; more is split again.
        m.set_intent(split, &realtime(2_000, 10_000)).unwrap();
        assert!(!m.task(split, |t| t.is_split()));
        m.run_for(ms(50));
        m.set_intent(split, &realtime(6_000, 10_000)).unwrap();
        assert!(m.task(split, |t| t.is_split()));
        m.run_for(ms(50));
        m.set_intent(split, &Intent::batch()).unwrap();
        assert_eq!((reserved(&m), m.task(split, |t| t.reserved_on())), (1_210_000, None));
        m.set_intent(split, &realtime(6_000, 10_000)).unwrap();
        m.run_for(ms(50) + us(when));
        // Its end gives back what it held on both CPUs.
        m.kill(split).unwrap();
        m.run_for(ms(10));
        assert_eq!((reserved(&m), m.state(split)), (1_210_000, TaskState::Terminated));
        let again = m.spawn(realtime(6_000, 10_000), &[Run(us(6_000)), NextPeriod]);
        assert!(m.task(again, |t| t.is_split()));
        m.run_for(ms(500));
        m.reconcile();
        assert_on_time(&m, &[tasks[0], tasks[1], tasks[3], again]);
    }
}

/// When there is room, a change of affinity makes a split task whole, and another splits it again, in mid-job.
#[test]
fn a_change_of_affinity_keeps_the_budget() {
    for when in [0, 700, 3_500, 6_500] {
        let (mut m, tasks) = crowded();
        let split = tasks[2];
        m.say(split, &[Run(ms(5)), NextPeriod]);
        m.run_until(ms(90));
        m.kill(tasks[1]).unwrap();
        m.run_until(ms(100) + us(when));
        let used = m.actors[split].cpu_time;
        for cpu in [1, 0, 1, 1, 0, 1] {
            let _ = m.call(split, |x, now, id| x.set_affinity(now, id, CpuMask::single(cpu)));
            let _ = m.call(split, |x, now, id| x.set_affinity(now, id, CpuMask::ALL));
            m.run_for(us(100));
        }
        m.run_for(ms(9));
        assert!(!m.task(split, |t| t.is_split()));
        assert!(m.actors[split].cpu_time - used <= ms(12), "one budget, and the next");
        m.run_for(ms(200));
        let late = m.task(split, |t| t.stats.deadline_misses);
        m.run_for(ms(500));
        m.reconcile();
        assert_on_time(&m, &[tasks[0], tasks[3]]);
        assert_eq!(m.task(split, |t| t.stats.deadline_misses), late, "it has recovered");
    }
}

/// What is admitted meets its deadlines, whole or split, up to the last nanosecond of utilisation.
#[test]
fn random_sets_that_are_admitted_miss_nothing() {
    let mut splits = 0;
    for seed in 1..=100 {
        let _replay = Replay(seed);
        let mut rng = Rng::new(seed);
        let cpus = 2 + rng.below(3) as usize;
        let mut m = Machine::with(whole(cpus));
        m.checked = seed % 10 == 0;
        let mut tasks = Vec::new();
        for _ in 0..40 {
            let period = *rng.of(&[3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30]);
            let wcet = 1 + rng.below(period * 3 / 4);
            let deadline = if rng.chance(300) { wcet + rng.below(period - wcet + 1) } else { period };
            let intent = Intent::realtime(period, deadline, wcet);
            if m.executor.admission(&intent).is_ok() {
                tasks.push(m.spawn(intent, &[Run(us(wcet)), NextPeriod]));
            }
        }
        splits += tasks.iter().filter(|&&task| m.task(task, |t| t.is_split())).count();
        // The hyperperiod is 120 us; synchronous release is the worst case on each CPU.
        m.run_until(us(3 * 120));
        if m.checked {
            m.reconcile();
        }
        assert_on_time(&m, &tasks);
    }
    assert!(splits > 60, "{splits}");
}
