//! What tasks put into thread-locals nests, as on threads: scoped thread-locals stay sound.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dis_runtime::{Intent, JoinHandle, Runtime, sleep, spawn_fn, yield_now};

thread_local! {
    /// The innermost scope on this thread, 0 for none. A crate with scoped thread-locals has a pointer into a frame here.
    static SCOPE: Cell<u64> = const { Cell::new(0) };
}

/// Being in scope `.0`; leaving it restores the one around it, `.1`.
struct Scope(u64, u64);

impl Scope {
    fn enter(scope: u64) -> Scope {
        Scope(scope, SCOPE.replace(scope))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if SCOPE.replace(self.1) != self.0 {
            BROKEN.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How often a scope was left that was not the innermost one.
static BROKEN: AtomicU64 = AtomicU64::new(0);

fn scoped(n: u64) {
    let _scope = Scope::enter(n);
    for i in 0..4 {
        // Different lengths, so that they do not end in the order in which they began.
        sleep(Duration::from_micros(300 + (n * 37 + i * 11) % 400));
        yield_now();
    }
}

#[test]
fn scopes_of_many_tasks_nest() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let spawn = |n| match n % 3 {
        0 => rt.spawn_fn(Intent::interactive(1_000), move || scoped(n)),
        1 => rt.spawn_fn(Intent::batch(), move || scoped(n)),
        // From a task, whose thread is at hand.
        _ => rt.spawn_fn(Intent::batch(), move || {
            let _scope = Scope::enter(1_000 + n);
            let children: Vec<JoinHandle<()>> =
                (0..3).map(|i| spawn_fn(Intent::batch(), move || scoped(10_000 + 10 * n + i)).unwrap()).collect();
            for child in children {
                child.join().unwrap();
                assert_eq!(SCOPE.get(), 1_000 + n);
            }
        }),
    };
    let tasks: Vec<_> = (1..200).map(|n| spawn(n).unwrap()).collect();
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(BROKEN.load(Ordering::Relaxed), 0);
}

#[test]
fn an_aborted_parent_outlives_the_child_that_runs_on_its_thread() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let begun = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    struct Ends(Arc<AtomicU64>, u64);
    impl Drop for Ends {
        fn drop(&mut self) {
            // The child first, then the parent.
            self.0.compare_exchange(self.1 - 1, self.1, Ordering::Relaxed, Ordering::Relaxed).unwrap();
        }
    }
    let (child_begun, both) = (begun.clone(), ended.clone());
    let parent = rt.spawn_fn(Intent::batch(), move || {
        let _ends = Ends(both.clone(), 2);
        let _scope = Scope::enter(1);
        let child = spawn_fn(Intent::batch(), move || {
            let _ends = Ends(both, 1);
            let _scope = Scope::enter(2);
            child_begun.store(1, Ordering::Relaxed);
            sleep(Duration::from_millis(50));
        });
        child.unwrap().join().unwrap();
        loop {
            sleep(Duration::from_millis(1));
        }
    });
    let parent: JoinHandle<()> = parent.unwrap();
    while begun.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    parent.abort();
    assert!(parent.join().is_err());
    assert_eq!((ended.load(Ordering::Relaxed), BROKEN.load(Ordering::Relaxed)), (2, 0));
}
