//! What the models over shuttle share. Each uses some of it.
#![allow(dead_code)]

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

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
