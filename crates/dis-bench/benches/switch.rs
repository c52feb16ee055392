//! The raw switch of stacks, beside corosensei's.

use std::hint::black_box;

use corosensei::{Coroutine, CoroutineResult};
use dis_bench::{Options, Report, measure};
use dis_context::{Context, StackConfig, StackPool, switch};

/// The two sides of a ping-pong.
struct Pair {
    host: Context,
    task: Context,
}

unsafe extern "C" fn pong(data: usize, _: usize) -> ! {
    let pair = data as *mut Pair;
    let mut sum = 0;
    loop {
        // SAFETY: the host is suspended in `main`, which keeps the pair alive.
        sum = sum + unsafe { switch(&raw mut (*pair).task, (*pair).host, sum) };
    }
}

const ROUND_TRIPS: u64 = 200_000;

fn main() {
    let options = Options::from_args();
    let mut report = Report::begin("switch", "one switch of stacks, one way, ns", &options);

    let pool = StackPool::new(StackConfig { max_stacks: 4, ..StackConfig::default() }).expect("stacks");
    let stack = pool.alloc().expect("a stack");
    let mut pair = Pair { host: Context::empty(), task: Context::empty() };
    let p = &raw mut pair;
    // SAFETY: the stack and the pair live to the end of main, and both sides reach the pair through `p`.
    unsafe { (*p).task = Context::new(stack.top(), pong, p as usize) };

    // Both hand one number over in each direction, and add it up.
    let mut coroutine = Coroutine::<usize, usize, ()>::new(|yielder, mut got| {
        let mut sum = 0;
        loop {
            sum += got;
            got = yielder.suspend(sum);
        }
    });

    for _ in 0..options.rounds(100) {
        let ours = measure::per_op(2 * ROUND_TRIPS, || {
            for i in 0..ROUND_TRIPS as usize {
                // SAFETY: the task is suspended in `pong`.
                black_box(unsafe { switch(&raw mut (*p).host, (*p).task, i) });
            }
        });
        let theirs = measure::per_op(2 * ROUND_TRIPS, || {
            for i in 0..ROUND_TRIPS as usize {
                if let CoroutineResult::Yield(sum) = coroutine.resume(i) {
                    black_box(sum);
                }
            }
        });
        report.push("dis-context", "ns", ours);
        report.push("corosensei", "ns", theirs);
    }
    let ratio = report.median("dis-context", "ns").zip(report.median("corosensei", "ns")).map(|(d, c)| d / c);
    report.check("ratio to corosensei", ratio, 1.5);
    report.finish(&options);
    // The coroutine never ends, so it cannot be dropped.
    std::mem::forget(coroutine);
}
