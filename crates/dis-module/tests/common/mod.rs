//! The libraries of `examples/`, built.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The file of an example.
pub fn library(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let me = std::env::current_exe().expect("this program has a path");
        let profile = me.ancestors().nth(2).expect("target/PROFILE/deps/this");
        let target = profile.parent().expect("target/PROFILE");
        let name = profile.file_name().and_then(|name| name.to_str()).expect("a profile");
        let name = if name == "debug" { "dev" } else { name };
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--examples", "--profile", name, "--manifest-path", manifest]);
        let built = cargo.arg("--target-dir").arg(target).status().expect("cargo runs");
        assert!(built.success(), "the examples are built");
        profile.join("examples")
    });
    folder.join(format!("lib{name}.so"))
}
