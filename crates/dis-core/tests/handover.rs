//! Policies are replaced while tasks wait and run.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::machine::{Machine, Op::*};
use common::modules::{NAMES, with_builtin, with_made};
use common::wrapped::{Around, Wrapped};
use common::{at, ms, us};
use dis_core::api::{CpuMask, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::policy::{EdfPolicy, Entity, FairPolicy, RoundRobinPolicy, TaskKey};
use dis_core::scheduler::Config;

/// The machine is to expect no order in Batch.
fn anybody() -> SchedulerRegistry {
    with_made(&[QueueType::Batch], || Box::new(FairPolicy::new()))
}

fn swap(m: &Machine, class: QueueType, name: &str) -> dis_core::scheduler::HandoverSummary {
    m.executor.set_policy(class, &with_builtin(class, name), || at(m.now))
}

#[test]
fn every_built_in_policy_takes_over_from_every_other() {
    for from in NAMES {
        for to in NAMES {
            let mut m = Machine::with_modules(Config::new(2), &anybody());
            swap(&m, QueueType::Batch, from);
            let tasks: Vec<usize> = (0..80).map(|_| m.spawn(Intent::batch(), &[Run(us(50)), Yield])).collect();
            m.run_until(ms(10));
            let summary = swap(&m, QueueType::Batch, to);
            assert_eq!(summary.moved, 80, "{from} to {to}: those that run as well");
            assert!(summary.reverted.is_empty());
            m.run_until(ms(60));
            m.reconcile();
            assert_eq!(m.executor.policy_faults(QueueType::Batch), 0);
            m.everybody_exits();
            m.run_until(ms(1_000));
            let left = tasks.iter().filter(|&&task| !m.actors[task].gone).count();
            assert_eq!(left, 0, "{from} to {to}");
        }
    }
}

/// Between two steps, each of the CPU's decisions is by deadline among all.
#[test]
fn the_order_holds_while_it_lasts() {
    let mut m = Machine::new(1);
    m.spawn(Intent::system(), &[Run(ms(2)), Exit(0)]);
    let tasks: Vec<usize> = (0..500)
        .map(|i| m.spawn(Intent::interactive(10_000 + 7 * ((i * 131) % 500)), &[Run(us(1)), Exit(0)]))
        .collect();
    m.run_until(ms(1));
    let modules = with_made(&[QueueType::Interactive], || Box::new(EdfPolicy::new()));
    let mut handover = m.executor.prepare_handover(QueueType::Interactive, &modules);
    for _ in 0..2 {
        assert!(m.executor.advance_handover(&mut handover, at(m.now)));
    }
    assert!(handover.summary().moved < 500, "it is under way");
    m.run_until(ms(10));
    let ended: Vec<u64> = tasks.iter().map(|&task| m.actors[task].runs[0].0).collect();
    let mut order: Vec<usize> = (0..500).collect();
    order.sort_by_key(|&i| ended[i]);
    let targets: Vec<u64> = order.iter().map(|&i| 10_000 + 7 * ((i as u64 * 131) % 500)).collect();
    assert!(targets.is_sorted(), "{targets:?}");
    while m.executor.advance_handover(&mut handover, at(m.now)) {}
    assert_eq!(m.executor.policy_faults(QueueType::Interactive), 0);
}

/// Tasks that are still with the old policy are killed, moved and changed.
#[test]
fn whoever_is_left_behind_can_be_changed() {
    let mut m = Machine::with_modules(Config::new(2), &with_made(&[QueueType::Batch], || Box::new(EdfPolicy::new())));
    let on = |cpu| Intent::batch().with_affinity(CpuMask::single(cpu));
    let tasks: Vec<usize> = (0..400).map(|i| m.spawn(on(i % 2), &[Run(us(20)), Yield])).collect();
    m.run_until(ms(1));
    let modules = with_builtin(QueueType::Batch, "fair");
    let mut handover = m.executor.prepare_handover(QueueType::Batch, &modules).in_steps_of(20);
    let mut killed = 0;
    for (number, &task) in tasks.iter().enumerate() {
        if number % 60 == 0 {
            m.executor.advance_handover(&mut handover, at(m.now));
        }
        match number % 4 {
            0 => {
                m.kill(task).unwrap();
                killed += 1;
            }
            1 => drop(m.set_priority(task, 7).unwrap()),
            2 => drop(m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap()),
            _ => drop(m.set_intent(task, &Intent::background()).unwrap()),
        }
    }
    while m.executor.advance_handover(&mut handover, at(m.now)) {}
    m.run_until(ms(100));
    m.reconcile();
    assert_eq!(killed, 100);
    assert_eq!(m.executor.policy_faults(QueueType::Batch), 0);
    assert_eq!(m.actors.iter().filter(|actor| actor.gone).count(), 100);
}

/// Somebody who begins and never goes on keeps nobody waiting.
#[test]
fn a_handover_that_stands_still_ends_all_the_same() {
    let mut m = Machine::with_modules(Config::new(1), &anybody());
    let tasks: Vec<usize> = (0..300).map(|_| m.spawn(Intent::batch(), &[Run(us(50)), Exit(0)])).collect();
    m.run_until(us(10));
    let mut handover = m.executor.prepare_handover(QueueType::Batch, &with_builtin(QueueType::Batch, "round-robin"));
    assert!(m.executor.advance_handover(&mut handover, at(m.now)));
    drop(handover);
    m.run_until(ms(50));
    assert!(tasks.iter().all(|&task| m.actors[task].gone));
    assert_eq!(m.executor.policy_faults(QueueType::Batch), 0);
}

/// Wrong from the first question, or from a later one.
struct Wrong(u32, fn() -> Option<TaskKey>);

impl Around for Wrong {
    fn selects(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        if self.0 == 0 {
            return (self.1)();
        }
        self.0 -= 1;
        right
    }
}

#[test]
fn a_newcomer_that_answers_wrongly_is_reverted() {
    for (after, whom) in [(0, (|| None) as fn() -> _), (0, || Some(TaskKey(9_999))), (1, || None), (5, || None)] {
        let mut m = Machine::with_modules(Config::new(2), &anybody());
        for _ in 0..200 {
            m.spawn(Intent::batch(), &[Run(us(100)), Yield]);
        }
        m.run_until(ms(5));
        let made = AtomicU32::new(0);
        let modules = with_made(&[QueueType::Batch], move || {
            // Only the first CPU's is wrong.
            let after = if made.fetch_add(1, Ordering::Relaxed) == 0 { after } else { u32::MAX };
            Wrapped::boxed(RoundRobinPolicy::default(), Wrong(after, whom))
        });
        let summary = m.executor.set_policy(QueueType::Batch, &modules, || at(m.now));
        assert_eq!(summary.reverted, if after == 0 { CpuMask::single(0) } else { CpuMask::default() });
        m.run_until(ms(40));
        m.reconcile();
        assert_eq!(m.executor.policy_faults(QueueType::Batch), 1, "{after}");
    }
}

/// One that forgets half of what it is given is found out before the end of the handover.
#[test]
fn a_newcomer_that_forgets_is_reverted_at_once() {
    struct Forgetful(u32);
    impl Around for Forgetful {
        fn keeps(&mut self, _task: &Entity, _now: Timestamp) -> bool {
            self.0 += 1;
            self.0.is_multiple_of(2)
        }
    }
    let mut m = Machine::with_modules(Config::new(1), &anybody());
    m.spawn(Intent::system(), &[]);
    for _ in 0..200 {
        m.spawn(Intent::batch(), &[]);
    }
    m.run_until(ms(1));
    let modules = with_made(&[QueueType::Batch], || Wrapped::boxed(RoundRobinPolicy::default(), Forgetful(0)));
    let summary = m.executor.set_policy(QueueType::Batch, &modules, || at(m.now));
    assert_eq!(summary.reverted, CpuMask::single(0));
    m.run_until(ms(100));
    m.reconcile();
}
