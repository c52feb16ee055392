//! Once warmed up, nothing that happens at run time allocates: yield, block, sleep, ask, wake, unpark, tick, stealing,
//! changes of priority and affinity.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::at;
use common::erratic::Erratic;
use common::lock::Lock;
use common::modules::with_made;
use common::rng::Rng;
use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Bandwidth, Domain, DomainSpec, Quota, Sweep};
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

fn populated(each: usize, domains: usize) -> (Executor<u32, Lock>, Vec<TaskId>) {
    let x = Executor::new(Config::new(CPUS)).unwrap();
    let domains: Vec<Domain> = (0..domains).fold(Vec::new(), |mut domains, n| {
        let cpu = (n % 2 == 1).then_some(Bandwidth::per_mille(500));
        let spec =
            DomainSpec::new("guest").with_weight(50 + 100 * n as u16).with_quota(Quota { cpu, ..Quota::default() });
        domains.push(x.create_domain(domains.get(n.wrapping_sub(2)), spec).unwrap());
        domains
    });
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
            let mut spec = TaskSpec::new("", intent, 0);
            if spec.intent.class.queue() != QueueType::Realtime {
                spec.domain = domains.get(i % (domains.len() + 1)).cloned();
            }
            ids.push(x.spawn(at(0), None, spec).unwrap().0);
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
    for (each, domains) in [(10, 0), (1_000, 0), (10, 3), (1_000, 5)] {
        let (x, ids) = populated(each, domains);
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
        assert_eq!(COUNT.get() - before, 0, "allocations with {each} tasks in each class, {domains} domains");
        assert!(x.domains().iter().all(|domain| domain.usage().cpu_time > 0), "each has run");
        let stats = x.stats();
        assert!(stats.context_switches > 10_000, "{stats:?}");
    }
}

/// The control: a spawn does allocate, so the count counts.
#[test]
fn spawning_allocates() {
    let before = COUNT.get();
    let _ = populated(10, 0);
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

/// A refused spawn drops what names the domain under the lock of a CPU; and so does a task that ends.
#[test]
fn a_domain_is_not_freed_by_the_last_that_names_it() {
    let x: Executor<u32, Lock> = Executor::new(Config::new(1)).unwrap();
    let guest = x.create_domain(None, DomainSpec::new("guest")).unwrap();
    let spec = TaskSpec::new("", Intent::batch(), 0).in_domain(&guest);
    assert!(x.destroy_domain(at(0), &guest, &mut Sweep::default(), 16, |_, _| {}).unwrap());
    drop(guest);
    let before = FREED.get();
    assert_eq!(x.spawn(at(0), None, spec).unwrap_err(), SchedError::InvalidState);
    assert_eq!(FREED.get() - before, 0, "no memory is freed under a lock");
    // It is when the next one is made: nothing piles up.
    let _ = x.create_domain(None, DomainSpec::new("next")).unwrap();
    assert!(FREED.get() > before);
}
