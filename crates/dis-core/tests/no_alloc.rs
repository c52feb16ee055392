//! Once warmed up, nothing that happens at run time allocates: yield, block, sleep, ask, wake, unpark, tick, stealing,
//! changes of priority and affinity.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::at;
use common::faulty::Erratic;
use common::lock::Lock;
use common::modules::with_made;
use common::rng::Rng;
use dis_core::api::{BlockReason, CpuMask, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::scheduler::Config;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static FREED: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes every call on to the system's allocator; counting touches a constant-initialised thread-local only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + 1);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's contract is the same.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CPUS: usize = 3;

fn populated(each: usize) -> (Executor<u32, Lock>, Vec<TaskId>) {
    let x = Executor::new(Config::new(CPUS)).unwrap();
    let mut ids = Vec::new();
    for i in 0..each {
        let period = 100_000 * each as u64;
        for intent in [
            Intent::system(),
            Intent::realtime(period, period, 200_000),
            Intent::interactive(1_000 + i as u64),
            Intent::batch(),
            Intent::background(),
            Intent::batch().with_cpu_share(0, 100),
        ] {
            ids.push(x.spawn(at(0), None, TaskSpec::new("", intent, 0)).unwrap().0);
        }
    }
    (x, ids)
}

/// So many random events.
fn drive(x: &Executor<u32, Lock>, ids: &[TaskId], rng: &mut Rng, now: &mut u64, events: usize) {
    for _ in 0..events {
        *now += rng.below(200_000);
        let cpu = rng.below(CPUS as u64) as usize;
        let id = *rng.of(ids);
        let later = at(*now + rng.below(3_000_000));
        let leave = match rng.below(7) {
            _ if x.current(cpu).is_idle() => Leave::Ask,
            0 | 1 => Leave::Yield,
            2 => Leave::Block(BlockReason::Event, None),
            3 => Leave::Block(BlockReason::Io, Some(later)),
            4 => Leave::Sleep(later),
            5 => Leave::NextPeriod,
            _ => Leave::Ask,
        };
        x.schedule(cpu, at(*now), leave).unwrap();
        x.switched(cpu);
        match rng.below(8) {
            0..4 => {
                let _ = x.unpark(at(*now), id);
            }
            4 if x.with_task(id, |t| t.state() == TaskState::Sleeping).unwrap() => {
                let _ = x.wake(at(*now), id).unwrap();
            }
            5 => {
                let _ = x.set_priority(at(*now), id, rng.below(256) as u8).unwrap();
            }
            6 => {
                // Who has a reservation opens the book.
                let id = if x.with_task(id, |t| t.reserved_on().is_some()).unwrap() { ids[0] } else { id };
                let mask = if rng.chance(800) { CpuMask::ALL } else { CpuMask::single(rng.below(3) as usize) };
                let _ = x.set_affinity(at(*now), id, mask);
            }
            _ => {
                x.tick(cpu, at(*now)).unwrap();
                x.switched(cpu);
            }
        }
    }
}

#[test]
fn nothing_allocates_at_run_time() {
    for each in [10, 1_000] {
        let (x, ids) = populated(each);
        let (mut rng, mut now) = (Rng::new(7), 0);
        // Warm: each CPU has owned as many tasks as it will ever own.
        for target in 0..CPUS {
            for &id in &ids {
                let _ = x.set_affinity(at(0), id, CpuMask::single(target));
            }
            drive(&x, &ids, &mut rng, &mut now, 100);
        }
        for &id in &ids {
            let _ = x.set_affinity(at(now), id, CpuMask::ALL);
        }
        let before = COUNT.get();
        drive(&x, &ids, &mut rng, &mut now, 30_000);
        assert_eq!(COUNT.get() - before, 0, "allocations with {each} tasks in each class");
        let stats = x.stats();
        assert!(stats.context_switches > 10_000, "{stats:?}");
    }
}

/// The control: a spawn does allocate, so the count counts.
#[test]
fn spawning_allocates() {
    let before = COUNT.get();
    let _ = populated(10);
    assert!(COUNT.get() > before);
}

/// A policy may be found out in a signal handler on top of a task that is just in the allocator.
#[test]
fn a_policy_is_replaced_without_allocating_or_freeing() {
    Erratic::seed(1);
    let config = Config { reserve: 64, ..Config::new(1) };
    let x: Executor<u32, Lock> = Executor::with_modules(config, &with_made(&QueueType::ALL, Erratic::boxed)).unwrap();
    for i in 0..40 {
        let intents = [Intent::system(), Intent::interactive(1_000), Intent::batch(), Intent::background()];
        let _ = x.spawn(at(0), None, TaskSpec::new("", intents[i % 4].clone(), 0)).unwrap();
    }
    let before = (COUNT.get(), FREED.get());
    let mut now = 0;
    for i in 0..20_000 {
        now += 300_000;
        let leave = if i % 3 == 0 { Leave::Sleep(at(now + 2_000_000)) } else { Leave::Yield };
        let leave = if x.current(0).is_idle() { Leave::Ask } else { leave };
        x.schedule(0, at(now), leave).unwrap();
        x.switched(0);
    }
    assert_eq!((COUNT.get(), FREED.get()), before);
    assert_eq!(x.stats().policy_faults, 4, "each policy with tasks");
}
