//! The order between classes and what bounds it: each guarantee of `docs/guarantees.md`, and that it breaks when its
//! limit is taken away.

mod common;

use common::machine::{Machine, Op::*, default_wait_bounds};
use common::{ms, us};
use dis_core::api::{Duration, TaskSpec, TaskState, Timestamp};
use dis_core::executor::Reason;
use dis_core::intent::{Intent, QueueType};
use dis_core::optimizer::Limits;
use dis_core::scheduler::{Config, Urgency};

fn one_cpu(change: impl FnOnce(&mut Limits)) -> Machine {
    let mut config = Config::new(1);
    change(&mut config.limits);
    Machine::with(config)
}

/// Interactive tasks that together want a whole CPU and are never without credit.
fn saturate_with_interactive(m: &mut Machine) {
    for i in 0..10 {
        let mut spec = TaskSpec::new("", Intent::interactive(5_000), 0);
        spec.start = Some(common::at(ms(i)));
        m.try_spawn(spec, &[Run(ms(1)), Sleep(ms(9))]).unwrap();
    }
    // And two for the moments in which all of those sleep.
    for _ in 0..2 {
        m.spawn(Intent::interactive(20_000), &[Run(us(400)), Sleep(us(600))]);
    }
}

#[test]
fn system_leaves_half_of_each_window() {
    let mut m = one_cpu(|_| {});
    let system = m.spawn(Intent::system(), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    m.reconcile();
    for window in 0..100 {
        let (from, to) = (ms(window * 10), ms(window * 10 + 10));
        assert_eq!(m.actors[system].ran_between(from, to), ms(5), "window {window}");
        assert_eq!(m.actors[batch].ran_between(from, to), ms(5), "window {window}");
    }
}

#[test]
fn without_caps_system_starves_the_rest() {
    let mut m = one_cpu(|limits| (limits.system, limits.realtime) = (1000, 1000));
    m.spawn(Intent::system(), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert_eq!(m.actors[batch].cpu_time, 0);
}

/// System arrives in the middle of a window, or long after the last one: what it may use is the same.
#[test]
fn caps_hold_from_any_instant() {
    for start in [0, us(1), ms(3), ms(5), us(9_999), ms(10), ms(1_234)] {
        let mut m = one_cpu(|_| {});
        let batch = m.spawn(Intent::batch(), &[]);
        let mut spec = TaskSpec::new("", Intent::system(), 0);
        spec.start = Some(common::at(start));
        let system = m.try_spawn(spec, &[]).unwrap();
        m.run_until(start + ms(200));
        m.reconcile();
        for window in start / ms(10)..(start + ms(200)) / ms(10) {
            let used = m.actors[system].ran_between(window * ms(10), (window + 1) * ms(10));
            assert!(used <= ms(5), "{used} in window {window}, from {start}");
        }
        assert!(m.actors[batch].longest_gap(start, start + ms(200)) <= ms(10), "from {start}");
    }
}

/// What a task used before anybody waited is not held against it; what it used since then is, to the nanosecond.
#[test]
fn a_lone_run_before_the_window_does_not_count() {
    let mut m = one_cpu(|_| {});
    let realtime = m.spawn(Intent::realtime(20_000, 20_000, 18_000), &[Run(ms(17)), NextPeriod]);
    m.at(ms(12), |m| {
        m.spawn(Intent::batch(), &[]);
    });
    m.run_until(ms(200));
    m.reconcile();
    assert_eq!(m.task(realtime, |t| t.stats.deadline_misses), 0);
    assert!(m.actors[realtime].ran_between(ms(10), ms(20)) >= us(6_999));
}

#[test]
fn realtime_and_system_together_leave_a_twentieth() {
    let mut m = one_cpu(|_| {});
    let realtime = m.spawn(Intent::realtime(10_000, 10_000, 9_000), &[Run(ms(9)), NextPeriod]);
    let system = m.spawn(Intent::system(), &[]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.wait_bounds[3] = Some(ms(10));
    m.run_until(ms(2_000));
    m.reconcile();
    assert!(m.actors[batch].cpu_time >= ms(100), "{}", m.actors[batch].cpu_time);
    for window in 0..200 {
        let (from, to) = (ms(window * 10), ms(window * 10 + 10));
        let high = m.actors[realtime].ran_between(from, to) + m.actors[system].ran_between(from, to);
        assert!(high <= us(9_500), "{high} in window {window}");
    }
    assert_eq!(m.task(realtime, |t| t.stats.deadline_misses), 0, "what System may use is less by the reservation");
}

#[test]
fn batch_and_background_are_served_within_their_bounds() {
    let mut m = one_cpu(|_| {});
    m.wait_bounds = default_wait_bounds();
    saturate_with_interactive(&mut m);
    let batch = m.spawn(Intent::batch(), &[]);
    let background = m.spawn(Intent::background(), &[]);
    m.run_until(ms(3_000));
    m.reconcile();
    // A turn of 5 ms in each 80 ms, and one of 3 ms in each 253 ms.
    assert!(m.actors[batch].cpu_time >= ms(3_000) * 5 / 85, "{}", m.actors[batch].cpu_time);
    assert!(m.actors[background].cpu_time >= ms(3 * 11), "{}", m.actors[background].cpu_time);
    assert!(m.trace.iter().any(|e| e.reason == Reason::WaitBound));
}

#[test]
fn a_background_turn_ends() {
    let mut m = one_cpu(|_| {});
    let batch = m.spawn(Intent::batch(), &[]);
    let background = m.spawn(Intent::background(), &[]);
    m.run_until(ms(5_060));
    m.reconcile();
    let turns = &m.actors[background].runs;
    assert_eq!(turns.len(), 20, "{turns:?}");
    assert!(turns.iter().all(|&(from, to, _)| to - from == ms(3)), "{turns:?}");
    assert_eq!(m.actors[batch].cpu_time, ms(5_060) - ms(60));
}

#[test]
fn without_wait_bounds_background_starves() {
    let hour = Duration::from_secs(3600);
    let mut m = one_cpu(|limits| (limits.batch_wait, limits.background_wait) = (hour, hour));
    m.spawn(Intent::batch(), &[]);
    let background = m.spawn(Intent::background(), &[]);
    m.run_until(ms(10_000));
    m.reconcile();
    assert_eq!(m.actors[background].cpu_time, 0);
}

#[test]
fn an_interactive_hog_is_treated_as_batch_until_it_behaves() {
    let mut m = one_cpu(|_| {});
    let hog = m.spawn(Intent::interactive(1_000), &[Run(ms(200)), Sleep(ms(100))]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(16));
    assert_eq!(m.actors[batch].cpu_time, 0);
    // 8 ms of credit, refilled at half of real time, last 16 ms.
    m.run_until(ms(116));
    m.reconcile();
    assert_eq!(m.task(hog, |t| t.urgency().class), QueueType::Batch);
    let share = m.actors[batch].ran_between(ms(16), ms(116));
    assert!(share.abs_diff(ms(50)) <= ms(12), "{share}");
    // When it has slept, it begins at once again.
    m.run_until(ms(600));
    m.reconcile();
    let back = m.actors[hog].runs.iter().find(|run| run.0 > ms(380)).unwrap();
    let slept = m.trace.iter().find(|e| matches!(e.leave, dis_core::executor::Leave::Sleep(_))).unwrap().t;
    assert_eq!(back.0, slept + ms(100));
    assert!((ms(16)..=ms(26)).contains(&(back.1 - back.0)), "{back:?}");
}

/// A hog beside a Batch task on one CPU, declared anew every 5 ms: what it gets of the first 400 ms.
fn hog_that_is_declared(next: impl Fn(u64) -> Intent) -> u64 {
    let mut m = Machine::new(1);
    let hog = m.spawn(Intent::interactive(1_000), &[]);
    m.spawn(Intent::batch(), &[]);
    for n in 1..80 {
        m.run_until(ms(5 * n));
        m.set_intent(hog, &next(n)).unwrap();
    }
    m.run_until(ms(400));
    m.reconcile();
    m.actors[hog].ran_between(0, ms(400))
}

/// It gains no credit by declaring itself Interactive once more: 16 ms as Interactive, and half of the rest.
#[test]
fn a_hog_that_declares_itself_again_is_a_hog() {
    let ran = hog_that_is_declared(|n| Intent::interactive(1_000 + n));
    assert!(ran < ms(220), "{ran}");
}

/// Nor by being something else in between, as long as that be, as it is charged for what it uses then.
#[test]
fn a_hog_that_declares_itself_batch_in_between_is_a_hog() {
    for (interactive, batch) in [(1, 1), (3, 1), (1, 3), (4, 4)] {
        let ran = hog_that_is_declared(|n| match n % (interactive + batch) {
            0 => Intent::interactive(1_000),
            n if n < interactive => Intent::interactive(1_000 + n),
            _ => Intent::batch(),
        });
        assert!(ran < ms(220), "{interactive}:{batch}: {ran}");
    }
}

/// One that sleeps as Batch has credit when it is Interactive again.
#[test]
fn credit_comes_back_with_sleep_in_any_class() {
    let mut m = Machine::new(1);
    let hog = m.spawn(Intent::interactive(1_000), &[Run(ms(40)), Sleep(ms(200))]);
    m.spawn(Intent::batch(), &[]);
    m.run_until(ms(40));
    assert_eq!(m.task(hog, |t| t.urgency().class), QueueType::Batch);
    m.set_intent(hog, &Intent::batch()).unwrap();
    m.run_until(ms(200));
    assert_eq!(m.state(hog), TaskState::Sleeping);
    m.set_intent(hog, &Intent::interactive(1_000)).unwrap();
    m.run_until(ms(200) + m.actors[hog].runs.last().unwrap().1);
    m.run_for(ms(1));
    assert_eq!(m.task(hog, |t| (t.state(), t.urgency().class)), (TaskState::Running, QueueType::Interactive));
}

/// Children that a hog spawns have what is left of its credit, else it would only have to let them do its work.
#[test]
fn the_children_of_an_interactive_hog_begin_without_credit() {
    let mut m = one_cpu(|_| {});
    m.spawn(Intent::interactive(2_000), &[]);
    let spawn = |m: &mut Machine| {
        let child = m.try_spawn_from(Some(0), TaskSpec::new("", Intent::interactive(2_000), 0), &[Exit(0)]).unwrap();
        m.executor.with_task(m.actors[child].id, |task| task.effective_class()).unwrap()
    };
    m.run_until(ms(2));
    assert_eq!(spawn(&mut m), QueueType::Interactive);
    m.run_until(ms(40));
    assert_eq!(spawn(&mut m), QueueType::Batch);
    // From outside, or from a task of another class, with a head start of its own.
    let outside = m.spawn(Intent::interactive(2_000), &[]);
    let class = m.executor.with_task(m.actors[outside].id, |task| task.effective_class()).unwrap();
    assert_eq!(class, QueueType::Interactive);
}

#[test]
fn a_hog_that_yields_is_a_hog() {
    let mut m = one_cpu(|_| {});
    let hog = m.spawn(Intent::interactive(1_000), &[Run(us(100)), Yield]);
    let batch = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert!(m.actors[hog].cpu_time <= ms(560), "{}", m.actors[hog].cpu_time);
    assert!(m.actors[batch].cpu_time >= ms(440));
}

/// With a tick instead of timers, a task that yields before each tick still has a budget.
#[test]
fn budgets_count_at_yields_too() {
    let machine = dis_core::executor::Executor::<u32, common::lock::Lock>::new(Config::new(1)).unwrap();
    let at = |us: u64| common::at(us * 1_000);
    let intent = Intent::realtime(10_000, 10_000, 1_000);
    let (id, _) = machine.spawn(at(0), None, TaskSpec::new("", intent, 1)).unwrap();
    let _ = machine.spawn(at(0), None, TaskSpec::new("", Intent::batch(), 2)).unwrap();
    let mut used = 0;
    for step in 0..1_000 {
        let leave = if step % 2 == 1 { dis_core::executor::Leave::Yield } else { dis_core::executor::Leave::Ask };
        let decision = machine.schedule(0, at(step * 100), leave).unwrap();
        machine.switched(0);
        used += u64::from(decision.next.unwrap().context == 1);
    }
    // 100 ms, 10 periods of 1 ms each, 100 us a step.
    assert!(used <= 110, "{used} steps");
    assert!(machine.with_task(id, |t| t.stats.overruns).unwrap() >= 9);
}

#[test]
fn an_interactive_task_on_loan_does_not_ask_for_ever() {
    let mut m = one_cpu(|_| {});
    let hog = m.spawn(Intent::interactive(1_000), &[]);
    m.spawn(Intent::batch(), &[]);
    m.run_until(ms(100));
    let lent =
        dis_core::scheduler::Urgency { class: QueueType::Interactive, priority: 0, deadline: common::at(ms(90)) };
    m.inherit(hog, Some(lent)).unwrap();
    let before = m.events;
    m.run_until(ms(140));
    assert!(m.events - before < 50, "{} decisions", m.events - before);
}

#[test]
fn equal_hogs_have_equal_shares() {
    for intent in [Intent::batch(), Intent::background()] {
        let mut m = one_cpu(|_| {});
        let tasks: Vec<usize> = (0..4).map(|_| m.spawn(intent.clone(), &[])).collect();
        m.run_until(ms(20_000));
        m.reconcile();
        for task in tasks {
            let used = m.actors[task].cpu_time;
            assert!(used.abs_diff(ms(5_000)) <= ms(50), "{used}: more than 1 % off");
        }
    }
}

#[test]
fn shares_follow_weights() {
    let mut m = one_cpu(|_| {});
    let tasks: Vec<usize> = (0..3).map(|_| m.spawn(Intent::batch(), &[])).collect();
    for (&task, priority) in tasks.iter().zip([0, 128, 192]) {
        m.call(task, |x, now, id| x.set_priority(now, id, priority)).unwrap();
    }
    m.run_until(ms(14_000));
    m.reconcile();
    // Weights 256, 128, 64.
    for (task, share) in tasks.into_iter().zip([8_000, 4_000, 2_000]) {
        let used = m.actors[task].cpu_time;
        assert!(used.abs_diff(ms(share)) <= ms(140), "{used} instead of {share} ms");
    }
}

#[test]
fn a_lone_task_and_an_idle_cpu_have_no_timer() {
    for intent in [Intent::system(), Intent::interactive(1_000), Intent::batch(), Intent::background()] {
        let mut m = Machine::new(2);
        m.spawn(intent, &[]);
        m.run_until(ms(10_000));
        assert_eq!(m.events, 1, "one decision for ever");
        assert_eq!((m.until(0), m.until(1)), (None, None));
        m.kill(0).unwrap();
        m.run_until(ms(20_000));
        assert_eq!((m.events, m.until(0)), (2, None));
    }
}

#[test]
fn cpu_max_is_kept() {
    for share in [1u16, 10, 333, 500, 999] {
        let mut m = one_cpu(|_| {});
        let capped = m.spawn(Intent::batch().with_cpu_share(0, share), &[]);
        m.spawn(Intent::background(), &[]);
        m.run_until(ms(10_000));
        m.reconcile();
        let (used, allowed) = (m.actors[capped].cpu_time, ms(10_000) * u64::from(share) / 1000);
        assert!(used <= allowed + ms(10) * u64::from(share) / 1000, "{used} of {allowed}");
        assert!(used >= allowed * 99 / 100, "{used} of {allowed}");
    }
}

#[test]
fn cpu_max_holds_for_a_task_that_sleeps_and_wakes() {
    let mut m = one_cpu(|_| {});
    let capped = m.spawn(Intent::interactive(500).with_cpu_share(0, 200), &[Run(us(700)), Sleep(us(300))]);
    m.spawn(Intent::batch(), &[]);
    m.run_until(ms(1_000));
    m.reconcile();
    assert!(m.actors[capped].cpu_time <= ms(202), "{}", m.actors[capped].cpu_time);
    assert!(m.actors[capped].cpu_time >= ms(190), "{}", m.actors[capped].cpu_time);
}

/// System and Realtime leave 0.6 ms of each window, and the first Interactive task may have 1 ms of it: its budget ends together with
/// a slice, and is the next one's at once. That is the end of its turn all the same, and the other one goes first then.
#[test]
fn the_end_of_a_budget_is_the_end_of_a_turn() {
    let mut m = one_cpu(|_| {});
    m.spawn(Intent::system(), &[]);
    m.spawn(Intent::realtime(10_000, 10_000, 9_300), &[]);
    let capped = m.spawn(Intent::interactive(3_000).with_cpu_share(0, 100), &[]);
    let other = m.spawn(Intent::interactive(3_000), &[]);
    m.run_until(ms(2_000));
    m.reconcile();
    let (capped, other) = (m.actors[capped].cpu_time, m.actors[other].cpu_time);
    assert!(capped + other > ms(90), "{capped} {other}");
    assert!(3 * other >= capped + other, "{capped} {other}");
}

#[test]
fn an_average_wait_is_the_mean_of_the_waits() {
    let mut m = one_cpu(|_| {});
    for i in 0..7 {
        m.spawn(Intent::batch(), &[Run(us(500 + i * 77)), Yield, Run(us(900)), Sleep(us(400 + i * 31))]);
    }
    m.run_until(ms(1_000));
    let stats = m.executor.stats().queue_stats.batch;
    let picks: Vec<u64> = m.trace.iter().filter(|e| e.switch).map(|e| e.waited).collect();
    let waited: u128 = picks.iter().map(|&w| u128::from(w)).sum();
    // Who is chosen again at once has waited for nothing.
    assert_eq!(stats.total_wait(), waited);
    assert!(stats.dequeued >= picks.len() as u64);
    assert_eq!(u128::from(stats.avg_wait_time), waited / u128::from(stats.dequeued));
    assert!(stats.max_length <= 7 && stats.max_length >= 6, "{}", stats.max_length);
}

/// A Background task on loan in Batch has requests of 50 ms; once it is a Batch task itself, what is left of such a slice is gone.
#[test]
fn a_new_intent_begins_a_new_slice() {
    let mut m = one_cpu(|_| {});
    let hog = m.spawn(Intent::background(), &[]);
    let loan = Urgency { class: QueueType::Batch, priority: 128, deadline: Timestamp::MAX };
    m.inherit(hog, Some(loan)).unwrap();
    let peer = m.spawn(Intent::batch(), &[]);
    m.run_until(ms(2));
    while m.current(0) != Some(hog) {
        m.run_for(ms(1));
    }
    let t = m.now;
    m.set_intent(hog, &Intent::batch()).unwrap();
    m.run_until(t + ms(60));
    let gap = m.actors[peer].longest_gap(t, t + ms(60));
    // Once the slice is over that is due to it, and one more, as it was owed half of the peer's.
    assert!(gap <= ms(20), "the peer waited {gap} ns for slices of 10 ms");
}
