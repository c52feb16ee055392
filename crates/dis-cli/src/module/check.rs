//! `dis module check`: in a process of its own, which may hang, crash or be ended.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dis_module::{Report, check};
use serde::{Deserialize, Serialize};

use super::load;
use crate::cli::CheckModuleArgs;
use crate::failure::Failure;
use crate::output::{JsonOutput, Stream};
use crate::sys;

/// The suite takes some seconds; a policy that loops ends the process sooner.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most address space of the process that checks, in bytes.
const MEMORY: u64 = 4 << 30;

/// The verdict, as `--json` writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    schema: String,
    file: String,
    /// Absent if the module could not be loaded.
    module: Option<About>,
    passed: bool,
    /// What is wrong beside the checks.
    error: Option<String>,
    checks: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    name: String,
    version: String,
    abi: u32,
    classes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    check: String,
    passed: bool,
    text: String,
}

/// Starts the process, waits for it and shows its verdict.
pub fn run(args: &CheckModuleArgs) -> Result<ExitCode, Failure> {
    let json = JsonOutput::open(args.json.as_ref())?;
    let me = std::env::current_exe().map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
    let mut child = Command::new(me)
        .args(["module", "check", "--here", "--"])
        .arg(&args.file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::failed(format!("cannot start a process: {error}")))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let mut text = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut text).map_err(|error| Failure::failed(format!("no verdict: {error}")))?;
    }
    let file = args.file.display().to_string();
    let verdict = match serde_json::from_str::<Verdict>(&text) {
        Ok(verdict) => verdict,
        Err(_) => crashed(file, status),
    };
    if !args.quiet {
        json.stream_for_people().write(&verdict.text())?;
    }
    json.write(&verdict)?;
    Ok(ExitCode::from(match (&verdict.module, verdict.passed) {
        (_, true) => 0,
        (None, _) if verdict.error.is_some() && status.is_some_and(|status| status.code() == Some(2)) => 2,
        _ => 1,
    }))
}

/// The process has ended without a verdict.
fn crashed(file: String, status: Option<ExitStatus>) -> Verdict {
    let what = match status {
        None => format!("it was not done after {} s", PATIENCE.as_secs()),
        Some(status) => match status.signal() {
            Some(signal) => format!("the process in which it was checked ended by signal {signal}"),
            None => format!("the process in which it was checked ended: {status}"),
        },
    };
    Verdict { schema: schema(), file, module: None, passed: false, error: Some(what), checks: Vec::new() }
}

fn schema() -> String {
    "dis-module/1".into()
}

/// Checks the module in this process, and writes the verdict to standard output.
pub fn here(args: &CheckModuleArgs) -> Result<ExitCode, Failure> {
    sys::limit_memory(MEMORY);
    let mut verdict = Verdict {
        schema: schema(),
        file: args.file.display().to_string(),
        module: None,
        passed: false,
        error: None,
        checks: Vec::new(),
    };
    let code = match load(&args.file) {
        Err(error) => {
            verdict.error = Some(error.to_string());
            2
        }
        Ok((mut module, faults)) => {
            verdict.module = Some(About {
                name: module.name().into(),
                version: module.version().to_string(),
                abi: abi(args),
                classes: module.supported_intents().iter().map(|class| class.name().into()).collect(),
            });
            match module.init() {
                Err(error) => verdict.error = Some(format!("its set-up fails: {error}")),
                Ok(()) => {
                    let report = check(&*module);
                    verdict.passed = report.passed();
                    verdict.checks = lines(report);
                }
            }
            if verdict.error.is_none() && faults.count() > 0 {
                verdict.error = Some(faults.message());
                verdict.passed = false;
            }
            if let (Err(error), None) = (module.cleanup(), &verdict.error) {
                verdict.error = Some(format!("its tear-down fails: {error}"));
                verdict.passed = false;
            }
            u8::from(!verdict.passed)
        }
    };
    let text = serde_json::to_string(&verdict).map_err(|error| Failure::failed(error.to_string()))?;
    Stream::Out.write(&text)?;
    Ok(ExitCode::from(code))
}

/// The version of the ABI that the module has, of the kind that its file is.
fn abi(args: &CheckModuleArgs) -> u32 {
    #[cfg(feature = "wasm")]
    if dis_module::is_wasm(&args.file) {
        return dis_module::abi::wasm::VERSION;
    }
    let _ = args;
    dis_module::abi::VERSION
}

fn lines(report: Report) -> Vec<Line> {
    let line = |finding: dis_module::Finding| Line {
        check: finding.check.name().into(),
        passed: finding.wrong.is_none(),
        text: finding.wrong.unwrap_or(finding.tried),
    };
    report.findings.into_iter().map(line).collect()
}

impl Verdict {
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(about) = &self.module {
            let classes = if about.classes.is_empty() { "no class".into() } else { about.classes.join(", ") };
            let _ = writeln!(
                text,
                "{} {} (module ABI {}), keeps the promises of {classes}",
                about.name, about.version, about.abi
            );
        }
        for Line { check, passed, text: what } in &self.checks {
            let _ = writeln!(text, "  {:<7} {check:<11} {what}", if *passed { "ok" } else { "FAILED" });
        }
        if let Some(error) = &self.error {
            let _ = writeln!(text, "  {:<7} {error}", "FAILED");
        }
        let _ = writeln!(text, "{}", if self.passed { "passed" } else { "failed" });
        text
    }
}
