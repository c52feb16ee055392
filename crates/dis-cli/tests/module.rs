//! `dis module`, and `--module` of the others.

mod common;

use std::process::Command;

use common::{Folder, dis, library, report, text};
use serde_json::Value;

const WORKLOAD: &str = "duration = \"300ms\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"batch\"\ninstances = 3\n\
                        loop = [{ run = \"1ms\" }, { sleep = \"100us\" }]\n";

#[test]
fn a_new_module_builds_and_is_right() {
    let folder = Folder::new();
    let place = folder.path("lifo");
    let made = dis(&["module", "new", "lifo-2", "--path", &place]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("dis module check"), "{}", text(&made.stdout));
    assert_eq!(dis(&["module", "new", "lifo-2", "--path", &place]).status.code(), Some(2), "it is there already");
    // The versions that this workspace has, as nothing may be fetched.
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"), folder.path("lifo/Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--quiet"]).current_dir(&place).env("CARGO_TARGET_DIR", folder.path("built"));
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let module = folder.path("built/debug/liblifo_2.so");
    let checked = dis(&["module", "check", &module]);
    let verdict = text(&checked.stdout);
    assert!(checked.status.success() && verdict.contains("lifo-2 0.1.0 (module ABI 2)"), "{verdict}");
    let file = folder.file("w.toml", WORKLOAD);
    let run = dis(&["run", &file, "--module", &module, "--policy", "batch=lifo-2", "--json", "-", "--quiet"]);
    assert_eq!(report(&run)["scheduler"]["policy_faults"], 0);
}

#[test]
fn names_must_be_those_of_crates() {
    for name in ["", "Lifo", "2lifo", "li fo", "../lifo"] {
        let made = dis(&["module", "new", name]);
        assert_eq!(made.status.code(), Some(2), "{name}");
        assert!(text(&made.stderr).contains("is no name for a module"), "{name}: {}", text(&made.stderr));
    }
}

fn check(name: &str) -> (Option<i32>, Value, String) {
    let output = dis(&["module", "check", &library(name), "--json", "-"]);
    (output.status.code(), report(&output), text(&output.stderr))
}

#[test]
fn a_module_that_is_right_passes() {
    let (code, verdict, _) = check("deadline");
    assert_eq!((code, &verdict["passed"]), (Some(0), &Value::Bool(true)), "{verdict:#}");
    assert_eq!(verdict["module"]["version"], "2.3.4");
    assert_eq!(verdict["checks"].as_array().unwrap().len(), 7);
}

#[test]
fn each_kind_of_hostile_module_is_caught() {
    let wrong = |name: &str, code, says: &str| {
        let (found, verdict, err) = check(name);
        let all = format!("{verdict:#}\n{err}");
        assert!(found == Some(code) && verdict["passed"] == false && all.contains(says), "{name}: {found:?} {all}");
    };
    wrong("hostile_panics", 1, "choice 21 is one too many");
    wrong("hostile_foreign", 1, "names task 12345");
    wrong("hostile_forgets", 1, "queued tasks, and there are");
    wrong("hostile_loops", 1, ": it had not come back after 2 s");
    wrong("hostile_allocates", 1, "was stopped in ");
    wrong("hostile_fails_init", 1, "its set-up fails: it has no licence");
    wrong("hostile_makes_none", 1, "no policy today");
    wrong("other_abi", 2, "version 8 of the module ABI");
}

#[test]
fn what_is_no_module_is_bad_input() {
    let folder = Folder::new();
    let file = folder.file("w.toml", WORKLOAD);
    for command in ["run", "sim"] {
        let output = dis(&[command, &file, "--module", &file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("w.toml: is no ELF file"), "{}", text(&output.stderr));
    }
    assert_eq!(dis(&["module", "check", &file]).status.code(), Some(2));
    let wasm = folder.file("policy.wasm", "\0asm\u{1}\0\0\0");
    let refusals = if cfg!(feature = "wasm") { &["run"][..] } else { &["run", "sim"] };
    for command in refusals {
        let output = dis(&[command, &file, "--module", &wasm]);
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("calls may allocate"), "{told}");
        assert!(told.contains("cargo build -p dis-cli --features wasm"), "{told}");
    }
    let output = dis(&["run", &file, "--module", &library("hostile_fails_init")]);
    assert!(text(&output.stderr).contains("cannot be set up"), "{}", text(&output.stderr));
}

#[test]
fn a_simulation_goes_on_when_its_module_misbehaves() {
    let folder = Folder::new();
    let file = folder.file("w.toml", WORKLOAD);
    for name in ["panics", "foreign", "forgets", "makes_none", "loops", "allocates"] {
        let policy = format!("batch=hostile-{}", name.replace('_', "-"));
        let module = library(&format!("hostile_{name}"));
        let output = dis(&["sim", &file, "--module", &module, "--policy", &policy, "--json", "-", "--quiet"]);
        let report = report(&output);
        assert_eq!(report["scheduler"]["policy_faults"], 1, "{name}");
        let jobs = |task: &Value| task["jobs"].as_u64().unwrap();
        assert!(report["tasks"].as_array().unwrap().iter().all(|task| jobs(task) > 80), "{name}: {report:#}");
        let told = text(&output.stderr).contains("the policy 'hostile-");
        assert_eq!(told, !matches!(name, "foreign" | "forgets"), "{name}: {}", text(&output.stderr));
    }
}

#[test]
fn a_run_goes_on_when_its_module_misbehaves() {
    let folder = Folder::new();
    let file = folder.file("w.toml", WORKLOAD);
    for name in ["panics", "foreign", "forgets", "makes_none", "loops", "allocates"] {
        let (module, policy) =
            (library(&format!("hostile_{name}")), format!("batch=hostile-{}", name.replace('_', "-")));
        // The CPU stands still for the 2 s after which a policy is stopped.
        let duration = if matches!(name, "loops" | "allocates") { "4s" } else { "300ms" };
        let run = ["run", &file, "--duration", duration, "--module", &module, "--policy", &policy];
        let output = dis(&[&run[..], &["--json", "-", "--quiet"]].concat());
        let report = report(&output);
        assert_eq!(report["scheduler"]["policy_faults"], 1, "{name}");
        let jobs = |task: &Value| task["jobs"].as_u64().unwrap();
        assert!(report["tasks"].as_array().unwrap().iter().all(|task| jobs(task) > 0), "{name}: {report:#}");
        let told = text(&output.stderr);
        match name {
            "panics" => assert!(
                told.contains("the policy 'hostile-panics' panicked at") && told.contains("one too many"),
                "{told}"
            ),
            "loops" => {
                assert!(told.contains("was stopped in") && told.contains("had not come back after 2 s"), "{told}")
            }
            "allocates" => assert!(told.contains("was stopped in"), "{told}"),
            _ => assert_eq!(told.contains("the policy 'hostile-"), name == "makes_none", "{name}: {told}"),
        }
    }
}
