//! What it takes to replace a policy with 10,000 ready tasks on a CPU: the whole, and how long the CPU's lock is held at a time.
//!
//! `cargo bench -p dis-core --bench handover`. Between two steps the CPU decides as ever; what a decision takes meanwhile is
//! measured as well. The longest of all steps depends on who else uses the machine. So the table has the longest of the *median*
//! steps (of 21 handovers, the n-th steps of all are compared), and the longest of all beside it.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use dis_core::api::{TaskSpec, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use lock_api::{GuardSend, RawMutex};

const TASKS: u32 = 10_000;
const HANDOVERS: usize = 21;

struct Spin(AtomicBool);

// SAFETY: whoever sets the flag has the lock until it clears it.
unsafe impl RawMutex for Spin {
    #[allow(clippy::declare_interior_mutable_const, reason = "lock_api's way")]
    const INIT: Spin = Spin(AtomicBool::new(false));
    type GuardMarker = GuardSend;
    fn lock(&self) {
        while !self.try_lock() {
            hint::spin_loop();
        }
    }
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let start = Instant::now();
    let now = || Timestamp::from_nanos(start.elapsed().as_nanos() as u64);
    println!("{TASKS} ready tasks on one CPU, medians of {HANDOVERS} handovers, µs\n");
    println!(
        "{:<24}{:>8}{:>9}{:>14}{:>14}{:>18}",
        "", "all", "steps", "longest step", "longest ever", "longest decision"
    );
    for (from, to) in
        [("fair", "round-robin"), ("round-robin", "fair"), ("fair", "edf"), ("edf", "fair"), ("fair", "fair")]
    {
        let registry = |name: &str| {
            let mut modules = SchedulerRegistry::with_builtins();
            modules.set_active(QueueType::Batch, name).expect("a built-in policy");
            modules
        };
        let (from_modules, to_modules) = (registry(from), registry(to));
        let x = Executor::<u32, Spin>::with_modules(Config::new(1), &from_modules).expect("a valid configuration");
        for n in 0..TASKS {
            let _ = x.spawn(now(), None, TaskSpec::new("", Intent::batch(), n)).expect("there is room");
        }
        let (mut all, mut steps, mut decisions) = (Vec::new(), Vec::<Vec<f64>>::new(), Vec::new());
        for _ in 0..HANDOVERS {
            // Everybody has run, and nothing is where it was spawned.
            for _ in 0..2 * TASKS {
                x.schedule(0, now(), Leave::Yield).or_else(|_| x.schedule(0, now(), Leave::Ask)).expect("it decides");
                x.switched(0);
            }
            let mut handover = x.prepare_handover(QueueType::Batch, &to_modules);
            let (mut longest_decision, mut sum) = (0.0_f64, 0.0);
            let mut more = true;
            for number in 0.. {
                if !more {
                    break;
                }
                let at = now();
                let before = Instant::now();
                more = x.advance_handover(&mut handover, at);
                let step = before.elapsed().as_nanos() as f64 / 1e3;
                if steps.len() == number {
                    steps.push(Vec::new());
                }
                steps[number].push(step);
                sum += step;
                let at = now();
                let before = Instant::now();
                x.schedule(0, at, Leave::Yield).expect("it decides");
                longest_decision = longest_decision.max(before.elapsed().as_nanos() as f64 / 1e3);
                x.switched(0);
            }
            let summary = handover.summary();
            assert!(summary.reverted.is_empty() && summary.moved > u64::from(TASKS) / 2);
            all.push(sum);
            decisions.push(longest_decision);
            drop(handover);
            let back = x.set_policy(QueueType::Batch, &from_modules, now);
            assert!(back.reverted.is_empty() && back.moved >= u64::from(TASKS));
        }
        assert_eq!((x.stats().policy_faults, x.task_ids().len()), (0, TASKS as usize));
        let ever = steps.iter().flatten().copied().fold(0.0, f64::max);
        let (count, longest) = (steps.len(), steps.into_iter().map(median).fold(0.0, f64::max));
        println!(
            "{:<24}{:>8.0}{count:>9}{longest:>14.1}{ever:>14.1}{:>18.1}",
            format!("{from} to {to}"),
            median(all),
            median(decisions)
        );
    }
}
