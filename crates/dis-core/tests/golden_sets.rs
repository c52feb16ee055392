//! Task sets with known outcomes: worked examples of Linux's SCHED_DEADLINE, textbook sets, and small cases of other suites.
//! `docs/golden-schedules.md` lists all golden schedules.

mod common;

use common::lock::Lock;
use common::machine::{Machine, Op, Op::*};
use common::modules::with_builtin;
use common::rng::Rng;
use common::{at, ms};
use dis_core::api::{BlockReason, Duration, TaskId, TaskSpec};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;

/// Times in ms.
fn realtime(period: u64, deadline: u64, wcet: u64) -> Intent {
    Intent::realtime(period * 1_000, deadline * 1_000, wcet * 1_000)
}

/// A machine all of whose CPUs may be reserved: the window is so short that no share of it is a nanosecond.
fn whole(cpus: usize, modules: &SchedulerRegistry) -> Machine {
    let mut config = Config::new(cpus);
    (config.limits.realtime, config.limits.system, config.limits.window) = (1_000, 1, Duration::from_nanos(999));
    Machine::with_modules(config, modules)
}

fn misses(m: &Machine, task: usize) -> u64 {
    m.task(task, |t| t.stats.deadline_misses)
}

// Linux, Documentation/scheduler/sched-deadline.rst.

/// Section 2.2: two tasks of (4, 8), the first blocks at 2 and wakes at 8. With GRUB the second one runs until 8, six units on
/// a budget of four, as it reclaims what the first leaves. There is no reclaiming here: it is stopped when it has had four.
#[test]
fn two_servers_of_which_one_blocks() {
    let mut m = whole(1, &SchedulerRegistry::with_builtins());
    let first = m.spawn(realtime(8, 8, 4), &[Run(ms(2)), Block(BlockReason::Event), Run(ms(100))]);
    let second = m.spawn(realtime(8, 8, 4), &[Run(ms(100))]);
    m.at(ms(8), move |m| {
        m.unpark(first).unwrap();
    });
    m.run_until(ms(16));
    m.reconcile();
    let runs =
        |task: usize| m.actors[task].runs.iter().map(|&(from, to, _)| (from / ms(1), to / ms(1))).collect::<Vec<_>>();
    assert_eq!(runs(first), [(0, 2), (8, 12)], "8 is beyond its deadline: a new period, as in section 2.1");
    assert_eq!(runs(second), [(2, 6), (12, 16)]);
}

/// Section 2.1: who has used up his budget is throttled until his next period, also if his deadline comes earlier.
#[test]
fn a_depleted_budget_comes_back_with_the_period() {
    let mut m = Machine::new(1);
    let task = m.spawn(realtime(8, 4, 2), &[]);
    m.run_until(ms(20));
    m.reconcile();
    assert_eq!(m.actors[task].runs, [(0, ms(2), 0), (ms(8), ms(10), 0), (ms(16), ms(18), 0)]);
}

/// Section 4.4: `sched_yield` gives up the rest of the budget until the next period. Here the end of a job does that; a yield
/// only lets others of the same deadline go first.
#[test]
fn the_rest_of_a_budget_is_given_up_with_the_job() {
    let mut m = Machine::new(1);
    let task = m.spawn(realtime(10, 10, 4), &[Run(ms(1)), Yield, Run(ms(1)), NextPeriod]);
    m.run_until(ms(15));
    m.reconcile();
    assert_eq!(m.actors[task].runs, [(0, ms(2), 0), (ms(10), ms(12), 0)]);
}

/// Section 4: (50, 50, 100) and (10, 100, 100), released together: density 1.1, and yet all deadlines hold; the second task's
/// jobs take 60 at most.
#[test]
fn density_is_not_what_counts() {
    let mut m = whole(1, &SchedulerRegistry::with_builtins());
    let first = m.spawn(realtime(100, 50, 50), &[Run(ms(50)), NextPeriod]);
    let second = m.spawn(realtime(100, 100, 10), &[Run(ms(10)), NextPeriod]);
    m.run_until(ms(999));
    m.reconcile();
    assert_eq!((misses(&m, first), misses(&m, second)), (0, 0));
    assert_eq!((first_response(&m, first, 50), first_response(&m, second, 10)), (50, 60));
}

// Textbook sets.

/// A set of (C, T) under fixed priorities, rate-monotonic: the machine after `span` ms, and its tasks.
fn rate_monotonic(set: &[(u64, u64)], span: u64) -> (Machine, Vec<usize>) {
    run_set(set, span, &with_builtin(QueueType::Realtime, "priority"))
}

fn run_set(set: &[(u64, u64)], span: u64, modules: &SchedulerRegistry) -> (Machine, Vec<usize>) {
    let mut m = whole(1, modules);
    let spawn = |m: &mut Machine, &(c, t): &(u64, u64)| m.spawn(realtime(t, t, c), &[Run(ms(c)), NextPeriod]);
    let tasks: Vec<usize> = set.iter().map(|task| spawn(&mut m, task)).collect();
    for (&task, &(_, period)) in tasks.iter().zip(set) {
        m.call(task, |x, now, id| x.set_priority(now, id, period as u8)).unwrap();
    }
    m.run_until(ms(span));
    m.reconcile();
    (m, tasks)
}

/// When the first job of a task was finished, ms.
fn first_response(m: &Machine, task: usize, c: u64) -> u64 {
    let mut left = ms(c);
    for &(from, to, _) in &m.actors[task].runs {
        if to - from >= left {
            return (from + left) / ms(1);
        }
        left -= to - from;
    }
    panic!("task {task} has not finished a job");
}

/// (3, 7), (3, 12), (5, 20): responses 3, 6 and 20 (Joseph and Pandya, "Finding Response Times in a Real-Time System",
/// Computer Journal 29(5), 1986, give the recurrence; the first jobs of a synchronous release meet it).
#[test]
fn response_times_of_fixed_priorities() {
    let set = [(3, 7), (3, 12), (5, 20)];
    let (m, tasks) = rate_monotonic(&set, 420);
    let responses: Vec<u64> = tasks.iter().zip(set).map(|(&task, (c, _))| first_response(&m, task, c)).collect();
    assert_eq!(responses, [3, 6, 20]);
    assert!(tasks.iter().all(|&task| misses(&m, task) == 0));
}

/// The two tasks with which Liu and Layland (JACM 20(1), 1973, theorem 3) reach their bound, U = 2(√2 − 1) = 0.828: periods
/// 100 and 141, C1 = T2 − T1, C2 = 2·T1 − T2. A millisecond more is too much for fixed priorities, and little for EDF.
#[test]
fn the_bound_of_rate_monotonic() {
    for (c2, missed) in [(59, false), (60, true)] {
        let set = [(41, 100), (c2, 141)];
        let (m, tasks) = rate_monotonic(&set, 14_100);
        assert_eq!((misses(&m, tasks[0]), misses(&m, tasks[1]) > 0), (0, missed), "C2 = {c2}");
        let (m, tasks) = run_set(&set, 14_100, &SchedulerRegistry::with_builtins());
        assert!(tasks.iter().all(|&task| misses(&m, task) == 0), "EDF, C2 = {c2}");
    }
}

/// (2, 5) and (4, 7), U = 34/35: EDF meets all deadlines, rate-monotonic misses the one of 7 (Buttazzo, "Rate Monotonic vs.
/// EDF: Judgment Day", Real-Time Systems 29, 2005).
#[test]
fn edf_where_rate_monotonic_fails() {
    let set = [(2, 5), (4, 7)];
    let (m, tasks) = rate_monotonic(&set, 35);
    assert!(misses(&m, tasks[0]) == 0 && misses(&m, tasks[1]) > 0);
    let (m, tasks) = run_set(&set, 350, &SchedulerRegistry::with_builtins());
    assert!(tasks.iter().all(|&task| misses(&m, task) == 0));
}

/// Periods that divide one another: rate-monotonic too uses all of a CPU.
#[test]
fn harmonic_periods_fill_a_cpu() {
    let (m, tasks) = rate_monotonic(&[(1, 2), (1, 4), (2, 8)], 800);
    assert!(tasks.iter().all(|&task| misses(&m, task) == 0));
    assert_eq!(m.busy(0), ms(800));
}

/// Dhall and Liu ("On a Real-Time Scheduling Problem", Operations Research 26(1), 1978): m short tasks with deadlines just
/// before that of one which needs a whole CPU. Global EDF gives all CPUs to the short ones first and misses; here each task has
/// its CPU.
#[test]
fn the_dhall_effect_is_not_there() {
    for cpus in [2, 4, 8] {
        let mut m = whole(cpus, &SchedulerRegistry::with_builtins());
        let mut tasks: Vec<usize> =
            (0..cpus).map(|_| m.spawn(realtime(99, 99, 1), &[Run(ms(1)), NextPeriod])).collect();
        tasks.push(m.spawn(realtime(100, 100, 100), &[Run(ms(100)), NextPeriod]));
        m.run_until(ms(1_999));
        m.reconcile();
        assert!(tasks.iter().all(|&task| misses(&m, task) == 0), "{cpus}");
        assert_eq!(m.actors[tasks[cpus]].cpu_time, ms(1_999), "{cpus}");
    }
}

// Other suites.

/// Zephyr, tests/kernel/sched/deadline: threads with random deadlines of 30 bits run in their order.
#[test]
fn random_deadlines_run_in_order() {
    let mut rng = Rng::new(1);
    for _ in 0..100 {
        let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
        let mut deadlines: Vec<(u64, TaskId)> = (0..8)
            .map(|i| {
                let deadline = 1_000 + rng.below(1 << 30);
                let spec = TaskSpec::new("", Intent::realtime(deadline, deadline, 1), i);
                (deadline, x.spawn(at(0), None, spec).unwrap().0)
            })
            .collect();
        deadlines.sort_unstable();
        for (deadline, id) in deadlines {
            assert_eq!(x.schedule(0, at(0), Leave::Ask).unwrap().next.map(|next| next.id), Some(id), "{deadline}");
            x.switched(0);
            x.schedule(0, at(0), Leave::Exit(0)).unwrap();
            x.switched(0);
        }
    }
}

/// LTP, testcases/realtime/func/sched_football: as many defenders as CPUs; whoever plays offense, with a lower priority, gets
/// no CPU while they play.
#[test]
fn the_offense_never_gets_the_ball() {
    for cpus in [1, 2, 4] {
        let mut m = Machine::new(cpus);
        let players = |m: &mut Machine, number: usize, priority: u8, script: &[Op]| -> Vec<usize> {
            let spawn = |_| {
                let task = m.spawn(Intent::system(), script);
                m.call(task, |x, now, id| x.set_priority(now, id, priority)).unwrap();
                task
            };
            (0..number).map(spawn).collect()
        };
        let offense = players(&mut m, 2 * cpus, 15, &[]);
        m.run_until(ms(3));
        let defense = players(&mut m, cpus, 14, &[Run(ms(50)), Exit(0)]);
        m.run_until(ms(4));
        m.reconcile();
        let ball = |m: &Machine| offense.iter().map(|&task| m.actors[task].cpu_time).sum::<u64>();
        let kick_off = ball(&m);
        m.run_until(ms(50));
        m.reconcile();
        assert_eq!(ball(&m) - kick_off, 0, "{cpus} CPUs");
        assert!(defense.iter().all(|&task| m.actors[task].cpu_time >= ms(46)), "{cpus} CPUs");
    }
}

/// XNU, tests/sched/clutch_runqueue.c, `runq_diff_root_bucket`, its first part: one task of each class, ready at one instant
/// in whatever order, leave in the order of the classes.
#[test]
fn classes_leave_in_their_order_whatever_the_order_of_arrival() {
    let intents =
        [Intent::system(), realtime(100, 100, 1), Intent::interactive(1_000), Intent::batch(), Intent::background()];
    for permutation in 0..120 {
        let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
        let (mut rest, mut number) = ((0..5).collect::<Vec<usize>>(), permutation);
        for left in (1..=5).rev() {
            let class = rest.remove(number % left);
            number /= left;
            let _ = x.spawn(at(0), None, TaskSpec::new("", intents[class].clone(), class as u32)).unwrap();
        }
        let mut order = Vec::new();
        let mut leave = Leave::Ask;
        while let Some(next) = x.schedule(0, at(0), leave).unwrap().next {
            x.switched(0);
            assert_eq!(next.class, QueueType::ALL[next.context as usize]);
            order.push(next.context);
            leave = Leave::Exit(0);
        }
        assert_eq!(order, [0, 1, 2, 3, 4], "permutation {permutation}");
    }
}
