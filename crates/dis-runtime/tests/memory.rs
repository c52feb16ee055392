//! Memory limits of tasks, with the allocator that enforces them.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;
use std::sync::OnceLock;

use dis_runtime::memory::{Accounting, used};
use dis_runtime::{Intent, JoinError, Runtime, SchedError, SpawnError, future, spawn_fn, yield_now};

#[global_allocator]
static MEMORY: Accounting = Accounting::new();

const KIB: usize = 1 << 10;

fn limited(bytes: usize) -> Intent {
    Intent::batch().with_memory_limit(bytes)
}

/// One for all tests: dropping a runtime aborts its tasks.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::builder().workers(1).build().unwrap())
}

fn message<T: std::fmt::Debug>(ended: Result<T, JoinError>) -> String {
    match ended {
        Err(error @ JoinError::Panic(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_task_allocates_and_frees_is_counted() {
    let counted = runtime().spawn_fn(limited(1000 * KIB), || {
        let before = used().unwrap();
        let block = vec![1u8; 100 * KIB];
        let with = used().unwrap();
        drop(block);
        let zeroed = vec![0u8; 50 * KIB];
        let with_zeroed = used().unwrap();
        drop(zeroed);
        (with - before, with_zeroed - before, used().unwrap() - before)
    });
    assert_eq!(counted.unwrap().join().unwrap(), (100 * KIB, 50 * KIB, 0));
}

#[test]
fn growing_and_shrinking_is_counted() {
    let counted = runtime().spawn_fn(limited(1000 * KIB), || {
        let before = used().unwrap();
        let mut block = Vec::<u8>::with_capacity(10 * KIB);
        block.reserve_exact(90 * KIB);
        let grown = used().unwrap() - before;
        block.shrink_to(20 * KIB);
        (grown, used().unwrap() - before)
    });
    assert_eq!(counted.unwrap().join().unwrap(), (90 * KIB, 20 * KIB));
}

#[test]
fn a_task_over_its_limit_panics_at_its_next_cooperative_point_and_is_cleaned_up() {
    struct Sign(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Sign {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let dropped = std::sync::Arc::default();
    let sign = Sign(std::sync::Arc::clone(&dropped));
    let task = runtime().spawn_fn(limited(100 * KIB), move || {
        let _sign = sign;
        let mut blocks = Vec::new();
        // Less than twice the limit, so nothing else ends it.
        for _ in 0..150 {
            blocks.push(vec![0u8; KIB]);
            yield_now();
        }
        blocks.len()
    });
    let message = message(task.unwrap().join());
    assert!(message.contains("over its memory limit (max_memory) of 102400 bytes"), "{message}");
    assert!(dropped.load(std::sync::atomic::Ordering::SeqCst), "its values were dropped");
}

#[test]
fn a_task_within_its_limit_goes_on() {
    let task = runtime().spawn_fn(limited(100 * KIB), || {
        for _ in 0..1000 {
            drop(vec![1u8; 90 * KIB]);
            yield_now();
        }
    });
    task.unwrap().join().unwrap();
}

#[test]
fn an_allocation_far_beyond_the_limit_fails_and_can_be_handled() {
    let task = runtime().spawn_fn(limited(100 * KIB), || {
        let mut big = Vec::<u8>::new();
        let refused = big.try_reserve_exact(201 * KIB).is_err();
        let before = used().unwrap();
        let mut small = Vec::<u8>::with_capacity(KIB);
        let kept = small.try_reserve_exact(300 * KIB).is_err() && used().unwrap() == before + KIB;
        yield_now();
        (refused, kept)
    });
    assert_eq!(task.unwrap().join().unwrap(), (true, true));
}

#[test]
fn what_a_task_hands_on_stays_its_own_until_it_is_freed() {
    let rt = runtime();
    let task = rt.spawn_fn(limited(1000 * KIB), || {
        let before = used().unwrap();
        let block = vec![1u8; 100 * KIB];
        let child = spawn_fn(Intent::batch(), move || (block, used())).unwrap();
        let (block, of_child) = child.join().unwrap();
        let held = used().unwrap() - before;
        (block, held >= 100 * KIB, of_child)
    });
    let (block, held, of_child) = task.unwrap().join().unwrap();
    assert!(held);
    assert_eq!(of_child, None, "no limit, no account");
    // The task has ended; its book lives as long as this block.
    drop(block);
}

#[test]
fn a_future_over_its_limit_ends_with_a_panic() {
    let rt = runtime();
    let task = rt.spawn(limited(100 * KIB), async {
        let mut blocks = Vec::new();
        for _ in 0..150 {
            blocks.push(vec![0u8; KIB]);
            future::yield_now().await;
        }
        blocks.len()
    });
    let message = message(task.unwrap().join());
    assert!(message.contains("over its memory limit"), "{message}");
}

#[test]
fn a_limit_stays_for_life() {
    let rt = runtime();
    let go = std::sync::Arc::new(dis_runtime::sync::Event::manual());
    let wait = std::sync::Arc::clone(&go);
    let task = rt.spawn_fn(limited(100 * KIB), move || {
        wait.wait();
        let _block = vec![1u8; 150 * KIB];
        yield_now();
    });
    let task = task.unwrap();
    let Err(SchedError::NotSupported(why)) = task.set_intent(&limited(500 * KIB)) else { panic!("accepted") };
    assert!(why.starts_with("max_memory: settled"), "{why}");
    task.set_intent(&Intent::background()).unwrap();
    go.set();
    assert!(message(task.join()).contains("memory limit"));
}

/// The whole process ends, as stable Rust has it, so it is another one.
#[test]
fn what_cannot_report_failure_ends_the_process_at_twice_the_limit() {
    const CHILD: &str = "DIS_TEST_MEMORY_HOG";
    if std::env::var_os(CHILD).is_some() {
        let task = runtime().spawn_fn(limited(100 * KIB), || {
            let mut blocks = Vec::new();
            for _ in 0..400 {
                blocks.push(vec![1u8; KIB]);
                std::hint::black_box(&mut blocks);
            }
        });
        let _: Result<(), _> = task.unwrap().join();
        return;
    }
    let name = "what_cannot_report_failure_ends_the_process_at_twice_the_limit";
    let child =
        Command::new(std::env::current_exe().unwrap()).args([name, "--exact"]).env(CHILD, "1").output().unwrap();
    assert!(!child.status.success());
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(text.contains("memory allocation of"), "{text}");
}

#[test]
fn alignment_is_kept() {
    #[repr(align(256))]
    struct Aligned([u8; 256]);
    let task = runtime().spawn_fn(limited(1000 * KIB), || {
        let blocks: Vec<Box<Aligned>> = (0..100).map(|n| Box::new(Aligned([n; 256]))).collect();
        blocks.iter().enumerate().all(|(n, block)| {
            std::ptr::from_ref::<Aligned>(block).addr().is_multiple_of(256)
                && block.0.iter().all(|&byte| usize::from(byte) == n)
        })
    });
    assert!(task.unwrap().join().unwrap());
}

#[test]
fn spawn_errors_name_the_constraint() {
    // This program has the allocator, so the limit is accepted; a bandwidth of memory is not, on most machines.
    let mut intent = limited(100 * KIB);
    intent.qos.mem_bandwidth = Some(100);
    match runtime().spawn_fn(intent.clone(), || ()) {
        Err(SpawnError::Refused(SchedError::NotSupported(why))) => assert!(why.starts_with("mem_bandwidth: "), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(task) => {
            assert!(std::path::Path::new("/sys/fs/resctrl/schemata").exists(), "accepted on a machine that cannot");
            task.join().unwrap();
        }
    }
    runtime().task(intent).best_effort().spawn(|| ()).unwrap().join().unwrap();
}
