//! Runs the built `dis` as a user would.

use crate::context::Context;
use crate::process;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

const SCHEMA: &str = "dis-report/1";
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// Far above the few seconds that a run is asked to take: it decides only between slow and hung.
const RUN_LIMIT: Duration = Duration::from_secs(60);

const RT_APP_EXAMPLES: [&str; 3] =
    [RT_APP_PROBE, "/usr/share/doc/rt-app/examples/video-short.json", "/usr/share/doc/rt-app/examples/mp3-short.json"];
/// One of the examples, to see whether they are installed.
pub const RT_APP_PROBE: &str = "/usr/share/doc/rt-app/examples/browser-short.json";

/// The mixed example of this repository, in which every task gets on, whatever else the machine does.
pub fn mixed(context: &Context) -> Result<(), String> {
    run_all(context, &["examples/mixed.toml"], &["--duration", "3s"], everybody_ran)
}

/// The examples that rt-app, the workload generator of the Linux scheduler's developers, comes with: files that
/// were not written for this scheduler. One of them as plain threads as well.
pub fn rt_app(context: &Context) -> Result<(), String> {
    run_all(context, &RT_APP_EXAMPLES, &["--duration", "2s"], |_| Ok(()))?;
    run_all(context, &RT_APP_EXAMPLES[2..], &["--duration", "1s", "--compare"], has_baselines)
}

fn run_all(
    context: &Context,
    workloads: &[&str],
    arguments: &[&str],
    check: fn(&Value) -> Result<(), String>,
) -> Result<(), String> {
    let dis = build(context)?;
    for workload in workloads {
        println!("dis run {workload} {} --json -", arguments.join(" "));
        let mut command = context.command(&dis);
        command.args(["run", workload, "--json", "-"]).args(arguments);
        let (output, result) = process::capture(&mut command, RUN_LIMIT);
        let checked = result.and_then(|()| check_report(&output)).and_then(|report| check(&report));
        if let Err(why) = checked {
            println!("{}", String::from_utf8_lossy(&output));
            return Err(format!("{workload}: {why}"));
        }
        println!("{} bytes of {SCHEMA}", output.len());
    }
    Ok(())
}

/// Builds the command and asks cargo where it is: the target folder can be set in many ways.
fn build(context: &Context) -> Result<PathBuf, String> {
    let arguments =
        ["build", "--release", "--package", "dis-cli", "--bin", "dis", "--message-format=json-render-diagnostics"];
    let (output, result) = process::capture(&mut context.cargo(&arguments), BUILD_LIMIT);
    result.map_err(|why| format!("building dis: {why}"))?;
    executable(&String::from_utf8_lossy(&output)).ok_or("cargo did not say where it put dis".into())
}

/// The path of `dis` in cargo's messages, one JSON object in a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "dis")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Standard output must be one JSON document of the right schema and nothing else, so that it can be piped.
fn check_report(output: &[u8]) -> Result<Value, String> {
    let report: Value =
        serde_json::from_slice(output).map_err(|error| format!("standard output is not a JSON document: {error}"))?;
    match &report["schema"] {
        Value::String(schema) if schema == SCHEMA => Ok(report),
        other => Err(format!("the report's schema is {other}, not {SCHEMA:?}")),
    }
}

/// All five classes are there, and no task was left without CPU time.
fn everybody_ran(report: &Value) -> Result<(), String> {
    let tasks = report["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    for class in ["system", "realtime", "interactive", "batch", "background"] {
        if !tasks.iter().any(|task| task["class"] == class) {
            return Err(format!("no task of class {class} in the report"));
        }
    }
    match tasks.iter().find(|task| task["cpu_ns"].as_u64().unwrap_or(0) == 0) {
        Some(task) => Err(format!("task {} did not run", task["name"])),
        None => Ok(()),
    }
}

/// The same tasks ran under Linux's scheduler, which every machine has, and got on there.
fn has_baselines(report: &Value) -> Result<(), String> {
    let names = |report: &Value| -> Vec<Value> {
        report["tasks"].as_array().into_iter().flatten().map(|task| task["name"].clone()).collect()
    };
    let baselines = report["baselines"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(eevdf) = baselines.iter().find(|baseline| baseline["host"] == "linux-eevdf") else {
        return Err("no baseline linux-eevdf in the report".into());
    };
    if let Some(other) = baselines.iter().find(|baseline| names(baseline) != names(report)) {
        return Err(format!("baseline {} has other tasks than the report", other["host"]));
    }
    match eevdf["tasks"].as_array().into_iter().flatten().any(|task| task["cpu_ns"].as_u64() > Some(0)) {
        true => Ok(()),
        false => Err("no task of baseline linux-eevdf ran".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_document_of_the_schema() {
        assert!(check_report(b"{\"schema\": \"dis-report/1\", \"tasks\": []}\n").is_ok());
        assert!(check_report(b"{\"schema\": \"dis-report/2\"}").unwrap_err().contains("dis-report/2"));
        assert!(check_report(b"{}").unwrap_err().contains("null"));
        assert!(check_report(b"[1]").unwrap_err().contains("null"));
        assert!(check_report(b"").is_err());
        assert!(check_report(b"done\n{\"schema\": \"dis-report/1\"}").is_err());
        assert!(check_report(b"{\"schema\": \"dis-report/1\"}{}").is_err());
    }

    #[test]
    fn a_task_without_cpu_time_is_noticed() {
        let with = |cpu_ns: u64, last: &str| {
            let classes = ["system", "realtime", "interactive", "batch", last];
            let task = |class| serde_json::json!({ "name": class, "class": class, "cpu_ns": cpu_ns });
            everybody_ran(&serde_json::json!({ "tasks": classes.map(task) }))
        };
        assert_eq!(with(1, "background"), Ok(()));
        assert!(with(0, "background").unwrap_err().contains("did not run"));
        assert!(with(1, "batch").unwrap_err().contains("background"));
        assert!(everybody_ran(&Value::Null).is_err());
    }

    #[test]
    fn a_comparison_without_its_other_half_is_noticed() {
        let report = |host: &str, name: &str, cpu_ns: u64| {
            let tasks = serde_json::json!([{ "name": name, "cpu_ns": cpu_ns }]);
            let baseline = serde_json::json!({ "host": host, "tasks": tasks });
            serde_json::json!({ "tasks": [{ "name": "a" }], "baselines": [baseline] })
        };
        assert_eq!(has_baselines(&report("linux-eevdf", "a", 1)), Ok(()));
        assert!(has_baselines(&report("linux-fifo", "a", 1)).unwrap_err().contains("no baseline linux-eevdf"));
        assert!(has_baselines(&report("linux-eevdf", "b", 1)).unwrap_err().contains("other tasks"));
        assert!(has_baselines(&report("linux-eevdf", "a", 0)).unwrap_err().contains("no task of baseline"));
        assert!(has_baselines(&Value::Null).is_err());
    }

    #[test]
    fn cargo_says_where_the_command_is() {
        let messages = "\
{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"libc\"},\"executable\":null}
{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"dis\"},\"executable\":\"/t/release/dis\"}
{\"reason\":\"build-finished\",\"success\":true}
";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/dis")));
        assert_eq!(executable("{}\nnot json"), None);
    }
}
