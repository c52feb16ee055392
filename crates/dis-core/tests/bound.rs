//! A task that is bound to one CPU can go nowhere: whoever looks for something to take does not look at it.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::machine::{Machine, Op::*};
use common::modules::with_made;
use common::wrapped::{Around, Wrapped};
use common::{ms, us};
use dis_core::api::CpuMask;
use dis_core::intent::{Intent, QueueType};
use dis_core::policy::{RoundRobinPolicy, TaskKey};
use dis_core::scheduler::Config;

/// Counts how many queued tasks are shown.
struct Counting(Arc<AtomicU64>);

impl Around for Counting {
    fn shows(&self, _key: TaskKey) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often a queued task is looked at while many that `may_run` there yield to each other on CPU 0 and nothing is to do on CPU 1.
fn looked_at(bound: bool) -> (Machine, u64) {
    let shown = Arc::new(AtomicU64::new(0));
    let count = shown.clone();
    let make = move || Wrapped::boxed(RoundRobinPolicy::default(), Counting(count.clone()));
    let mut m = Machine::with_modules(Config::new(2), &with_made(&[QueueType::Batch], make));
    let intent = if bound { Intent::batch().with_affinity(CpuMask::single(0)) } else { Intent::batch() };
    for _ in 0..50 {
        m.spawn(intent.clone(), &[Run(us(100)), Yield]);
    }
    // It sleeps and wakes: CPU 1 goes idle again and again.
    m.spawn(Intent::batch().with_affinity(CpuMask::single(1)), &[Run(us(50)), Sleep(us(500))]);
    m.run_until(ms(50));
    let shown = shown.load(Ordering::Relaxed);
    (m, shown)
}

#[test]
fn nobody_looks_at_tasks_that_are_bound_elsewhere() {
    let (_, shown) = looked_at(false);
    assert!(shown > 0, "where they may be taken they are looked at: {shown}");
    let (m, shown) = looked_at(true);
    assert_eq!(shown, 0);
    assert!((0..50).all(|task| m.actors[task].runs.iter().all(|run| run.2 == 0)));
}

#[test]
fn a_task_that_is_bound_no_longer_is_taken_at_once() {
    let mut m = Machine::new(2);
    let there = Intent::batch().with_affinity(CpuMask::single(0));
    let tasks = [0; 2].map(|_| m.spawn(there.clone(), &[]));
    m.run_until(ms(5));
    for task in tasks {
        m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    }
    m.run_until(ms(10));
    let had = |m: &Machine, from, to| tasks.map(|task| m.actors[task].ran_between(ms(from), ms(to)));
    m.reconcile();
    assert!(had(&m, 5, 10).iter().all(|&had| had >= ms(4)), "each has a CPU: {:?}", had(&m, 5, 10));
    // With its intent it is bound again.
    for task in tasks {
        m.call(task, |x, now, id| x.set_intent(now, id, &there)).unwrap();
    }
    m.run_until(ms(50));
    m.reconcile();
    assert_eq!(had(&m, 11, 50).iter().sum::<u64>(), ms(39), "they share one");
}
