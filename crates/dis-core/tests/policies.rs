//! Policies that answer wrongly are replaced by the built-in one, with everything that is ready, and that is counted.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::machine::{Machine, Op::*};
use common::modules::{NAMES, with_builtin, with_made};
use common::wrapped::{Around, Wrapped};
use common::{ms, us};
use dis_core::api::{CpuMask, Duration, TaskId, Timestamp};
use dis_core::intent::{Intent, QueueType};
use dis_core::policy::{Entity, RoundRobinPolicy, ScanAdapter, ScanPolicy, TaskKey};
use dis_core::scheduler::Config;

/// Goes wrong after so many choices.
struct Wrong {
    how: How,
    left: u32,
    held: Option<TaskKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    NamesNobody,
    NamesAStranger,
    NamesTheRunningTask,
    Forgets,
    ForgetsAndDenies,
}

impl Around for Wrong {
    fn keeps(&mut self, _task: &Entity, _now: Timestamp) -> bool {
        self.left > 0 || !matches!(self.how, How::Forgets | How::ForgetsAndDenies)
    }
    fn selects(&mut self, right: Option<TaskKey>, _now: Timestamp) -> Option<TaskKey> {
        if self.left > 0 {
            self.left -= 1;
            self.held = right;
            return right;
        }
        match self.how {
            How::NamesNobody => None,
            How::NamesAStranger => Some(TaskKey(1_000)),
            How::NamesTheRunningTask => self.held,
            How::Forgets | How::ForgetsAndDenies => right,
        }
    }
    fn admits_to(&mut self, _task: &Entity, removed: bool, _now: Timestamp) -> bool {
        removed && self.how != How::ForgetsAndDenies
    }
}

/// Batch goes wrong after five choices.
fn machine_with(how: How) -> Machine {
    machine_of(1, how, 5)
}

fn machine_of(cpus: usize, how: How, left: u32) -> Machine {
    let wrong = move || Wrapped::boxed(RoundRobinPolicy::default(), Wrong { how, left, held: None });
    Machine::with_modules(Config::new(cpus), &with_made(&[QueueType::Batch], wrong))
}

#[test]
fn a_policy_that_answers_wrongly_is_replaced() {
    for how in [How::NamesNobody, How::NamesAStranger, How::NamesTheRunningTask, How::Forgets, How::ForgetsAndDenies] {
        let mut m = machine_with(how);
        let tasks: Vec<usize> = (0..4).map(|_| m.spawn(Intent::batch(), &[Run(ms(7)), Sleep(us(10))])).collect();
        m.run_until(ms(20));
        assert_eq!(m.executor.policy_faults(QueueType::Batch), 0, "{how:?}");
        m.run_until(ms(2_000));
        m.reconcile();
        assert_eq!(m.executor.policy_faults(QueueType::Batch), 1, "{how:?}");
        assert_eq!(m.executor.stats().policy_faults, 1, "{how:?}");
        for task in tasks {
            assert!(m.actors[task].ran_between(ms(500), ms(2_000)).abs_diff(ms(375)) <= ms(15), "{how:?}");
        }
    }
}

#[test]
fn a_forgotten_task_can_be_killed() {
    for how in [How::Forgets, How::ForgetsAndDenies] {
        let mut m = machine_with(how);
        m.spawn(Intent::system(), &[Run(us(100)), Sleep(us(200))]);
        let tasks: Vec<usize> = (0..4).map(|_| m.spawn(Intent::batch(), &[])).collect();
        m.run_until(ms(3));
        for task in tasks {
            m.kill(task).unwrap();
        }
        m.run_until(ms(10));
        m.reconcile();
        let stat = m.executor.stats().queue_stats.batch;
        assert_eq!((stat.length, stat.enqueued), (0, stat.dequeued), "{how:?}");
    }
}

/// Nobody asks the policy who goes next while a higher class runs; but an idle CPU asks who may come.
#[test]
fn a_forgotten_task_is_found_by_an_idle_cpu() {
    let mut m = machine_of(2, How::Forgets, 0);
    for (cpu, span) in [(0, 3), (1, 10)] {
        m.spawn(Intent::system().with_affinity(CpuMask::single(cpu)), &[Run(ms(span)), Exit(0)]);
    }
    m.run_until(ms(1));
    let task = m.spawn(Intent::batch().with_affinity(CpuMask::single(1)), &[]);
    m.call(task, |x, now, id| x.set_affinity(now, id, CpuMask::ALL)).unwrap();
    m.run_until(ms(9));
    m.reconcile();
    assert_eq!(m.actors[task].cpu_time, ms(6), "from 3 ms on");
}

#[test]
fn a_policy_that_never_errs_is_kept() {
    for class in QueueType::ALL {
        for name in NAMES {
            let mut m = Machine::with_modules(Config::new(2), &with_builtin(class, name));
            for i in 0..6 {
                let intent = match class {
                    QueueType::System => Intent::system(),
                    QueueType::Realtime => Intent::realtime(10_000 + i, 10_000, 2_500),
                    QueueType::Interactive => Intent::interactive(1_000),
                    QueueType::Batch => Intent::batch(),
                    QueueType::Background => Intent::background(),
                };
                m.spawn(intent, &[Run(us(300 + i * 17)), Yield, Run(us(200)), Sleep(us(100 * i)), Run(us(50))]);
            }
            m.run_until(ms(500));
            m.reconcile();
            assert_eq!(m.executor.policy_faults(class), 0, "{name} for {class}");
        }
    }
}

/// Two policies of other people, on the classes that they take.
#[test]
fn a_policy_over_a_slice_works_and_is_checked() {
    struct Youngest(bool);
    impl ScanPolicy for Youngest {
        fn name(&self) -> &'static str {
            "youngest"
        }
        fn select(&mut self, ready: &[Entity], _current: Option<&Entity>) -> Option<TaskId> {
            if self.0 { Some(TaskId::from_parts(9_999, 9)) } else { ready.iter().map(|task| task.id).max() }
        }
        fn time_slice(&self, _task: &Entity) -> Duration {
            Duration::from_millis(1)
        }
    }
    for wrong in [false, true] {
        let modules = with_made(&[QueueType::Batch], move || Box::new(ScanAdapter::new(Youngest(wrong))));
        let mut m = Machine::with_modules(Config::new(1), &modules);
        let tasks: Vec<usize> = (0..3).map(|_| m.spawn(Intent::batch(), &[])).collect();
        m.run_until(ms(300));
        m.reconcile();
        assert_eq!(m.executor.policy_faults(QueueType::Batch), u64::from(wrong));
        let oldest = m.actors[tasks[0]].cpu_time;
        assert_eq!(oldest > 0, wrong, "the youngest runs always, or shares are fair");
    }
}

/// A module with state makes one policy for each CPU and each class that it is active for, and no other class has them.
#[test]
fn a_module_with_state_makes_the_policies() {
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let modules = with_made(&[QueueType::Batch, QueueType::Background], move || {
        let quantum = Duration::from_millis(3 + u64::from(count.fetch_add(1, Ordering::Relaxed)));
        Box::new(RoundRobinPolicy::new(quantum))
    });
    let mut m = Machine::with_modules(Config::new(2), &modules);
    drop(modules);
    assert_eq!(made.load(Ordering::Relaxed), 4);
    let on = |cpu| CpuMask::single(cpu);
    let tasks: Vec<usize> = (0..4).map(|i| m.spawn(Intent::batch().with_affinity(on(i / 2)), &[])).collect();
    m.run_until(ms(15) + 1);
    // Batch and Background of CPU 0 come first, so turns last 3 ms there and 5 ms on CPU 1.
    let ran: Vec<u64> = tasks.iter().map(|&task| m.actors[task].ran_between(0, ms(15))).collect();
    assert_eq!(ran, [ms(9), ms(6), ms(10), ms(5)]);
}
