//! A program without the accounting allocator cannot have memory limits.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use dis_runtime::{Intent, Runtime, SchedError, SpawnError};

#[test]
fn a_memory_limit_without_the_allocator_is_refused() {
    let rt = Runtime::builder().workers(1).build().unwrap();
    let intent = Intent::batch().with_memory_limit(1 << 20);
    let Err(SpawnError::Refused(SchedError::NotSupported(why))) = rt.spawn_fn(intent.clone(), || ()) else {
        panic!("accepted");
    };
    assert!(why.starts_with("max_memory: ") && why.contains("Accounting"), "{why}");
    rt.task(intent).best_effort().spawn(|| ()).unwrap().join().unwrap();
}
