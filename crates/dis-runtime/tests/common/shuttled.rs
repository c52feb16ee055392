//! What the models over shuttle share. Each uses some of it.
#![allow(dead_code)]

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shuttle::rand::Rng;
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, FailurePersistence, Runner, thread};

/// Of the schedules and of [`random`], so that a commit always gets the same verdict. `SHUTTLE_RANDOM_SEED` sets another.
const SEED: u64 = 1;

/// Runs of a negative control. The fault that is hardest to find was found in run 81,056 with the worst of the seeds 1 to 8
/// (`SignalForgotten` of `model_displace.rs`), and in run 9,690 with [`SEED`].
const MOST: usize = 1_000_000;

/// Runs the model under `runs` schedules.
///
/// # Panics
/// As the first run that fails does, after its schedule and its seed have been printed.
pub fn check(runs: usize, model: impl Fn() + Send + Sync + 'static) {
    Runner::new(RandomScheduler::new_from_seed(SEED, runs), Config::new()).run(model);
}

/// Negative control: the model, from which a step has been taken away, must fail in one of [`MOST`] runs. It ends with the first
/// that does, which is always the same one as long as neither the model nor the seed changes.
///
/// # Panics
/// If all runs pass.
pub fn check_fails(fault: impl Debug, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::None;
    let runner = Runner::new(RandomScheduler::new_from_seed(SEED, MOST), config);
    // Of the standard library: shuttle's belong to one run.
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = begun.clone();
    let counted = move || {
        count.fetch_add(1, SeqCst);
        model();
    };
    assert!(catch_unwind(AssertUnwindSafe(|| runner.run(counted))).is_err(), "{fault:?} goes unnoticed in {MOST} runs");
    println!("{fault:?}: noticed in run {}", begun.load(SeqCst));
}

/// A number below `below`.
pub fn random(below: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..below)
}

/// Lets others go first, for a while that differs from run to run.
pub fn dawdle(most: usize) {
    (0..random(most)).for_each(|_| thread::yield_now());
}

/// A word to sleep on, as the kernel's futexes.
pub struct Futex {
    pub word: AtomicUsize,
    kernel: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    pub fn new(word: usize) -> Futex {
        Futex { word: AtomicUsize::new(word), kernel: Mutex::new(()), sleepers: Condvar::new() }
    }

    pub fn wait(&self, expected: usize) {
        let kernel = self.kernel.lock().unwrap();
        if self.word.load(SeqCst) == expected {
            drop(self.sleepers.wait(kernel).unwrap());
        }
    }

    pub fn wake(&self) {
        drop(self.kernel.lock().unwrap());
        self.sleepers.notify_all();
    }

    pub fn change(&self, from: usize, to: usize) -> bool {
        self.word.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}

/// The core's block and unpark, with its token.
#[derive(Default)]
pub struct Parker(Mutex<bool>, Condvar);

impl Parker {
    pub fn block(&self) {
        let mut token = self.0.lock().unwrap();
        while !*token {
            token = self.1.wait(token).unwrap();
        }
        *token = false;
    }

    pub fn unpark(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}
