//! Reservations by share (`cpu_min`): what they give, what they do not give, and what they cost others.

mod common;

use common::machine::{Machine, Op::*};
use common::rng::{Replay, Rng};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, SchedError, TaskSpec};
use dis_core::intent::{Intent, QueueType};
use dis_core::scheduler::{Config, Urgency};

const WINDOW: u64 = ms(10);

fn batch(min: u16) -> Intent {
    Intent::batch().with_cpu_share(min, 0)
}

/// The least that the task got of any two windows between two instants, whether they begin with a window or not.
fn least(m: &Machine, task: usize, from: u64, to: u64) -> u64 {
    (from..to - 2 * WINDOW)
        .step_by(us(250) as usize)
        .map(|t| m.actors[task].ran_between(t, t + 2 * WINDOW))
        .min()
        .unwrap()
}

/// The same of single windows of the caps.
fn least_window(m: &Machine, task: usize, from: u64, to: u64) -> u64 {
    let first = from.div_ceil(WINDOW);
    (first..to / WINDOW).map(|n| m.actors[task].ran_between(n * WINDOW, (n + 1) * WINDOW)).min().unwrap()
}

/// An interactive load of 40 % in bursts, and five Batch hogs.
fn crowded(intent: Intent) -> (Machine, usize) {
    let mut m = Machine::new(1);
    (0..5).for_each(|_| {
        m.spawn(Intent::batch(), &[]);
    });
    for _ in 0..2 {
        m.spawn(Intent::interactive(1_000), &[Run(ms(2)), Sleep(ms(8))]);
    }
    let task = m.spawn(intent, &[]);
    m.run_until(ms(4_000));
    m.reconcile();
    (m, task)
}

#[test]
fn a_crowded_cpu_gives_what_is_reserved() {
    let (m, task) = crowded(batch(300));
    assert!(least_window(&m, task, 0, ms(4_000)) >= ms(3));
    let share = m.actors[task].cpu_time;
    assert!(share >= ms(1_200) && share <= ms(1_250), "and, as more than its fair share, no more: {share}");
    // From anywhere in a window: at least the budget of one that lies within.
    assert!(least(&m, task, 0, ms(4_000)) >= ms(3));
    // What the others get is still shared evenly.
    let hogs: Vec<u64> = (0..5).map(|hog| m.actors[hog].cpu_time).collect();
    let spread = hogs.iter().max().unwrap() - hogs.iter().min().unwrap();
    assert!(spread <= ms(20), "{hogs:?}");
}

/// The control.
#[test]
fn without_a_reservation_it_does_not() {
    let (m, task) = crowded(batch(0));
    assert_eq!(least(&m, task, 0, ms(4_000)), 0);
    assert!(m.actors[task].cpu_time < ms(600));
}

/// Each class may reserve, and System leaves what is reserved.
#[test]
fn every_class_but_realtime_can_reserve() {
    for intent in [Intent::system(), Intent::interactive(500), Intent::batch(), Intent::background()] {
        let mut m = Machine::new(1);
        m.spawn(Intent::system(), &[]);
        m.spawn(Intent::system(), &[]);
        m.spawn(Intent::interactive(100), &[]);
        m.spawn(Intent::batch(), &[]);
        let class = intent.class.queue();
        let task = m.spawn(intent.with_cpu_share(400, 0), &[]);
        m.run_until(ms(2_000));
        m.reconcile();
        let least = least_window(&m, task, 0, ms(2_000));
        assert!(least >= ms(4), "{class}: {least}");
    }
}

#[test]
fn admission_counts_shares() {
    let mut m = Machine::new(2);
    let pinned = |min| TaskSpec::new("", batch(min).with_affinity(CpuMask::single(1)), 0);
    let first = m.try_spawn(pinned(600), &[]).unwrap();
    assert_eq!(m.try_spawn(pinned(500), &[]).unwrap_err(), SchedError::NoCpu);
    m.try_spawn(pinned(340), &[]).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [0, 940_000]);
    // Realtime is counted along with them, and the other CPU has room.
    let realtime = Intent::realtime(10_000, 10_000, 5_000);
    let here = TaskSpec::new("", realtime.clone().with_affinity(CpuMask::single(1)), 0);
    assert_eq!(m.try_spawn(here, &[]).unwrap_err(), SchedError::NoCpu);
    m.try_spawn(TaskSpec::new("", realtime, 0), &[]).unwrap();
    assert_eq!(m.try_spawn(TaskSpec::new("", batch(440), 0), &[]).unwrap_err(), SchedError::NoCpu);
    let loose = m.try_spawn(TaskSpec::new("", batch(400), 0), &[]).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [900_000, 940_000]);
    // It stays where its reservation is, and may not be sent where there is no room.
    let moved = m.call(loose, |x, now, id| x.set_affinity(now, id, CpuMask::single(1)));
    assert_eq!(moved.unwrap_err(), SchedError::NoCpu);
    // It gives back what it held, by its end or by a new intent.
    m.kill(first).unwrap();
    m.run_for(ms(10));
    assert_eq!(m.executor.reserved_ppm(), [900_000, 340_000]);
    m.call(loose, |x, now, id| x.set_affinity(now, id, CpuMask::single(1))).unwrap();
    m.run_for(ms(50));
    assert_eq!(m.executor.reserved_ppm(), [500_000, 740_000]);
    assert_eq!(m.set_intent(loose, &batch(601)).unwrap_err(), SchedError::NoCpu);
    m.set_intent(loose, &batch(600)).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [500_000, 940_000]);
    m.set_intent(loose, &batch(0)).unwrap();
    assert_eq!(m.executor.reserved_ppm(), [500_000, 340_000]);
}

#[test]
fn realtime_beside_it_misses_nothing() {
    let mut config = Config::new(1);
    config.limits.realtime = 1000;
    let mut m = Machine::with(config);
    // 95 % in all: two shares that are always wanted, one that sleeps in mid-window, and periods that fit nothing.
    m.spawn(batch(250), &[]);
    m.spawn(Intent::background().with_cpu_share(100, 0), &[]);
    m.spawn(Intent::interactive(1_000).with_cpu_share(100, 0), &[Run(us(700)), Sleep(us(1_300))]);
    let realtime: Vec<usize> = [(7_000, 1_400), (13_000, 2_600), (29_000, 2_900)]
        .into_iter()
        .map(|(period, wcet)| m.spawn(Intent::realtime(period, period, wcet), &[Run(us(wcet)), NextPeriod]))
        .collect();
    let hog = m.spawn(Intent::batch(), &[]);
    assert_eq!(m.executor.reserved_ppm(), [950_000]);
    m.run_until(ms(5_000));
    m.reconcile();
    for task in realtime {
        assert_eq!(m.task(task, |t| (t.stats.deadline_misses, t.stats.overruns)), (0, 0));
    }
    assert!(least_window(&m, 0, 0, ms(5_000)) >= us(2_500));
    assert!(least_window(&m, 1, 0, ms(5_000)) >= us(1_000));
    assert!(m.actors[hog].cpu_time > 0);
}

/// A share that is no more than the fair one changes nothing about how much each gets.
#[test]
fn nothing_is_added_to_a_fair_share() {
    for (hogs, min) in [(1, 300), (1, 490), (2, 200), (3, 100)] {
        for intent in [Intent::batch(), Intent::background()] {
            let mut m = Machine::new(1);
            let task = m.spawn(intent.clone().with_cpu_share(min, 0), &[]);
            (0..hogs).for_each(|_| {
                m.spawn(intent.clone(), &[]);
            });
            m.run_until(ms(6_000));
            m.reconcile();
            let fair = ms(6_000) / (hogs + 1);
            let got = m.actors[task].cpu_time;
            assert!(
                got.abs_diff(fair) <= ms(120),
                "{hogs} others, {min} of {}: {got}, not {fair}",
                intent.class.queue()
            );
            assert!(least_window(&m, task, 0, ms(6_000)) >= WINDOW / 1000 * u64::from(min));
        }
    }
}

/// Interactive work waits for what is left of the budgets, not longer.
#[test]
fn interactive_waits_for_a_budget_at_most() {
    let mut m = Machine::new(1);
    m.spawn(batch(300), &[]);
    let ui = m.spawn(Intent::interactive(1_000), &[Run(us(100)), Sleep(us(1_237))]);
    m.run_until(ms(3_000));
    m.reconcile();
    let waits: Vec<u64> = m.trace.iter().filter(|e| e.task == Some(ui) && e.switch).map(|e| e.waited).collect();
    let longest = waits.iter().copied().max().unwrap();
    assert!(longest > 0 && longest <= ms(3), "{longest}");
}

/// Of the window in which it wakes up a task gets its share of the rest.
#[test]
fn a_sleeper_gets_its_share_of_the_rest() {
    let mut m = Machine::new(1);
    m.spawn(Intent::interactive(50), &[]);
    m.spawn(Intent::interactive(50), &[]);
    let task = m.spawn(batch(400), &[Block(BlockReason::Event), Run(ms(1_000))]);
    m.run_until(ms(1_005));
    m.unpark(task).unwrap();
    m.run_until(ms(1_060));
    m.reconcile();
    let got = m.actors[task].ran_between(ms(1_005), ms(1_010));
    assert!(got >= ms(2), "{got}");
    for n in 1..5 {
        assert!(m.actors[task].ran_between(ms(1_000 + n * 10), ms(1_010 + n * 10)) >= ms(4));
    }
}

#[test]
fn a_cap_and_a_share_agree() {
    let mut m = Machine::new(1);
    m.spawn(Intent::interactive(50), &[]);
    m.spawn(Intent::batch(), &[]);
    let task = m.spawn(Intent::batch().with_cpu_share(300, 300), &[]);
    m.run_until(ms(2_000));
    m.reconcile();
    assert!(m.actors[task].cpu_time.abs_diff(ms(600)) <= ms(4), "{}", m.actors[task].cpu_time);
}

/// An intent that comes, changes and goes while the task runs, waits or sleeps.
#[test]
fn a_new_intent_changes_the_share() {
    let mut m = Machine::new(1);
    (0..5).for_each(|_| {
        m.spawn(Intent::batch(), &[]);
    });
    let task = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    for (start, min) in [(1_000, 500), (2_000, 300), (3_000, 0), (4_000, 700)] {
        m.set_intent(task, &batch(min)).unwrap();
        m.run_until(ms(start + 1_000));
        let got = m.actors[task].ran_between(ms(start), ms(start + 1_000));
        let expected = ms(u64::from(min)).max(ms(1_000) / 6);
        assert!(got.abs_diff(expected) <= ms(60), "{min}: {got}");
    }
    m.reconcile();
}

/// A loan above the reservation does not use it up as Realtime time, and a reservation goes on after it.
#[test]
fn a_loan_goes_before_and_comes_on_top() {
    let mut m = Machine::new(1);
    m.spawn(Intent::interactive(50), &[]);
    let task = m.spawn(batch(300), &[]);
    m.run_until(ms(500));
    let lent = Urgency { class: QueueType::System, priority: 0, deadline: at(0) };
    m.inherit(task, Some(lent)).unwrap();
    m.run_until(ms(1_000));
    assert!(m.actors[task].ran_between(ms(500), ms(1_000)) >= ms(230));
    // What it lends itself to others is its class, not its reservation.
    m.inherit(task, None).unwrap();
    assert_eq!(m.executor.urgency(m.actors[task].id).unwrap().class, QueueType::Batch);
    m.run_until(ms(2_000));
    m.reconcile();
    assert!(least_window(&m, task, ms(1_020), ms(2_000)) >= ms(3));
}

/// A task that is alone is not interrupted at the end of every window.
#[test]
fn whoever_is_alone_has_no_timer() {
    let mut m = Machine::new(1);
    m.spawn(batch(300), &[]);
    m.run_until(ms(1_000));
    assert_eq!(m.until(0), None);
    assert!(m.trace.len() <= 3, "{}", m.trace.len());
}

/// Late timers are paid for: on average nobody gets more than is reserved.
#[test]
fn a_slow_host_gives_no_more() {
    let mut m = Machine::new(1);
    (m.save_delay, m.interrupt_delay) = (us(300), us(300));
    m.spawn(Intent::interactive(50), &[]);
    (0..8).for_each(|_| {
        m.spawn(Intent::batch(), &[]);
    });
    let task = m.spawn(batch(300), &[]);
    m.run_until(ms(3_000));
    m.reconcile();
    let got = m.actors[task].cpu_time;
    assert!(got >= ms(880) && got <= ms(960), "{got}");
}

/// A random CPU with reservations by share, and the tasks that never sleep of those that have one.
fn random_cpu(rng: &mut Rng, realtime: bool) -> (Machine, Vec<(usize, u64)>) {
    let mut m = Machine::new(1);
    m.seed = rng.below(1 << 32);
    // The cap's remainder, 0.5 ms of each window, fits into the slack of Realtime tasks.
    let mut left = if realtime { 850 } else { 950 };
    let mut hogs = Vec::new();
    for _ in 0..1 + rng.below(5) {
        let share = 1 + rng.below(left / 2);
        left -= share;
        let intent = rng.of(&[Intent::batch(), Intent::background(), Intent::interactive(1_000)]).clone();
        let intent = intent.with_cpu_share(share as u16, 0);
        if rng.chance(600) {
            hogs.push((m.spawn(intent, &[]), share));
        } else {
            m.spawn(intent, &[Run(1 + rng.below(ms(6))), Sleep(1 + rng.below(ms(12)))]);
        }
    }
    if realtime {
        for _ in 0..1 + rng.below(3) {
            let period = 5_000 + rng.below(40_000);
            let wcet = 1 + period * rng.below(left / 2) / 1_000;
            left -= (wcet * 1_000).div_ceil(period);
            m.spawn(Intent::realtime(period, period, wcet), &[Run(us(wcet)), NextPeriod]);
        }
    } else {
        m.spawn(Intent::system(), &[Run(1 + rng.below(ms(8))), Sleep(1 + rng.below(ms(8)))]);
        m.spawn(Intent::system(), &[Run(1 + rng.below(ms(1))), Sleep(1 + rng.below(ms(3)))]);
    }
    for intent in [Intent::batch(), Intent::interactive(300), Intent::background()] {
        let script: &[_] = if rng.chance(500) { &[] } else { &[Run(ms(3)), Sleep(us(700)), Run(us(333)), Yield] };
        m.spawn(intent, script);
    }
    (m, hogs)
}

/// Whatever the others are: in every window what is reserved, beside System to the nanosecond.
#[test]
fn random_sets_get_what_they_reserved() {
    for seed in 1..=60 {
        let _replay = Replay(seed);
        let mut rng = Rng::new(seed);
        let realtime = rng.chance(500);
        let (mut m, hogs) = random_cpu(&mut rng, realtime);
        let end = ms(500);
        m.run_until(end);
        m.reconcile();
        let remainder = if realtime { us(500) } else { 0 };
        for (task, share) in hogs {
            let least = least_window(&m, task, 0, end);
            assert!(least + remainder >= WINDOW / 1_000 * share, "task {task}: {least} of {share} per mille");
        }
        assert_eq!(m.executor.stats().deadline_misses, 0);
    }
}
