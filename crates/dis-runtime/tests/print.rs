//! `println!` in tasks that are preempted in its midst.

#[path = "common/alone.rs"]
mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{alone, is_child};
use dis_runtime::{Intent, Runtime};

/// In front of each line; what the test harness prints may stand before it.
const MARK: &str = "@line ";

fn text(task: u64, n: u64) -> String {
    (0..40).map(|i| char::from(b'a' + ((task * 7 + n * 3 + i) % 26) as u8)).collect()
}

#[test]
fn lines_are_neither_torn_nor_lost() {
    let output = alone("child_prints");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut next: HashMap<u64, u64> = HashMap::new();
    let mut ends = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines().filter_map(|line| Some(line.split_once(MARK)?.1)) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [task, n, word] = fields[..] else { panic!("torn: {line:?}") };
        let (task, n): (u64, u64) = (task.parse().unwrap(), n.parse().unwrap());
        let expected = next.entry(task).or_default();
        if word == "end" {
            assert_eq!(n, *expected, "lines of task {task} are missing");
            ends += 1;
            continue;
        }
        assert_eq!((n, word), (*expected, text(task, n).as_str()), "{line:?}");
        *expected += 1;
    }
    assert_eq!((next.len(), ends), (5, 5));
}

#[test]
fn child_prints() {
    if !is_child() {
        return;
    }
    let rt = Runtime::builder().workers(2).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let intents = [Intent::batch(), Intent::batch(), Intent::background(), Intent::interactive(1000)];
    let print = |task: u64, stop: Arc<AtomicBool>| {
        move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                println!("{MARK}{task} {n} {}", text(task, n));
                n += 1;
            }
            println!("{MARK}{task} {n} end");
        }
    };
    let tasks: Vec<_> =
        (0..).zip(intents).map(|(n, intent)| rt.spawn_fn(intent, print(n, stop.clone())).unwrap()).collect();
    let thread = std::thread::spawn(print(4, stop.clone()));
    while rt.preemption_signals() < 100 {
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    thread.join().unwrap();
}
