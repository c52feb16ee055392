//! Switching away inside a signal handler that runs on the task's own stack.

mod common;

use std::cell::UnsafeCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dis_context::{Context, jump, switch};

/// One worker's state. Used by the test's thread and by the signal handler on it, never at once.
struct Worker {
    host: UnsafeCell<Context>,
    tasks: [UnsafeCell<Context>; 2],
}
// SAFETY: one thread uses it.
unsafe impl Sync for Worker {}

static WORKER: Worker = Worker {
    host: UnsafeCell::new(Context::empty()),
    tasks: [UnsafeCell::new(Context::empty()), UnsafeCell::new(Context::empty())],
};
static CURRENT: AtomicUsize = AtomicUsize::new(0);
static IN_TASK: AtomicBool = AtomicBool::new(false);
static PREEMPTED: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn preempt(_: libc::c_int) {
    if !IN_TASK.swap(false, Ordering::Relaxed) {
        return;
    }
    PREEMPTED.fetch_add(1, Ordering::Relaxed);
    let task = WORKER.tasks[CURRENT.load(Ordering::Relaxed)].get();
    // SAFETY: we interrupted a task, so the host is suspended in the test; the handler is on the task's own stack.
    unsafe { switch(task, *WORKER.host.get(), 1) };
    IN_TASK.store(true, Ordering::Relaxed);
}

/// Enough live state to fill integer and vector registers.
#[inline(never)]
fn work(rounds: usize, seed: usize) -> u64 {
    let mut ints = [seed as u64; 12];
    let mut floats = [seed as f64; 16];
    for i in 0..rounds {
        for (k, v) in ints.iter_mut().enumerate() {
            *v = v.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add((i + k) as u64);
        }
        for (k, v) in floats.iter_mut().enumerate() {
            *v = *v * 0.999 + k as f64;
        }
    }
    ints.iter().chain(&floats.map(f64::to_bits)).fold(0, |a, &b| a.rotate_left(7) ^ b)
}

unsafe extern "C" fn entry(seed: usize, rounds: usize) -> ! {
    IN_TASK.store(true, Ordering::Relaxed);
    let result = work(rounds, seed);
    IN_TASK.store(false, Ordering::Relaxed);
    let place = Box::into_raw(Box::new(result));
    // SAFETY: the host is suspended; nothing in this frame needs a drop. An even address is never 1.
    unsafe { jump(*WORKER.host.get(), place as usize) }
}

#[test]
fn preempted_tasks_keep_their_registers() {
    // SAFETY: a zeroed sigaction is valid; the handler is installed for a signal that only this test uses.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = preempt as *const () as usize;
        action.sa_flags = libc::SA_NODEFER | libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    // SAFETY: no preconditions.
    let this = unsafe { libc::pthread_self() };
    let ticker = std::thread::spawn(move || {
        while !STOP.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros(200));
            // SAFETY: the test's thread joins us before it ends.
            unsafe { libc::pthread_kill(this, libc::SIGUSR1) };
        }
    });

    let rounds = if cfg!(debug_assertions) { 400_000 } else { 8_000_000 };
    let pool = common::pool(2);
    let stacks = [pool.alloc().unwrap(), pool.alloc().unwrap()];
    let mut results = [None; 2];
    for (i, stack) in stacks.iter().enumerate() {
        // SAFETY: the stacks outlive the tasks.
        unsafe { *WORKER.tasks[i].get() = Context::new(stack.top(), entry, 11 + i) };
    }
    let mut turn = 0;
    while results.contains(&None) {
        turn = 1 - turn;
        if results[turn].is_some() {
            continue;
        }
        CURRENT.store(turn, Ordering::Relaxed);
        // SAFETY: the task is suspended: fresh, or in the handler on its stack.
        let said = unsafe { switch(WORKER.host.get(), *WORKER.tasks[turn].get(), rounds) };
        if said != 1 {
            // SAFETY: made by `entry` with Box::into_raw.
            results[turn] = Some(unsafe { *Box::from_raw(said as *mut u64) });
        }
    }
    STOP.store(true, Ordering::Relaxed);
    ticker.join().unwrap();
    assert_eq!(results, [Some(work(rounds, 11)), Some(work(rounds, 12))]);
    assert!(PREEMPTED.load(Ordering::Relaxed) > 5, "{PREEMPTED:?} preemptions");
}
