//! The preemption signal: which one it is, who has it, and that no child process of a task inherits anything of it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::{BuildError, Intent, Runtime, sleep};

static URGENT: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    URGENT.fetch_add(1, Ordering::Relaxed);
}

/// Sets what the process does with a signal.
fn set_disposition(signal: i32, action: libc::sighandler_t) {
    // SAFETY: an all-zero action is valid; `count` is async-signal-safe.
    let done = unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = action;
        libc::sigaction(signal, &new, std::ptr::null_mut())
    };
    assert_eq!(done, 0);
}

/// Runs what can only end if a task that never calls the runtime is preempted.
fn needs_preemption(rt: &Runtime) {
    let stop = Arc::new(AtomicBool::new(false));
    let ends = stop.clone();
    let hog = rt.spawn_fn(Intent::batch(), move || while !ends.load(Ordering::Relaxed) {});
    let urgent = rt.spawn_fn(Intent::interactive(1000), || (0..5).for_each(|_| sleep(Duration::from_millis(1))));
    urgent.unwrap().join().unwrap();
    stop.store(true, Ordering::Relaxed);
    hog.unwrap().join().unwrap();
    assert!(rt.preemption_signals() > 0);
}

/// Signals that the process printing this has blocked, as its parent left them: bit n - 1 for signal n.
fn blocked_in_a_child() -> u64 {
    let output = Command::new("grep").args(["^SigBlk:", "/proc/self/status"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    u64::from_str_radix(text.trim().strip_prefix("SigBlk:\t").unwrap(), 16).unwrap()
}

/// Signal dispositions are the process's, so one test after the other.
#[test]
fn the_signal_is_what_was_asked_for() {
    // A handler of somebody else's is left alone; a signal that is ignored may be had.
    set_disposition(libc::SIGUSR1, count as *const () as usize);
    let taken = Runtime::builder().workers(1).signal(libc::SIGUSR1).build();
    assert!(matches!(taken, Err(BuildError::SignalTaken(libc::SIGUSR1))), "{taken:?}");
    set_disposition(libc::SIGUSR1, libc::SIG_IGN);
    needs_preemption(&Runtime::builder().workers(1).signal(libc::SIGUSR1).build().unwrap());

    // Another one than the default, which is the user's own then.
    set_disposition(libc::SIGURG, count as *const () as usize);
    for signal in [libc::SIGUSR2, libc::SIGRTMIN() + 2] {
        needs_preemption(&Runtime::builder().workers(1).signal(signal).build().unwrap());
    }
    assert_eq!(URGENT.load(Ordering::Relaxed), 0);
    assert!(matches!(Runtime::builder().workers(1).build(), Err(BuildError::SignalTaken(libc::SIGURG))));
    set_disposition(libc::SIGURG, libc::SIG_DFL);

    a_child_does_not_inherit_a_blocked_one();
}

/// Whatever the thread that builds the runtime has blocked: closures, polls, after they were preempted.
fn a_child_does_not_inherit_a_blocked_one() {
    let signal = libc::SIGUSR2;
    // SAFETY: the sets are valid.
    let old = unsafe {
        let (mut set, mut old): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut old);
        old
    };
    assert_ne!(blocked_in_a_child() & 1 << (signal - 1), 0, "children inherit masks");
    let rt = Runtime::builder().workers(1).signal(signal).build().unwrap();
    let compute = || {
        let end = dis_runtime::now() + Duration::from_millis(30).into();
        while dis_runtime::now() < end {}
        blocked_in_a_child()
    };
    let closures: Vec<_> = (0..2).map(|_| rt.spawn_fn(Intent::batch(), compute).unwrap()).collect();
    let polls: Vec<_> = (0..2).map(|_| rt.spawn(Intent::batch(), async move { compute() }).unwrap()).collect();
    let masks = closures.into_iter().map(|task| task.join()).chain(polls.into_iter().map(|task| task.join()));
    for mask in masks {
        assert_eq!(mask.unwrap() & 1 << (signal - 1), 0);
    }
    assert!(rt.preemption_signals() > 0);
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut()) };
}
