//! The libraries of `examples/`, built.

use std::path::PathBuf;
use std::process::Command;

/// The file of an example.
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
