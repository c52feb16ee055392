//! A run is observed and controlled from another process.

mod common;

use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Folder, MIXED, command, library, text};
use serde_json::Value;

/// `dis run` in a process of its own.
struct Run {
    child: Child,
    socket: String,
}

impl Run {
    fn start(folder: &Folder, workload: &str, more: &[&str]) -> Run {
        let (file, socket) = (folder.file("w.toml", workload), folder.path("control"));
        let mut dis = command();
        dis.args(["run", &file, "--duration", "120s", "--no-progress", "--control", &socket, "--json", "-"]).args(more);
        let child = dis.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let run = Run { child, socket };
        let until = Instant::now() + Duration::from_secs(30);
        while run.ask(&["tasks"]).status.code() == Some(3) {
            assert!(Instant::now() < until, "the run does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        run
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        command().args(["ctl", "--socket", &self.socket]).args(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ask(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code, and what was said.
    fn refusal(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.ask(arguments);
        (output.status.code(), text(&output.stderr))
    }

    fn task(&self, name: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let tasks = self.json(&["tasks"]);
            if let Some(task) = tasks.as_array().unwrap().iter().find(|task| task["name"] == name) {
                return task.clone();
            }
            assert!(Instant::now() < until, "no task {name}: {tasks}");
        }
    }

    /// Ends it as Ctrl-C does. The report, and what was said.
    fn end(self) -> (Value, String) {
        // SAFETY: a signal to a process of ours.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) }, 0);
        let output = self.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        assert!(!Path::new(&self.socket).exists(), "the socket is removed");
        (serde_json::from_slice(&output.stdout).unwrap(), text(&output.stderr))
    }
}

#[test]
fn a_run_is_observed_and_its_tasks_are_changed() {
    let folder = Folder::new();
    let run = Run::start(&folder, MIXED, &[]);
    let stats = run.json(&["stats"]);
    assert!(stats["live"].as_u64().unwrap() >= 5 && !stats["cpus"].as_array().unwrap().is_empty(), "{stats}");
    let index = run.task("index");
    assert_eq!(index["class"], "background");
    let id = index["id"].to_string();
    assert!(run.ask(&["intent", &id, "interactive:5ms"]).status.success());
    assert!(run.ask(&["priority", &id, "7"]).status.success());
    let cpu = index["affinity"][0].to_string();
    assert!(run.ask(&["affinity", &id, &cpu]).status.success());
    let index = run.task("index");
    assert_eq!((&index["class"], &index["priority"]), (&"interactive".into(), &7.into()));
    assert_eq!(index["affinity"].as_array().unwrap().len(), 1);
    let table = text(&run.ask(&["tasks"]).stdout);
    assert!(
        table.contains("NAME") && table.lines().any(|line| line.contains("index") && line.contains(&id)),
        "{table}"
    );
    assert!(text(&run.ask(&["stats"]).stdout).contains("CLASS"));

    let (code, told) = run.refusal(&["intent", &id, "realtime:10ms,9999us"]);
    assert!(code == Some(1) && told.contains(&format!("task {id}: ")), "{told}");
    let (code, told) = run.refusal(&["kill", "12345"]);
    assert_eq!((code, told.as_str()), (Some(1), "error: there is no task 12345; it may have ended\n"));
    let (code, told) = run.refusal(&["intent", &id, "lazy"]);
    assert!(code == Some(2) && told.contains("`lazy` is no class"), "{told}");

    assert!(run.ask(&["kill", &id]).status.success());
    let until = Instant::now() + Duration::from_secs(30);
    while run.json(&["tasks"]).as_array().unwrap().iter().any(|task| task["name"] == "index") {
        assert!(Instant::now() < until, "it does not end");
    }
    let (report, _) = run.end();
    assert!(common::task(&report, "ui")["jobs"].as_u64().unwrap() > 0);
}

#[test]
fn who_cannot_be_asked_is_told_apart() {
    let folder = Folder::new();
    let ask = |path: &str| {
        let output = command().args(["ctl", "tasks", "--socket", path]).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let missing = folder.path("missing");
    assert_eq!(ask(&missing), (Some(3), format!("error: {missing}: there is no such socket\n")));
    let stale = folder.path("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let (code, told) = ask(&stale);
    assert!(code == Some(3) && told.contains("the process that made this socket is gone"), "{told}");
    let file = folder.file("file", "");
    let (code, told) = ask(&file);
    assert!(code == Some(3) && told.contains("is no socket"), "{told}");
    let mut nobody = command();
    let output = nobody.args(["ctl", "tasks"]).env("XDG_RUNTIME_DIR", &folder.0).output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(3) && told.contains("no process answers in"), "{told}");
    let output = command().args(["top", "--socket", &missing]).output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("needs a terminal; `dis ctl stats`"), "{told}");
    // What is there is not overwritten.
    let workload = folder.file("w.toml", MIXED);
    let output = command().args(["run", &workload, "--control", &file]).output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("is there and no socket"), "{told}");
}

#[test]
fn a_run_is_found_without_a_name() {
    let folder = Folder::new();
    let file = folder.file("w.toml", MIXED);
    let mut dis = command();
    dis.args(["run", &file, "--duration", "60s", "--no-progress"]).env("XDG_RUNTIME_DIR", &folder.0);
    let mut child = dis.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let asked = loop {
        let output = command().args(["ctl", "stats"]).env("XDG_RUNTIME_DIR", &folder.0).output().unwrap();
        if output.status.success() || Instant::now() > until {
            break output;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    // Killed, it leaves its socket behind, at which nobody answers.
    let output = command().args(["ctl", "stats"]).env("XDG_RUNTIME_DIR", &folder.0).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

/// Tasks that wait and run in the class whose policy is replaced.
const BUSY: &str = "[[task]]\nname = \"a\"\nintent = \"batch\"\ninstances = 40\n\
                    loop = [{ run = \"300us\" }, { sleep = \"100us\" }]\n\
                    [[task]]\nname = \"hog\"\nintent = \"batch\"\nloop = [{ run = \"1ms\" }]\n";

#[test]
fn a_policy_from_a_file_is_put_in_and_taken_out_under_load() {
    let folder = Folder::new();
    // The first who asks builds it, which takes long beside tasks that compute.
    let deadline = library("deadline");
    let run = Run::start(&folder, BUSY, &[]);
    let module = |arguments: &[&str]| run.json(&[&["module"], arguments].concat());
    let active = |name: &str| {
        let modules = module(&["list"]);
        let found = modules.as_array().unwrap().iter().find(|module| module["name"] == name).cloned();
        found.map(|module| (module["version"].clone(), module["active"].clone()))
    };
    assert_eq!(active("deadline"), None);
    module(&["load", &deadline]);
    assert_eq!(active("deadline"), Some(("2.3.4".into(), Value::Array(vec![]))));
    let (code, told) = run.refusal(&["module", "load", &deadline]);
    assert!(code == Some(1) && told.contains("there is a module 'deadline' already"), "{told}");
    for _ in 0..10 {
        let done = module(&["activate", "batch", "deadline"]);
        assert!(done["done"].as_str().unwrap().starts_with("batch has the policy 'deadline' from now on"), "{done}");
        assert_eq!(active("deadline").unwrap().1, serde_json::json!(["batch"]));
        let (code, told) = run.refusal(&["module", "unload", "deadline"]);
        assert!(code == Some(1) && told.contains("is active for a class"), "{told}");
        module(&["activate", "batch", "fair"]);
    }
    module(&["unload", "deadline"]);
    assert_eq!(active("deadline"), None);
    let (code, told) = run.refusal(&["module", "activate", "batch", "deadline"]);
    assert!(code == Some(1) && told.contains("there is no module 'deadline' (modules: edf, fair,"), "{told}");
    let (code, told) = run.refusal(&["module", "load", &folder.file("x.so", "no ELF")]);
    assert!(code == Some(1) && told.contains("is no ELF file"), "{told}");
    // The tasks run on under the policy that is in force at the end.
    let before = run.task("hog")["cpu-ns"].as_u64().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while run.task("hog")["cpu-ns"].as_u64().unwrap() == before {
        assert!(Instant::now() < until, "the hog runs no more");
    }
    let (report, told) = run.end();
    assert_eq!(report["scheduler"]["policy_faults"], 0);
    let jobs = |task: &Value| task["jobs"].as_u64().unwrap();
    assert!(report["tasks"].as_array().unwrap().iter().all(|task| jobs(task) > 0), "{report:#}");
    assert!(told.contains("note: batch: fair was replaced by deadline at "), "{told}");
    assert!(told.contains("note: batch: deadline was replaced by fair at "), "{told}");
}

#[test]
fn a_hostile_policy_that_is_put_in_is_taken_back_and_told() {
    let folder = Folder::new();
    let files =
        ["foreign", "panics", "forgets", "loops", "allocates"].map(|name| (name, library(&format!("hostile_{name}"))));
    let run = Run::start(&folder, BUSY, &[]);
    let wasm = folder.path("policy.wasm");
    std::fs::write(&wasm, b"\0asm\x01\0\0\0").unwrap();
    let (code, why) = run.refusal(&["module", "load", &wasm]);
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("policy.wasm") && why.contains("WebAssembly"), "{why}");
    for (name, file) in files {
        let policy = format!("hostile-{name}");
        let faults = run.json(&["stats"])["policy-faults"].as_u64().unwrap();
        run.json(&["module", "load", &file]);
        // It behaves at first, so the handover may end before it is found out, or not.
        let answer = run.ask(&["module", "activate", "batch", &policy]);
        assert!(matches!(answer.status.code(), Some(0 | 1)), "{name}: {}", text(&answer.stderr));
        let until = Instant::now() + Duration::from_secs(30);
        while run.json(&["stats"])["policy-faults"].as_u64().unwrap() == faults {
            assert!(Instant::now() < until, "{name} is not found out");
        }
        if answer.status.success() {
            let modules = run.json(&["module", "list"]);
            let row = modules.as_array().unwrap().iter().find(|row| row["name"] == *policy).unwrap();
            assert_eq!(row["reverted"], serde_json::json!(["batch"]), "{name}: {modules}");
        }
        run.json(&["module", "activate", "batch", "round-robin"]);
    }
    let (report, told) = run.end();
    assert!(report["scheduler"]["policy_faults"].as_u64().unwrap() >= 5);
    let jobs = |task: &Value| task["jobs"].as_u64().unwrap();
    assert!(report["tasks"].as_array().unwrap().iter().all(|task| jobs(task) > 0), "{report:#}");
    for says in ["panics' panicked at", "loops' was stopped in", "allocates' was stopped in"] {
        assert!(told.contains(&format!("the policy 'hostile-{says}")), "{told}");
    }
}
