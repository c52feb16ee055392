//! The libraries of `examples/`, built.

use std::path::PathBuf;
use std::process::Command;

/// The file of an example.
#[allow(dead_code, reason = "not each test needs both")]
pub fn library(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("this program has a path");
    let folder = me.ancestors().nth(2).expect("target/PROFILE/deps/this");
    let target = folder.parent().expect("target/PROFILE");
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("a profile");
    let profile = if profile == "debug" { "dev" } else { profile };
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", name, "--profile", profile, "--manifest-path", manifest]);
    let built = cargo.arg("--target-dir").arg(target).status().expect("cargo runs");
    assert!(built.success(), "the example is built");
    folder.join(format!("examples/lib{name}.so"))
}

/// The file of an example, built for wasm32-unknown-unknown.
#[allow(dead_code, reason = "not each test needs both")]
pub fn wasm(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("this program has a path");
    let target = me.ancestors().nth(3).expect("target/PROFILE/deps/this").join("wasm");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--no-default-features", "--target", "wasm32-unknown-unknown"]);
    cargo.args(["--example", name, "--manifest-path", manifest]).arg("--target-dir").arg(&target);
    let built = cargo.status().expect("cargo runs");
    assert!(
        built.success(),
        "the example is built; if the target is missing: rustup target add wasm32-unknown-unknown"
    );
    target.join(format!("wasm32-unknown-unknown/release/examples/{name}.wasm"))
}
