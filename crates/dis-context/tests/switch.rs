//! Switching: values, registers, panics, drops, threads.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Task, pool};
use dis_context::{Context, jump, switch, switch_with_fp};

#[test]
fn values_go_both_ways() {
    let pool = pool(1);
    let mut task = Task::new(&pool, |y, first| {
        let second = y.give(first + 1);
        let third = y.give(second * 2);
        third + 100
    });
    assert_eq!(task.resume(1).ok(), Some(2));
    assert_eq!(task.resume(21).ok(), Some(42));
    assert_eq!(task.resume(5).unwrap_err().unwrap(), 105);
}

#[test]
fn a_million_round_trips_keep_live_values() {
    const N: usize = 1_000_000;
    let pool = pool(1);
    let mut task = Task::new(&pool, |y, mut x| {
        // More live integers and floats than there are registers, so that some live in rbx, rbp and vector registers.
        let mut live = [1u64, 2, 3, 5, 7, 11, 13, 17];
        let mut float = 1.0f64;
        for _ in 0..N {
            x = y.give(x + 1);
            live.iter_mut().for_each(|v| *v = v.wrapping_mul(31).wrapping_add(x as u64));
            float += 0.5;
        }
        assert_eq!(float, 1.0 + 0.5 * N as f64);
        live.iter().fold(0u64, |a, v| a ^ v) as usize
    });
    let (mut x, mut expected, mut float) = (0, [1u64, 2, 3, 5, 7, 11, 13, 17], 0.25f64);
    for i in 0..N {
        let got = task.resume(x).ok().unwrap();
        assert_eq!(got, x + 1);
        x = got + i % 3;
        expected.iter_mut().for_each(|v| *v = v.wrapping_mul(31).wrapping_add(x as u64));
        float *= -1.0;
    }
    assert_eq!(float, 0.25);
    let last = task.resume(x).unwrap_err().unwrap();
    assert_eq!(last, expected.iter().fold(0u64, |a, v| a ^ v) as usize);
}

#[test]
fn the_stack_is_aligned_for_vector_code() {
    #[repr(align(64))]
    struct Wide([u8; 64]);
    let pool = pool(40);
    for _ in 0..40 {
        let mut task = Task::new(&pool, |_, _| {
            let wide = Wide([7; 64]);
            let text = format!("{:.3} {}", 1.5f64, wide.0.iter().map(|&b| b as usize).sum::<usize>());
            assert_eq!(text, "1.500 448");
            std::hint::black_box(&wide).0.as_ptr().addr() % 64
        });
        assert_eq!(task.resume(0).unwrap_err().unwrap(), 0);
        std::mem::forget(task); // keeps the stack, so that every colour has its turn
    }
}

struct CountsDrop(Arc<AtomicUsize>);
impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_panic_is_caught_at_the_entry_and_drops_run() {
    let pool = pool(2);
    let drops = Arc::new(AtomicUsize::new(0));
    let counter = drops.clone();
    let mut task = Task::new(&pool, move |y, _| {
        let _outer = CountsDrop(counter.clone());
        y.give(1);
        let _inner = CountsDrop(counter);
        std::panic::panic_any("expected");
    });
    assert_eq!(task.resume(0).ok(), Some(1));
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    let payload = task.resume(0).unwrap_err().unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "expected");
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    drop(task);
    assert_eq!(pool.in_use(), 0);
    // The stack is fit for use afterwards.
    assert_eq!(Task::new(&pool, |_, x| x).resume(9).unwrap_err().unwrap(), 9);
}

#[test]
fn a_context_goes_on_on_another_thread() {
    let pool = pool(1);
    let mut task = Task::new(&pool, |y, mut sum| {
        for _ in 0..10 {
            sum += y.give(sum);
        }
        sum
    });
    assert_eq!(task.resume(0).ok(), Some(0));
    for i in 1..10 {
        task = std::thread::spawn(move || {
            assert_eq!(task.resume(i).ok(), Some((1..=i).sum()));
            task
        })
        .join()
        .unwrap();
    }
    assert_eq!(task.resume(10).unwrap_err().unwrap(), 55);
}

#[test]
fn tasks_may_resume_tasks() {
    fn nest(pool: &'static dis_context::StackPool, depth: usize) -> usize {
        if depth == 0 {
            return 0;
        }
        Task::new(pool, move |_, _| 1 + nest(pool, depth - 1)).resume(0).unwrap_err().unwrap()
    }
    let pool = Box::leak(Box::new(pool(64)));
    assert_eq!(nest(pool, 64), 64);
    assert_eq!(pool.in_use(), 0);
}

unsafe extern "C" fn scribbles_and_returns(data: usize, mut arg: usize) -> ! {
    let pair = data as *mut [Context; 2];
    loop {
        // SAFETY: the host is suspended in `leaf`.
        arg = unsafe { switch(&raw mut (*pair)[1], (*pair)[0], arg + 1) };
    }
}

/// Has locals in memory and calls nothing but `switch`, so the compiler would like to put them into the red zone.
#[inline(never)]
fn leaf(pair: *mut [Context; 2], seed: usize) -> bool {
    let mut locals = [0usize; 12];
    for (i, local) in locals.iter_mut().enumerate() {
        // SAFETY: a local.
        unsafe { std::ptr::write_volatile(local, seed ^ i) };
    }
    // SAFETY: the task is suspended: fresh, or in `scribbles_and_returns`.
    let got = unsafe { switch(&raw mut (*pair)[0], (*pair)[1], seed) };
    // SAFETY: locals.
    got == seed + 1 && (0..12).all(|i| unsafe { std::ptr::read_volatile(&locals[i]) } == seed ^ i)
}

#[test]
fn the_red_zone_of_the_caller_is_not_touched() {
    let pool = pool(1);
    let stack = pool.alloc().unwrap();
    let mut pair = [Context::empty(); 2];
    let p = &raw mut pair;
    // SAFETY: stack and pair outlive the task.
    unsafe { (*p)[1] = Context::new(stack.top(), scribbles_and_returns, p as usize) };
    assert!((0..1000).all(|seed| leaf(p, seed)));
}

static mut HOST: Context = Context::empty();

/// Reads mxcsr and the x87 control word.
fn control_words() -> (u32, u16) {
    let (mut mxcsr, mut x87) = (0u32, 0u16);
    // SAFETY: both instructions store to the given places and nothing else.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &mut mxcsr, in(reg) &mut x87);
    }
    (mxcsr & !0x3f, x87)
}

/// Sets both: flush to zero, and x87 rounding down.
fn change_control_words(mxcsr: u32, x87: u16) {
    // SAFETY: valid values; nothing here computes with floats until they are put back.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &mxcsr, in(reg) &x87);
    }
}

#[test]
fn switch_with_fp_keeps_the_control_words_apart() {
    unsafe extern "C" fn changes_them(_: usize, _: usize) -> ! {
        let mut own = Context::empty();
        assert_eq!(control_words(), (0x1F80, 0x037F), "new_with_fp starts with the initial values");
        change_control_words(0x9F80, 0x077F);
        // SAFETY: the host is suspended in the test below.
        unsafe { switch_with_fp(&mut own, HOST, own_address(&own)) };
        let ok = control_words() == (0x9F80, 0x077F);
        // SAFETY: as above.
        unsafe { jump(HOST, usize::from(ok)) }
    }
    fn own_address(context: &Context) -> usize {
        std::ptr::from_ref(context).addr()
    }
    let pool = pool(1);
    let stack = pool.alloc().unwrap();
    let host = &raw mut HOST;
    // SAFETY: the stack is ours; HOST is used by this test only; the task is suspended whenever we switch to it.
    unsafe {
        let task = Context::new_with_fp(stack.top(), changes_them, 0);
        let suspended = switch_with_fp(host, task, 0) as *const Context;
        assert_eq!(control_words(), (0x1F80, 0x037F));
        // Plain `switch` to a context that kept its control words restores them; ours are then lost.
        let ok = switch(host, *suspended, 0);
        change_control_words(0x1F80, 0x037F);
        assert_eq!(ok, 1);
    }
}

#[test]
fn the_placeholder_is_empty() {
    assert!(Context::empty().is_empty());
    assert_eq!(size_of::<Context>(), 8);
}
