//! What a future does after it has blocked its poller in the kernel, and others serve its lane.

use std::time::Duration;

use dis_runtime::{Intent, Runtime, future};

/// The stand-in has found nothing to do and waits for nothing: it has to be told of a timer.
#[test]
fn a_timer_that_is_set_after_the_lane_was_taken_over_fires() {
    let rt = Runtime::builder().workers(1).build().expect("a runtime");
    for round in 0..10 {
        let blocks = async {
            std::thread::sleep(Duration::from_millis(20));
            future::sleep(Duration::from_millis(1)).await;
        };
        let blocks = rt.spawn(Intent::batch(), blocks).expect("spawned");
        // Polled by the stand-in.
        rt.spawn(Intent::batch(), async {}).expect("spawned").join().expect("no panic");
        let looks =
            (0..10_000).find(|_| blocks.is_finished() || (std::thread::sleep(Duration::from_millis(1)), false).1);
        assert!(looks.is_some(), "round {round}: nobody fires the timer");
        blocks.join().expect("no panic");
    }
}
