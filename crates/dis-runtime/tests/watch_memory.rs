//! What watching by the control socket allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dis_control::Client;
use dis_control::protocol::{Command, Reply};
use dis_runtime::{Intent, Runtime, yield_now};

/// The system's allocator, which notes the largest request.
struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: as the system's.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// Some ten thousand events between two looks. A buffer for them, made anew at each, leaves its pages all over a heap that has room
/// between what is reserved and seldom used, so that the process grows by hundreds of MiB.
#[test]
fn reading_the_record_takes_no_large_buffers() {
    let path = std::env::temp_dir().join(format!("dis-watch-{}.sock", std::process::id()));
    let rt = Runtime::builder().workers(1).control_socket(&path).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            let body = move || {
                while !stop.load(Ordering::Relaxed) {
                    yield_now();
                }
            };
            // SAFETY: the body keeps no address of a thread-local.
            unsafe { rt.task(Intent::batch()).shared() }.spawn(body).unwrap()
        })
        .collect();
    let mut client = Client::connect(&path).unwrap();
    let mut decisions = || match client.ask(&Command::Stats { watch: true }).unwrap() {
        Reply::Stats(stats) => stats.reasons.iter().map(|(_, count)| *count).sum::<u64>(),
        other => panic!("{other:?}"),
    };
    // The rings are there from here on.
    decisions();
    LARGEST.store(0, Ordering::Relaxed);
    let until = Instant::now() + Duration::from_secs(60);
    while decisions() < 50_000 {
        assert!(Instant::now() < until, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest < 128 << 10, "{largest} bytes at once");
}
