//! Tests in a process of their own.

use std::process::{Command, Output};

/// Set in such a process: without it the tests that are meant for one do nothing.
const CHILD: &str = "DIS_TEST_CHILD";

/// Runs one test of this file in a process of its own.
pub fn alone(test: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap()
}

pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}
