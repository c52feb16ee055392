//! Tests that need the machine: `test=NAME` on the command line runs one.

use core::sync::atomic::{AtomicU64, Ordering};

use dis_core::api::Duration;
use dis_core::intent::Intent;

use crate::arch::exit::Exit;
use crate::boot::Booted;
use crate::{clock, println, task};

type Test = fn(&Booted) -> Result<(), alloc::string::String>;

const TESTS: &[(&str, Test)] = &[("preempt", preempt)];

/// Runs the test of that name.
pub fn run(name: &str, booted: &Booted) -> Exit {
    let Some((_, test)) = TESTS.iter().find(|(other, _)| *other == name) else {
        println!("there is no test {name:?}");
        return Exit::BadInput;
    };
    match test(booted) {
        Ok(()) => {
            println!("test {name}: ok");
            Exit::Success
        }
        Err(problem) => {
            println!("test {name}: FAILED: {problem}");
            Exit::TestFailed
        }
    }
}

/// Two tasks that never give way, and one that sleeps, on however many CPUs: all make progress.
fn preempt(_: &Booted) -> Result<(), alloc::string::String> {
    static TURNS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    let mut ids = alloc::vec::Vec::new();
    for place in 0..2 {
        let spin = move || loop {
            TURNS[place].fetch_add(1, Ordering::Relaxed);
        };
        ids.push(task::spawn("spin", Intent::batch(), spin).map_err(|e| alloc::format!("{e}"))?);
    }
    let before = clock::now();
    task::sleep(Duration::from_millis(200));
    let slept = clock::now().since(before);
    let turns = [0, 1].map(|place| TURNS[place].load(Ordering::Relaxed));
    println!("slept {} us, turns {turns:?}", slept.as_nanos() / 1000);
    for id in ids {
        let stats = task::stats(id).map_err(|e| alloc::format!("{e}"))?;
        println!("{stats:?}");
        task::kill(id).map_err(|e| alloc::format!("kill {e}"))?;
        println!("{:?}", task::join(id));
    }
    if turns.contains(&0) || slept < Duration::from_millis(200) { Err("no progress".into()) } else { Ok(()) }
}
