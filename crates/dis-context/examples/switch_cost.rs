//! Prints what a switch and a stack cost: `cargo run --release -p dis-context --example switch_cost`.

use std::hint::black_box;
use std::time::Instant;

use dis_context::{Context, Stack, StackConfig, StackPool, switch, switch_with_fp};

/// The two sides of a ping-pong.
struct Pair {
    host: Context,
    task: Context,
}

unsafe extern "C" fn pong(data: usize, _: usize) -> ! {
    let pair = data as *mut Pair;
    loop {
        // SAFETY: the host is suspended in `ping`.
        unsafe { switch(&raw mut (*pair).task, (*pair).host, 0) };
    }
}

unsafe extern "C" fn pong_with_fp(data: usize, _: usize) -> ! {
    let pair = data as *mut Pair;
    loop {
        // SAFETY: the host is suspended in `ping`.
        unsafe { switch_with_fp(&raw mut (*pair).task, (*pair).host, 0) };
    }
}

/// The least ns per round of `n`, of 15 tries.
fn least(n: u32, mut round: impl FnMut()) -> f64 {
    let tries = (0..15).map(|_| {
        let start = Instant::now();
        (0..n).for_each(|_| round());
        start.elapsed().as_nanos() as f64 / f64::from(n)
    });
    tries.fold(f64::INFINITY, f64::min)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = StackPool::new(StackConfig::default())?;
    let stacks: (Stack, Stack) = (pool.alloc()?, pool.alloc()?);

    let mut pair = Pair { host: Context::empty(), task: Context::empty() };
    let p = &raw mut pair;
    // SAFETY: the stack lives to the end of main; `pair` as well, and both sides reach it through `p`.
    unsafe { (*p).task = Context::new(stacks.0.top(), pong, p as usize) };
    // SAFETY: the task is suspended in `pong`.
    let ns = least(5_000_000, || _ = unsafe { switch(&raw mut (*p).host, (*p).task, 0) });
    println!("switch                 {:6.2} ns one way", ns / 2.0);

    // SAFETY: as above, with the other stack; the first task is abandoned.
    unsafe { (*p).task = Context::new_with_fp(stacks.1.top(), pong_with_fp, p as usize) };
    // SAFETY: the task is suspended in `pong_with_fp`.
    let ns = least(1_000_000, || _ = unsafe { switch_with_fp(&raw mut (*p).host, (*p).task, 0) });
    println!("switch_with_fp         {:6.2} ns one way", ns / 2.0);

    for n in [100, 10_000, 100_000] {
        let tasks = many(&pool, n)?;
        let mut next = 0;
        let ns = least(n as u32 * 3, || {
            let pair = &raw const *tasks[next].0 as *mut Pair;
            next = if next + 1 == n { 0 } else { next + 1 };
            // SAFETY: each task is suspended in `pong`, its stack in the same tuple.
            unsafe { switch(&raw mut (*pair).host, (*pair).task, 0) };
        });
        println!("switch, {n:6} tasks   {:6.2} ns one way", ns / 2.0);
    }

    let ns = least(5_000_000, || drop(black_box(pool.alloc())));
    println!("alloc + free, cached   {ns:6.2} ns");
    let fresh = StackPool::new(StackConfig::default())?;
    let start = Instant::now();
    let held: Vec<_> = (0..100_000).map(|_| fresh.alloc()).collect::<Result<_, _>>()?;
    println!("alloc, first use       {:6.0} ns ({:?})", start.elapsed().as_nanos() as f64 / 1e5, fresh.guard_kind());
    // SAFETY: the topmost byte of a stack that nobody else uses.
    held.iter().for_each(|s| unsafe { s.top().sub(1).write(1) });
    let start = Instant::now();
    drop(held);
    println!("free, memory given back{:6.0} ns", start.elapsed().as_nanos() as f64 / 1e5);
    Ok(())
}

/// Tasks that give way for ever, each with its stack.
#[allow(clippy::vec_box, reason = "the pairs' addresses are known to the tasks")]
fn many(pool: &StackPool, n: usize) -> Result<Vec<(Box<Pair>, Stack)>, dis_context::StackError> {
    let make = |_| {
        let stack = pool.alloc()?;
        let mut pair = Box::new(Pair { host: Context::empty(), task: Context::empty() });
        let p = &raw mut *pair;
        // SAFETY: stack and pair are kept together and outlive the last switch.
        unsafe { (*p).task = Context::new(stack.top(), pong, p as usize) };
        Ok((pair, stack))
    };
    (0..n).map(make).collect()
}
