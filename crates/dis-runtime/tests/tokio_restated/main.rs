//! What users of tokio expect of tasks: behaviour that tokio's public test suite (github.com/tokio-rs/tokio, `tokio/tests`) states, said
//! again in the words of this crate. Each test names the file and the test that it restates. Where this crate behaves otherwise on
//! purpose the test says so, with "differs".

mod sets;
mod tasks;
mod time;
mod wakes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dis_runtime::Runtime;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits for it, but not for ever.
async fn soon(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come");
        dis_runtime::future::sleep(ms(1)).await;
    }
}

/// As [`soon`], on an ordinary thread.
fn soon_in_thread(done: impl FnMut() -> bool) {
    dis_runtime::future::block_on(soon(done));
}

/// Whether everybody else has given it up.
fn alone(token: &Arc<()>) -> bool {
    Arc::strong_count(token) == 1
}
