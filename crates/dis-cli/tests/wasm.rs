//! `--module` and `dis module check` with policies in WebAssembly.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Folder, dis, library, report, text};
use serde_json::Value;

const WORKLOAD: &str = "duration = \"300ms\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"batch\"\ninstances = 3\n\
                        loop = [{ run = \"1ms\" }, { sleep = \"100us\" }]\n";

/// The file of an example of dis-module, built for wasm32-unknown-unknown.
fn wasm(name: &str) -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_dis")).ancestors().nth(2).expect("target/PROFILE/dis").join("wasm");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../dis-module/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--no-default-features", "--target", "wasm32-unknown-unknown"]);
    cargo.args(["--example", name, "--manifest-path", manifest]).arg("--target-dir").arg(&target);
    assert!(
        cargo.status().expect("cargo runs").success(),
        "the example is built; if the target is missing: rustup target add wasm32-unknown-unknown"
    );
    target.join(format!("wasm32-unknown-unknown/release/examples/{name}.wasm")).display().to_string()
}

fn simulate(file: &str, module: &str, name: &str) -> (Value, String) {
    let policy = format!("batch={name}");
    let output = dis(&["sim", file, "--module", module, "--policy", &policy, "--json", "-", "--quiet"]);
    (report(&output), text(&output.stderr))
}

#[test]
fn a_simulation_is_the_same_with_a_policy_in_webassembly() {
    let folder = Folder::new();
    let file = folder.file("w.toml", WORKLOAD);
    let (interpreted, _) = simulate(&file, &wasm("deadline"), "deadline");
    let (native, _) = simulate(&file, &library("deadline"), "deadline");
    assert_eq!(interpreted["scheduler"]["policy_faults"], 0);
    assert_eq!(interpreted["tasks"], native["tasks"]);
}

#[test]
fn a_simulation_goes_on_when_one_misbehaves() {
    let folder = Folder::new();
    let file = folder.file("w.toml", WORKLOAD);
    // Natively these two end the process.
    for name in ["loops", "allocates"] {
        let (report, told) = simulate(&file, &wasm(&format!("hostile_{name}")), &format!("hostile-{name}"));
        assert_eq!(report["scheduler"]["policy_faults"], 1, "{name}");
        assert!(report["tasks"].as_array().unwrap().iter().all(|task| task["jobs"].as_u64().unwrap() > 80), "{name}");
        assert!(told.contains(&format!("the policy 'hostile-{name}' ")), "{name}: {told}");
    }
}

#[test]
fn the_suite_tells_right_from_wrong() {
    for (name, code, says) in [
        ("deadline", 0, "deadline 2.3.4 (module ABI 1)"),
        ("hostile_loops", 1, "used up its fuel"),
        ("hostile_foreign", 1, "names task 12345"),
        ("hostile_fails_init", 1, "its set-up fails"),
    ] {
        let output = dis(&["module", "check", &wasm(name)]);
        let told = text(&output.stdout);
        assert!(output.status.code() == Some(code) && told.contains(says), "{name}: {:?} {told}", output.status);
    }
    let folder = Folder::new();
    let cut = folder.file("cut.wasm", "\0asm\u{1}\0\0\0");
    let output = dis(&["module", "check", &cut]);
    assert!(output.status.code() == Some(2) && text(&output.stdout).contains("no function dis_abi"));
}
