//! Regressions of peers: what went wrong in other schedulers, restated as what must hold here. Each test names the issue.

mod common;

use common::machine::{Machine, Op::*};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, Duration, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::optimizer::Limits;
use dis_core::scheduler::{Config, Urgency};

/// Times in ms.
fn realtime(period: u64, deadline: u64, wcet: u64) -> Intent {
    Intent::realtime(period * 1_000, deadline * 1_000, wcet * 1_000)
}

fn misses(m: &Machine, task: usize) -> u64 {
    m.task(task, |t| t.stats.deadline_misses)
}

fn one_cpu(change: impl FnOnce(&mut Limits)) -> Machine {
    let mut config = Config::new(1);
    change(&mut config.limits);
    Machine::with(config)
}

// Deadlines.

/// zephyrproject-rtos/zephyr#109477: deadlines of 32 bits wrapped within minutes. What counts is the distance of deadlines,
/// at either end of the range.
#[test]
fn deadlines_are_ordered_at_both_ends_of_time() {
    let ends = [0, u64::from(u32::MAX) - us(5), 1 << 53, u64::MAX / 2, u64::MAX - ms(1_000)];
    for origin in ends {
        let mut m = Machine::new(1);
        m.run_until(origin);
        let late = m.spawn(realtime(50, 40, 10), &[Run(ms(10)), NextPeriod]);
        let early = m.spawn(realtime(50, 20, 10), &[Run(ms(10)), NextPeriod]);
        m.spawn(Intent::batch(), &[]);
        m.run_until(origin + ms(900));
        m.reconcile();
        assert_eq!((misses(&m, late), misses(&m, early)), (0, 0), "from {origin}");
        assert!(m.actors[early].runs[0].0 < m.actors[late].runs[0].0 + ms(10));
        assert_eq!(m.actors[late].ran_between(origin, origin + ms(900)), ms(180), "from {origin}");
    }
}

/// zephyrproject-rtos/zephyr#31508, PR 109666: its comparison needs all queued deadlines to lie within half the range. Here
/// they may be a millisecond or 200 years away at once.
#[test]
fn deadlines_may_be_any_distance_apart() {
    let day = 86_400_000;
    let mut m = Machine::new(1);
    let mut tasks: Vec<(u64, usize)> = [200 * 365 * day, day, 5_000, 4_294, 4_295, 20, 75 * 365 * day]
        .into_iter()
        .map(|period| (period, m.spawn(realtime(period, period, 1), &[Run(ms(1)), NextPeriod])))
        .collect();
    m.run_until(ms(10));
    m.reconcile();
    tasks.sort_unstable();
    let starts: Vec<u64> = tasks.iter().map(|&(_, task)| m.actors[task].runs[0].0).collect();
    assert_eq!(starts, (0..7).map(ms).collect::<Vec<_>>(), "by deadline, whatever the order of their ids");
}

/// zephyrproject-rtos/zephyr PR 69984: a deadline that changed while its task was queued corrupted the tree.
#[test]
fn deadlines_change_while_queued() {
    let mut rng = common::rng::Rng::new(5);
    let mut m = Machine::new(1);
    m.spawn(Intent::system(), &[Run(ms(5)), Sleep(ms(1))]);
    let tasks: Vec<usize> = (0..40).map(|_| m.spawn(Intent::interactive(50_000), &[])).collect();
    for _ in 0..2_000 {
        let task = *rng.of(&tasks);
        let deadline = at(m.now + rng.below(ms(40)));
        let lent = Urgency { class: QueueType::Realtime, priority: rng.below(256) as u8, deadline };
        let lent = rng.chance(800).then_some(lent);
        m.inherit(task, lent).unwrap();
        m.run_for(rng.below(us(300)));
        // The order is checked by the machine, at every decision.
    }
    let served = m.trace.iter().filter(|e| e.class == Some(QueueType::Realtime)).count();
    assert!(served > 100, "{served}");
}

/// embassy-rs/embassy#4666: a priority that changed while its task was queued broke the order for good.
#[test]
fn priorities_change_while_queued() {
    let mut rng = common::rng::Rng::new(7);
    for seed in 0..50 {
        let mut m = Machine::new(1);
        let first = m.spawn(Intent::system(), &[Run(us(100)), Exit(0)]);
        let mut waiting: Vec<(u8, usize)> =
            (0..20).map(|_| (0, m.spawn(Intent::system(), &[Run(us(10)), Exit(0)]))).collect();
        for _ in 0..100 {
            let (priority, task) = &mut waiting[rng.below(20) as usize];
            // No two alike, so that the order is determined.
            *priority = (1 + rng.below(12) * 20 + *task as u64) as u8;
            let priority = *priority;
            m.call(*task, |x, now, id| x.set_priority(now, id, priority)).unwrap();
        }
        // Whoever has got a better one runs at once; nobody has a better one than the first, whose own is 0.
        let unchanged: Vec<usize> = waiting.iter().filter(|w| w.0 == 0).map(|w| w.1).collect();
        waiting.sort_unstable();
        m.run_until(ms(1));
        let mut order: Vec<(u64, usize)> =
            (waiting.iter().map(|w| w.1)).map(|task| (m.actors[task].runs[0].0, task)).collect();
        assert_eq!(m.actors[first].runs[0].0, 0);
        order.sort_unstable();
        let order: Vec<usize> = order.into_iter().map(|(_, task)| task).collect();
        assert_eq!(order, waiting.iter().map(|w| w.1).collect::<Vec<_>>(), "{seed} {unchanged:?}");
    }
}

/// zephyrproject-rtos/zephyr#79361: deadlines set in an interrupt did not count until the next point at which threads were
/// scheduled. Here the answer says which CPU must ask, also if that CPU is just about to switch and cannot.
#[test]
fn a_deadline_set_by_an_interrupt_during_a_switch_counts() {
    for change_runner in [false, true] {
        let x = Executor::<u32, common::lock::Lock>::new(Config::new(1)).unwrap();
        let spawn = |deadline, context| x.spawn(at(0), None, TaskSpec::new("", realtime(100, deadline, 1), context));
        let ids: Vec<TaskId> = (0..3).map(|i| spawn(10 + 10 * u64::from(i), i).unwrap().0).collect();
        let next = |t, leave| x.schedule(0, at(t), leave).unwrap().next.map(|next| next.context);
        assert_eq!(next(0, Leave::Ask), Some(0));
        x.switched(0);
        assert_eq!(next(us(10), Leave::Block(BlockReason::Io, None)), Some(1));
        // The registers of 0 are not saved yet. Now 2 becomes the most urgent, or 1, just chosen, the least.
        let wake = if change_runner {
            x.set_intent(at(us(10)), ids[1], &realtime(100, 90, 1)).unwrap()
        } else {
            let lent = Urgency { class: QueueType::Realtime, priority: 10, deadline: at(ms(5)) };
            x.inherit(at(us(10)), ids[2], Some(lent)).unwrap()
        };
        assert!(wake.cpu == 0 && wake.interrupt, "{wake:?}");
        x.switched(0);
        assert_eq!(next(us(11), Leave::Ask), Some(2), "the interrupt finds what has changed");
    }
}

/// As above from another CPU, at random, while registers are saved and interrupts are under way: the order is checked by
/// the machine whenever nothing is under way.
#[test]
fn deadlines_set_by_others_at_any_instant_count() {
    let mut rng = common::rng::Rng::new(11);
    let mut m = Machine::new(2);
    (m.save_delay, m.interrupt_delay) = (us(40), us(20));
    let pinned = |intent: Intent| intent.with_affinity(CpuMask::single(0));
    let tasks: Vec<usize> =
        (0..8).map(|_| m.spawn(pinned(Intent::interactive(9_000)), &[Run(us(150)), Sleep(us(400))])).collect();
    for _ in 0..3_000 {
        let task = *rng.of(&tasks);
        let deadline = at(m.now + rng.below(ms(2)));
        m.inherit(task, Some(Urgency { class: QueueType::Realtime, priority: 10, deadline })).unwrap();
        m.run_for(rng.below(us(120)));
    }
    assert!(m.switches > 1_000, "{}", m.switches);
}

/// zephyrproject-rtos/zephyr#69429, PR 119417 (and its test `test_unqueued`): a deadline for a task that is not ready does
/// not make it ready, and a task is never queued with the deadline that it had before its first.
#[test]
fn a_deadline_starts_nobody() {
    let mut m = Machine::new(1);
    let spec = TaskSpec { start: Some(at(ms(50))), ..TaskSpec::new("", realtime(100, 100, 1), 0) };
    let later = m.try_spawn(spec, &[Run(ms(1)), NextPeriod]).unwrap();
    let blocked = m.spawn(Intent::interactive(1_000), &[Block(BlockReason::Event), Run(ms(1))]);
    m.run_until(ms(1));
    let lent = Urgency { class: QueueType::Realtime, priority: 0, deadline: at(ms(2)) };
    m.set_intent(later, &realtime(100, 10, 1)).unwrap();
    for task in [later, blocked] {
        m.inherit(task, Some(lent)).unwrap();
    }
    m.run_until(ms(49));
    m.reconcile();
    assert_eq!((m.state(later), m.actors[later].cpu_time), (TaskState::Sleeping, 0));
    assert_eq!((m.state(blocked), m.actors[blocked].cpu_time), (TaskState::Blocked, 0));
    m.inherit(later, None).unwrap();
    m.run_until(ms(50));
    assert_eq!(m.task(later, |t| t.deadline), Some(at(ms(60))), "the first one, from the release on");
    m.run_until(ms(52));
    m.reconcile();
    assert_eq!(m.actors[later].ran_between(ms(50), ms(51)), ms(1));
}

// Latency and fairness.

/// DataDog/glommio PR 484: the preemption timer was that of the queues which were ready, so a queue with a latency of 1 ms
/// that waited for the disk waited for 100 ms more. Here whoever is blocked still bounds the slice of whoever runs.
#[test]
fn a_sleeper_is_not_kept_waiting_by_a_slice() {
    let mut m = one_cpu(|_| {});
    for _ in 0..3 {
        m.spawn(Intent::batch(), &[]);
    }
    let ui = m.spawn(Intent::interactive(1_000), &[Run(us(100)), Sleep(us(3_300))]);
    let external = m.spawn(Intent::interactive(1_000), &[Run(us(100)), Block(BlockReason::Io)]);
    for i in 1..200 {
        m.at(i * us(4_567), move |m| {
            let _ = m.unpark(external);
        });
    }
    m.run_until(ms(1_000));
    m.reconcile();
    for task in [ui, external] {
        let waits: Vec<u64> = m.trace.iter().filter(|e| e.task == Some(task)).map(|e| e.waited).collect();
        assert!(waits.len() > 190 && waits.iter().all(|&w| w <= us(100)), "{:?}", waits.iter().max());
    }
}

/// DataDog/glommio PR 539: a queue with many tasks kept the CPU for all of them, also when another queue was behind.
#[test]
fn shares_are_per_task_whatever_the_crowd() {
    let mut m = one_cpu(|_| {});
    for _ in 0..50 {
        m.spawn(Intent::batch(), &[]);
    }
    m.run_until(ms(2_000));
    let late = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(2_000 + 51 * 20 * 10));
    m.reconcile();
    let used = m.actors[late].cpu_time;
    assert!(used.abs_diff(ms(200)) <= ms(20), "{used}: neither more nor less than the others");
}

/// The same between classes: a crowd of short Interactive tasks, each within its credit, keeps nobody else from his turn.
#[test]
fn a_crowd_of_one_class_does_not_keep_the_cpu() {
    let mut m = one_cpu(|_| {});
    for i in 0..60 {
        let spec = TaskSpec { start: Some(at(us(i * 250))), ..TaskSpec::new("", Intent::interactive(5_000), 0) };
        m.try_spawn(spec, &[Run(us(300)), Sleep(ms(15))]).unwrap();
    }
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(800));
    m.reconcile();
    assert!(m.actors[batch].longest_gap(0, ms(800)) <= ms(75 + 3), "{}", m.actors[batch].longest_gap(0, ms(800)));
}

/// tokio-rs/tokio PR 5712 (and 2349, 5686): two tasks that wake each other for ever must not starve a third.
#[test]
fn a_ping_pong_pair_does_not_starve_a_third() {
    // The third hogs: among Interactive tasks that do not, it has Batch's turns.
    for (intent, third_gets) in
        [(Intent::batch(), ms(330)), (Intent::background(), ms(330)), (Intent::interactive(1_000), ms(60))]
    {
        let mut m = one_cpu(|_| {});
        let wait = Block(BlockReason::Event);
        m.spawn(intent.clone(), &[Run(us(20)), Unpark(1), wait]);
        m.spawn(intent.clone(), &[wait, Run(us(20)), Unpark(0)]);
        let third = m.spawn(intent.clone(), &[Run(us(50)), Yield]);
        m.run_until(ms(1_000));
        m.reconcile();
        assert!(m.actors[third].cpu_time >= third_gets, "{intent:?}: {}", m.actors[third].cpu_time);
        assert!(m.actors[third].longest_gap(0, ms(1_000)) <= ms(98));
    }
}

/// tokio-rs/tokio#4941: a task that its worker keeps for itself to run next waits there while other workers idle.
#[test]
fn an_idle_cpu_takes_the_task_that_was_just_woken() {
    let mut m = Machine::new(2);
    let woken = m.spawn(Intent::batch(), &[Block(BlockReason::Event), Run(ms(1))]);
    m.run_until(us(10));
    let home = m.executor.cpu_of(m.actors[woken].id).unwrap();
    let here = Intent::batch().with_affinity(CpuMask::single(home));
    m.spawn(here, &[Run(us(50)), Unpark(woken), Run(ms(20))]);
    m.run_until(ms(5));
    m.reconcile();
    assert_eq!(m.actors[woken].runs.last().map(|run| (run.0, run.2)), Some((us(60), 1 - home)));
}

/// scylladb/seastar#1430: a request of a high class preempts on its own shard only. awkernel#655: inversion between the
/// schedulers of two CPUs.
#[test]
fn a_high_class_preempts_wherever_a_lower_one_runs() {
    let intents = [Intent::system(), Intent::interactive(1_000), Intent::batch(), Intent::background()];
    for (high, urgent) in intents.iter().enumerate().take(2) {
        for low in &intents[high + 1..] {
            for home in 0..3 {
                for victim in (0..3).filter(|&cpu| cpu != home) {
                    let mut m = Machine::new(3);
                    for cpu in 0..3 {
                        let runs = if cpu == victim { low } else { urgent };
                        m.spawn(runs.clone().with_affinity(CpuMask::single(cpu)), &[]);
                    }
                    m.run_until(us(10));
                    let free = urgent.clone().with_affinity([home, victim].into_iter().collect());
                    let spec = TaskSpec::new("", free, 0);
                    let task = m.try_spawn_from(Some(home), spec, &[Run(us(100)), Exit(0)]).unwrap();
                    m.run_until(us(10));
                    assert_eq!(m.current(victim), Some(task), "{urgent:?} on {victim} over {low:?}, from {home}");
                }
            }
        }
    }
}

// Starvation and overruns.

/// sched-ext/scx#1202 (and the kernel's selftest rt_stall): a hog of a high class stalls the tasks of the lower ones on its
/// CPU until a watchdog ends the scheduler. Here each class below gets what `docs/guarantees.md` says; without limits it
/// gets nothing.
#[test]
fn a_hog_of_a_high_class_starves_nobody() {
    let realtime = Intent::realtime(10_000, 10_000, 9_300);
    // Hog, class below, least share of the latter in ms of 2 s.
    let cases = [
        (Intent::system(), realtime.clone(), 1_850),
        (Intent::system(), Intent::interactive(1_000), 1_000),
        (Intent::system(), Intent::background(), 1_000),
        (realtime.clone(), Intent::batch(), 100),
        (realtime, Intent::background(), 100),
        (Intent::batch(), Intent::background(), 20),
    ];
    for (hog, other, least) in cases {
        let mut m = one_cpu(|_| {});
        m.spawn(hog.clone(), &[]);
        let low = m.spawn(other.clone(), &[]);
        m.run_until(ms(2_000));
        m.reconcile();
        assert!(m.actors[low].cpu_time >= ms(least), "{other:?} beside {hog:?}: {}", m.actors[low].cpu_time);

        if other.class.queue() == QueueType::Realtime {
            // Its reservation protects it from System, whatever the limits.
            continue;
        }
        let hour = Duration::from_secs(3_600);
        let mut m = one_cpu(|limits| {
            (limits.system, limits.realtime) = (1_000, 1_000);
            (limits.batch_wait, limits.background_wait) = (hour, hour);
        });
        let hog_task = m.spawn(Intent::batch(), &[]);
        let class = hog.class.queue();
        let lent = Urgency { class, priority: 0, deadline: at(0) };
        m.inherit(hog_task, (class != QueueType::Batch).then_some(lent)).unwrap();
        let low = m.spawn(other.clone(), &[]);
        m.run_until(ms(2_000));
        m.reconcile();
        assert_eq!(m.actors[low].cpu_time, 0, "{other:?} beside {hog:?} without limits");
    }
}

/// All classes want the whole CPU at once: each lives.
#[test]
fn five_hogs_all_live() {
    let mut m = one_cpu(|_| {});
    let intents = [
        Intent::system(),
        Intent::realtime(10_000, 10_000, 4_500),
        Intent::interactive(1_000),
        Intent::batch(),
        Intent::background(),
    ];
    let tasks: Vec<usize> = intents.into_iter().map(|intent| m.spawn(intent, &[])).collect();
    m.run_until(ms(10_000));
    m.reconcile();
    let used: Vec<u64> = tasks.iter().map(|&task| m.actors[task].cpu_time).collect();
    // System has what Realtime can spare, twice at once, of its half; Realtime its budget. The cap leaves half a millisecond of each window to the rest, so that much of
    // each of its turns to Batch (every 80 ms at the latest) and to Background (253 ms).
    assert_eq!(used[..2], [ms(2_500), ms(4_500)], "{used:?}");
    assert!(used[3] >= us(500 * 10_000 / 98) && used[4] >= us(500 * 10_000 / 275), "{used:?}");
    assert_eq!(used.iter().sum::<u64>(), ms(10_000));
}

/// A Realtime task that overruns (LITMUS^RT tests/sched.c, `jobs_are_rate_limited`): its budget stops it, so neither another
/// Realtime task nor Batch notices; where it has none, the cap still leaves Batch a twentieth; without both, nothing is left.
#[test]
fn a_realtime_overrun_with_and_without_cap_and_budget() {
    let run = |cap: u16, budget: bool| {
        let mut m = one_cpu(|limits| limits.realtime = cap);
        let hog = m.spawn(if budget { realtime(10, 10, 4) } else { Intent::batch() }, &[]);
        let lent = Urgency { class: QueueType::Realtime, priority: 0, deadline: at(0) };
        m.inherit(hog, (!budget).then_some(lent)).unwrap();
        let other = m.spawn(realtime(10, 10, 5), &[Run(ms(5)), NextPeriod]);
        let batch = m.spawn(Intent::batch(), &[]);
        m.run_until(ms(1_000));
        m.reconcile();
        (m.actors[hog].cpu_time, misses(&m, other), m.actors[batch].cpu_time)
    };
    assert_eq!(run(950, true), (ms(400), 0, ms(100)), "budget and cap");
    assert_eq!(run(1_000, true), (ms(400), 0, ms(100)), "the budget alone");
    let (hog, _, batch) = run(950, false);
    assert_eq!((hog, batch), (ms(950), ms(50)), "the cap alone does not protect Realtime, but Batch");
    assert_eq!(run(1_000, false).2, 0, "neither");
}

/// Who asks for intents may be lied to; XNU (doc/scheduler/sched_clutch_edge.md, "interactivity score") therefore compares
/// what a group of threads has used with how long it was blocked. A task that declares itself Interactive and hogs has its
/// credit, then half of what is left, as a Batch task has beside another; whoever really is Interactive waits for its target
/// and one slice of the hog at most. With credit without end, Batch would have its turns only.
#[test]
fn a_hog_declared_interactive_gains_nothing() {
    for (credit, most) in [(Duration::from_millis(8), ms(1_010)), (Duration::from_secs(3_600), ms(2_000))] {
        let mut m = one_cpu(|limits| limits.interactive_burst = credit);
        let hog = m.spawn(Intent::interactive(100), &[]);
        let honest = m.spawn(Intent::interactive(2_000), &[Run(us(200)), Sleep(ms(9))]);
        let batch = m.spawn(Intent::batch(), &[]);
        m.run_until(ms(2_000));
        m.reconcile();
        let limited = credit < Duration::from_secs(1);
        assert!(m.actors[hog].cpu_time <= most, "{}", m.actors[hog].cpu_time);
        let (batch, turns) = (m.actors[batch].cpu_time, ms(2_000) * 5 / 80);
        assert_eq!(batch >= ms(900), limited, "{batch}");
        assert!(batch >= turns - ms(5), "{batch}: its turns at least");
        let waits: Vec<u64> = m.trace.iter().filter(|e| e.task == Some(honest)).map(|e| e.waited).collect();
        assert!(waits.len() > 150 && waits.iter().all(|&w| w <= ms(2 + 4)), "{:?}", waits.iter().max());
    }
}
