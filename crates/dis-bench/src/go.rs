//! The candidate in Go.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Its source.
const SOURCE: &str = include_str!("../go/main.go");

/// The Go program, compiled at the first use beside the benchmark; `Err` says why there is none.
pub fn program() -> Result<&'static PathBuf, &'static str> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PROGRAM.get_or_init(build).as_ref().map_err(String::as_str)
}

fn build() -> Result<PathBuf, String> {
    if Command::new("go").arg("version").output().is_err() {
        return Err("go is not installed".into());
    }
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let folder = exe.parent().unwrap_or(&exe).join("dis-bench-go");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let (source, program) = (folder.join("main.go"), folder.join("dis-bench-go"));
    std::fs::write(&source, SOURCE).map_err(|e| e.to_string())?;
    let built = Command::new("go").arg("build").arg("-o").arg(&program).arg(&source).output();
    let built = built.map_err(|e| e.to_string())?;
    if built.status.success() { Ok(program) } else { Err(String::from_utf8_lossy(&built.stderr).trim().into()) }
}

/// The version of the compiler, if there is one.
pub fn version() -> Option<String> {
    let out = Command::new("go").arg("version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    Some(text.split_whitespace().nth(2)?.to_owned())
}
