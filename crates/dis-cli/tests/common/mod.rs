//! Runs the built command.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A folder that is gone after the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dis-cli-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file and answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

pub fn dis(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The JSON report on standard output, which must hold nothing else.
pub fn report(output: &Output) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\nstdout: {out}\nstderr: {err}"))
}

/// A task's row.
pub fn task<'r>(report: &'r Value, name: &str) -> &'r Value {
    let tasks = report["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("no task {name} in {report}"))
}

/// All five classes, for a short while.
pub const MIXED: &str = r#"
duration = "300ms"
[[task]]
name = "control"
intent = "realtime"
period = "10ms"
wcet = "2ms"
loop = [ { run = "1ms" } ]
[[task]]
name = "ui"
intent = "interactive"
latency = "2ms"
loop = [ { sleep = "5ms" }, { run = "200us" } ]
[[task]]
name = "encode"
intent = "batch"
instances = 2
loop = [ { run = "10ms" } ]
[[task]]
name = "index"
intent = "background"
loop = [ { run = "5ms" } ]
[[task]]
name = "house"
intent = "system"
loop = [ { sleep = "20ms" }, { run = "100us" } ]
"#;
