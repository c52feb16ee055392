//! The kernel's image: the one that was named, or the one that this repository builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::Failure;

/// How the kernel is built.
const BUILD: [&str; 6] = ["build", "--package", "dis-kernel", "--profile", "kernel", "--features"];

/// The image to boot.
///
/// # Errors
/// There is none, and it cannot be built here.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) if path.is_file() => Ok(path.into()),
        Some(path) => Err(Failure::bad_input(format!("{}: no such file; --image names a kernel", path.display()))),
        None => build(&workspace()?),
    }
}

/// The repository: above the current folder, else above this program.
fn workspace() -> Result<PathBuf, Failure> {
    let starts = [std::env::current_dir(), std::env::current_exe()];
    starts.into_iter().flatten().find_map(|start| above(&start)).ok_or_else(|| {
        Failure::failed(
            "the kernel has to be built, and the repository of DIS is neither above the current folder nor above this \
             program; start `dis boot` in the repository, or name a kernel that was built there: --image \
             target/kernel/dis-kernel",
        )
    })
}

fn above(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|folder| folder.join("crates/dis-kernel/Cargo.toml").is_file()).map(Path::to_path_buf)
}

/// Builds it, which takes no time if nothing has changed.
fn build(root: &Path) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command.current_dir(root).args(BUILD).args(["baremetal", "--message-format=json-render-diagnostics", "--quiet"]);
    // Flags for the machine that compiles may be wrong for the one that boots, and the kernel has no AVX state.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        command.env_remove(flags);
    }
    let by_hand = format!("cargo {} baremetal", BUILD.join(" "));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
        Failure::failed(format!(
            "cannot start {}: {error}; install Rust (https://rustup.rs), or name a kernel with --image",
            cargo.to_string_lossy()
        ))
    })?;
    if !output.status.success() {
        return Err(Failure::failed(format!("the kernel was not built (see above); by hand: {by_hand}")));
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| Failure::failed(format!("cargo did not say where the kernel is; by hand: {by_hand}")))
}

/// The path of the kernel in cargo's messages, one JSON object in a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "dis-kernel")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_there_is_bad_input() {
        let failure = find(Some(Path::new("/no/such/kernel"))).unwrap_err();
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (2, "/no/such/kernel: no such file; --image names a kernel")
        );
        assert_eq!(above(Path::new("/")), None);
    }

    #[test]
    fn the_kernel_is_found_in_cargos_messages() {
        let lib = r#"{"target":{"name":"dis_kernel"},"executable":null}"#;
        let bin = r#"{"target":{"name":"dis-kernel"},"executable":"/t/kernel/dis-kernel"}"#;
        assert_eq!(executable(&format!("{lib}\nnoise\n{bin}\n")), Some("/t/kernel/dis-kernel".into()));
        assert_eq!(executable(lib), None);
    }
}
