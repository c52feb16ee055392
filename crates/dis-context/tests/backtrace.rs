//! A backtrace taken in a task ends at the task's entry.

mod common;

use std::backtrace::Backtrace;
use std::sync::mpsc;

use common::{Task, pool};

#[inline(never)]
fn deep(n: usize, send: &mpsc::Sender<String>) -> usize {
    if n > 0 {
        return std::hint::black_box(deep(n - 1, send)) + 1;
    }
    send.send(Backtrace::force_capture().to_string()).unwrap();
    0
}

#[test]
fn a_backtrace_ends_cleanly_at_the_trampoline() {
    let pool = pool(1);
    let (send, receive) = mpsc::channel();
    let mut task = Task::new(&pool, move |y, _| {
        y.give(0);
        deep(5, &send)
    });
    assert_eq!(task.resume(0).ok(), Some(0));
    assert_eq!(task.resume(0).unwrap_err().unwrap(), 5);
    let trace = receive.recv().unwrap();
    // "  3: path::deep": the function's own name, with or without its path.
    let frames = trace.lines().filter_map(|line| line.trim_start().split_once(": "));
    let names: Vec<_> = frames.map(|(_, name)| name.rsplit("::").next().unwrap_or(name)).collect();
    let count = |name| names.iter().filter(|&&n| n == name).count();
    assert_eq!((count("deep"), count("entry"), count("resume")), (6, 1, 0), "{trace}");
    assert_eq!(names.last(), Some(&"trampoline"), "{trace}");
}
