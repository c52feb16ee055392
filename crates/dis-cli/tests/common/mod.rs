//! Runs the built command.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
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

/// The library of an example of dis-module.
pub fn library(name: &str) -> String {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_dis")).parent().unwrap();
        let target = folder.parent().unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let name = if name == "debug" { "dev" } else { name };
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../dis-module/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--profile", name, "--manifest-path", manifest]);
        assert!(cargo.arg("--target-dir").arg(target).status().unwrap().success());
        folder.join("examples")
    });
    folder.join(format!("lib{name}.so")).display().to_string()
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
