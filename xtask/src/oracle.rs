//! Runs dis-sim against SimSo, an independent simulator in Python.

use crate::context::Context;
use crate::process;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SCRIPT: &str = "crates/dis-sim/tests/oracle/simso_oracle.py";
/// What the script wrote for seed 1, and how many of its lines are made again.
const STORED: &str = "crates/dis-sim/tests/oracle/simso.jsonl";
const AGAIN: usize = 100;
/// Task sets that nobody has seen before.
const FRESH: (&str, &str) = ("200", "2");

const PACKAGE: &str = "simso==0.8.5";
/// SimSo imports `imp`, which Python 3.12 no longer has.
const NEWEST: (u32, u32) = (3, 11);
const OLDEST: (u32, u32) = (3, 8);

const SETUP_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(300);
const TEST_LIMIT: Duration = Duration::from_secs(600);

/// Compares schedules with those that SimSo makes now, or, where it cannot be had, with those that it made before.
pub fn simso(context: &Context) -> Result<(), String> {
    let folder = context.root.join("target/simso");
    match prepare(context, &folder) {
        Ok(python) => live(context, &python, &folder),
        Err(why) => {
            println!("*** SimSo DOES NOT RUN HERE: {why}");
            println!("*** the test uses the stored results only, {STORED}");
            test(context, None)
        }
    }
}

fn live(context: &Context, python: &Path, folder: &Path) -> Result<(), String> {
    let again = sets(context, python, &AGAIN.to_string(), "1")?;
    let stored = fs::read_to_string(context.root.join(STORED)).map_err(|error| format!("{STORED}: {error}"))?;
    if !again.lines().eq(stored.lines().take(AGAIN)) {
        return Err(format!("{STORED} is not what {SCRIPT} writes now"));
    }
    println!("SimSo makes the same schedules as are stored, {AGAIN} of them");
    let fresh = folder.join("live.jsonl");
    fs::write(&fresh, sets(context, python, FRESH.0, FRESH.1)?).map_err(|error| format!("{fresh:?}: {error}"))?;
    println!("{} new sets with seed {}", FRESH.0, FRESH.1);
    test(context, Some(&fresh))
}

fn sets(context: &Context, python: &Path, count: &str, seed: &str) -> Result<String, String> {
    let mut command = context.command(python);
    command.args([SCRIPT, "sets", count, seed]);
    let (output, result) = process::capture(&mut command, RUN_LIMIT);
    result.map_err(|why| format!("{SCRIPT} sets {count} {seed}: {why}"))?;
    String::from_utf8(output).map_err(|error| format!("{SCRIPT}: {error}"))
}

fn test(context: &Context, file: Option<&Path>) -> Result<(), String> {
    let mut command = context.cargo(&["test", "--package", "dis-sim", "--test", "simso", "--", "--nocapture"]);
    if let Some(file) = file {
        command.env("DIS_SIMSO", file);
    }
    process::run(&mut command, TEST_LIMIT)
}

/// A Python that has SimSo: that of an environment in the target folder, which is made if it is not there.
fn prepare(context: &Context, folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("venv/bin/python");
    let works = |python: &Path| process::succeeds(context.command(python).args(["-c", "import simso"]));
    if works(&python) {
        return Ok(python);
    }
    let base = candidates()
        .into_iter()
        .find(|base| version(context, base).is_some_and(|version| (OLDEST..=NEWEST).contains(&version)))
        .ok_or("it needs Python 3.8 to 3.11; none is installed")?;
    fs::create_dir_all(folder).map_err(|error| format!("{folder:?}: {error}"))?;
    let venv = folder.join("venv");
    let mut create = context.command(&base);
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    process::run(&mut create, SETUP_LIMIT).map_err(|why| format!("no virtual environment: {why}"))?;
    let mut install = context.command(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]);
    process::run(&mut install, SETUP_LIMIT).map_err(|why| format!("pip install {PACKAGE}: {why}"))?;
    if works(&python) { Ok(python) } else { Err(format!("{PACKAGE} does not import with {base:?}")) }
}

/// Interpreters by name, and those of pyenv.
fn candidates() -> Vec<OsString> {
    let mut found: Vec<OsString> =
        ["python3.11", "python3.10", "python3.9", "python3.8", "python3"].map(OsString::from).into();
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    if let Some(versions) = root.and_then(|root| fs::read_dir(root.join("versions")).ok()) {
        let mut versions: Vec<OsString> =
            versions.flatten().map(|version| version.path().join("bin/python").into_os_string()).collect();
        versions.sort_unstable();
        found.extend(versions);
    }
    found
}

fn version(context: &Context, python: &OsString) -> Option<(u32, u32)> {
    let mut command = context.command(python);
    command.args(["-c", "import sys; print(*sys.version_info[:2])"]).stderr(std::process::Stdio::null());
    let (output, result) = process::capture(&mut command, SETUP_LIMIT);
    result.ok()?;
    parse_version(str::from_utf8(&output).ok()?)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("3 11\n"), Some((3, 11)));
        assert_eq!(parse_version("Python"), None);
        let fits = |version| (OLDEST..=NEWEST).contains(&version);
        assert!(fits((3, 8)) && fits((3, 11)));
        assert!(!fits((2, 7)) && !fits((3, 12)) && !fits((3, 7)));
    }
}
