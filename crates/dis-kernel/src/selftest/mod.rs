//! Tests that need the machine: `test=NAME` on the command line runs one, and the exit code tells how it went.
//!
//! Time is no assertion: in an emulator a CPU may stand still for as long as it likes. What must happen is waited for
//! (`eventually`), with a bound that only decides between slow and never.

mod api;
mod basics;
mod channels;
mod injection;
mod ipc;
mod ipc_user;
mod isolation;
mod memory;
mod modules;
mod torture;
mod user;

use alloc::format;
use alloc::string::String;

use dis_core::api::{Duration, SchedError};

use crate::arch::exit::Exit;
use crate::boot::Booted;
use crate::{clock, println, task};

type Outcome = Result<(), String>;
type Test = fn(&Booted) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("preempt", basics::preempt),
    ("api", api::api),
    ("torture", torture::torture_all),
    ("isolation", isolation::isolation),
    ("user", user::user_mode),
    ("injection", injection::injection),
    ("leak", memory::leak),
    ("many", memory::many),
    ("ipc", ipc::ipc),
    ("modules", modules::modules),
    ("kernel-fault", isolation::kernel_fault),
    ("kernel-panic", isolation::kernel_panic),
    ("policy-panic", modules::policy_panic),
    ("figures", crate::figures::run),
];

/// Runs the test of that name.
pub fn run(name: &str, booted: &Booted) -> Exit {
    let Some((_, test)) = TESTS.iter().find(|(other, _)| *other == name) else {
        println!(
            "there is no test {name:?}; there are: {:?}",
            TESTS.iter().map(|(name, _)| name).collect::<alloc::vec::Vec<_>>()
        );
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

pub(crate) use ipc_user::time_of_calls;

#[cfg(feature = "clobber-red-zone")]
pub(crate) use torture::clobber_red_zone;

/// Waits until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Outcome {
    let start = clock::now();
    while !condition() {
        if clock::now().since(start) > Duration::from_secs(40) {
            return Err(format!("never came: {what}"));
        }
        task::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A failure unless `condition` holds.
fn ensure(condition: bool, what: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(what()) }
}

/// A scheduler's refusal as a failure.
fn refused(error: SchedError) -> String {
    format!("the scheduler refused: {error}")
}
