//! `dis run`, end to end.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Folder, MIXED, dis, report, task, text};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Two clocks are compared, which differ by microseconds.
const ROUNDING: f64 = 0.002;

#[test]
fn a_mixed_workload_is_run_and_reported() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let output = dis(&["run", &file, "--json", "-", "--cpus", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    assert_eq!(keys(&report), ["cpus", "duration_ns", "host", "noise", "scheduler", "schema", "tasks"]);
    assert_eq!(
        (&report["schema"], &report["host"], &report["cpus"]),
        (&"dis-report/1".into(), &"linux".into(), &1.into())
    );
    let duration = report["duration_ns"].as_u64().unwrap();
    assert!(duration >= 300_000_000, "{duration}");
    let names: Vec<_> = report["tasks"].as_array().unwrap().iter().map(|task| task["name"].clone()).collect();
    assert_eq!(names, ["control", "ui", "encode/0", "encode/1", "index", "house"]);
    for row in report["tasks"].as_array().unwrap() {
        assert_eq!(
            keys(row),
            [
                "class",
                "cpu_ns",
                "deadline_misses",
                "jobs",
                "migrations",
                "name",
                "overruns",
                "preemptions",
                "response_ns",
                "share",
                "voluntary",
                "wake_latency_ns"
            ]
        );
        let cpu = row["cpu_ns"].as_u64().unwrap();
        let share = row["share"].as_f64().unwrap();
        assert!((share - cpu as f64 / duration as f64).abs() < 0.001, "{row}");
        assert!(share <= 1.0 + ROUNDING, "{row}");
        for summary in [&row["wake_latency_ns"], &row["response_ns"]].into_iter().filter(|value| !value.is_null()) {
            assert_eq!(keys(summary), ["max", "mean", "min", "p50", "p99", "p999"]);
            let at = |key: &str| summary[key].as_u64().unwrap();
            assert!(at("min") <= at("p50") && at("p50") <= at("p99") && at("p999") <= at("max"), "{row}");
        }
    }
    let control = task(&report, "control");
    assert_eq!(control["class"], "realtime");
    let done = control["jobs"].as_u64().unwrap() + control["deadline_misses"].as_u64().unwrap();
    assert!((10..=62).contains(&done), "{control}");
    assert!(task(&report, "ui")["wake_latency_ns"].is_object());
    assert!(task(&report, "encode/0")["wake_latency_ns"].is_null(), "it never blocks");
    assert!(report["scheduler"]["tasks_created"].as_u64() >= Some(6));
    assert!(report["scheduler"]["queue_stats"]["batch"]["enqueued"].as_u64() > Some(0));
    // People read the same on the other stream.
    assert!(text(&output.stderr).contains("Tasks (linux, 1 CPU"), "{}", text(&output.stderr));
}

#[test]
fn quiet_prints_nothing_and_files_get_the_json() {
    let folder = Folder::new();
    let (file, json) = (folder.file("mixed.toml", MIXED), folder.path("report.json"));
    let output = dis(&["run", &file, "--duration", "100ms", "--quiet", "--json", &json]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["schema"], "dis-report/1");
}

#[test]
fn without_a_terminal_there_is_no_colour_and_no_progress() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let output = dis(&["run", &file]);
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(!all.contains('\x1b') && !all.contains('\r'), "{all:?}");
    assert!(all.contains("Scheduler\n"), "{all}");
}

#[test]
fn policies_and_affinity_are_obeyed() {
    let folder = Folder::new();
    let text_of_file = "duration = \"200ms\"\n[[task]]\nname = \"pinned\"\nintent = \"batch\"\ninstances = 2\n\
                        affinity = [0]\nloop = [ { run = \"1ms\" } ]\n";
    let file = folder.file("pinned.toml", text_of_file);
    let output = dis(&["run", &file, "--json", "-", "--policy", "batch=round-robin"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    let duration = report["duration_ns"].as_u64().unwrap();
    let rows = [task(&report, "pinned/0"), task(&report, "pinned/1")];
    // Both on one CPU: together they cannot have more than it, and neither ever moves.
    let cpu: u64 = rows.iter().map(|row| row["cpu_ns"].as_u64().unwrap()).sum();
    assert!(cpu <= duration + duration / 10 && cpu >= duration / 4, "{cpu} of {duration}");
    assert!(rows.iter().all(|row| row["migrations"] == 0 && row["jobs"].as_u64() > Some(0)), "{report}");
}

#[test]
fn a_policy_that_breaks_a_promise_runs_and_is_told_of() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let choice = ["--policy", "realtime=round-robin", "--policy", "batch=round-robin"];
    let output = dis(&[&["run", &file, "--json", "-"], &choice[..]].concat());
    let people = text(&output.stderr);
    assert!(output.status.success(), "{people}");
    assert!(people.contains("realtime: deadlines are not guaranteed under round-robin"), "{people}");
    assert!(!people.contains("batch: "), "{people}");
    assert_eq!(report(&output)["scheduler"]["policy_faults"], 0);
}

#[test]
fn finite_tasks_end_the_run() {
    let folder = Folder::new();
    let file = folder.file(
        "finite.toml",
        "[[task]]\nname = \"three\"\nintent = \"batch\"\nrepeat = 3\nloop = [ { sleep = \"5ms\" }, { run = \"1ms\" } ]\n",
    );
    let output = dis(&["run", &file, "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    assert_eq!(task(&report, "three")["jobs"], 3);
    assert!(report["duration_ns"].as_u64().unwrap() < 2_000_000_000);
}

#[test]
fn a_comparison_has_the_baselines_beside_it() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let output = dis(&["run", &file, "--compare", "--json", "-", "--duration", "300ms"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (report, people) = (report(&output), text(&output.stderr));
    assert_eq!(report["baselines"][0]["host"], "linux-eevdf");
    for baseline in report["baselines"].as_array().unwrap() {
        assert_eq!(baseline["schema"], "dis-report/1");
        assert!(baseline["scheduler"].is_null());
        assert_eq!(baseline["tasks"].as_array().unwrap().len(), 6);
        let duration = baseline["duration_ns"].as_u64().unwrap();
        assert!((300_000_000..900_000_000).contains(&duration), "{duration}");
        assert!(task(baseline, "encode/0")["cpu_ns"].as_u64() > Some(0));
        // Threads look at the clock every 50 us of their own, at the end as well.
        let most = baseline["tasks"].as_array().unwrap().iter().map(|row| row["share"].as_f64().unwrap());
        assert!(most.fold(0.0, f64::max) <= 1.0 + 0.01, "{baseline}");
    }
    for name in ["linux-fifo", "linux-deadline"] {
        let there = report["baselines"].as_array().unwrap().iter().any(|baseline| baseline["host"] == name);
        assert!(there || people.contains(&format!("{name} left out: ")), "{people}");
    }
    assert!(people.contains("3 rounds of 0.10 s each"), "{people}");
    assert!(people.contains("Comparison: response time"), "{people}");
}

/// A task that is alone on its CPU is never interrupted, hence charged at the very end only; tasks by the hundred need
/// turns to see that the time is over. Neither counts more or less than the time that is reported.
#[test]
fn nobody_gets_more_than_there_was() {
    let folder = Folder::new();
    let hogs = |count| {
        format!(
            "duration = \"300ms\"\n[[task]]\nname = \"hog\"\nintent = \"batch\"\ninstances = {count}\nloop = [ {{ run = \"10s\" }} ]\n"
        )
    };
    for count in [1, 400] {
        let file = folder.file("hogs.toml", &hogs(count));
        let output = dis(&["run", &file, "--cpus", "1", "--json", "-"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = report(&output);
        let rows = report["tasks"].as_array().unwrap();
        let sum: f64 = rows.iter().map(|row| row["share"].as_f64().unwrap()).sum();
        assert!((0.5..1.0 + ROUNDING).contains(&sum), "{count}: {sum}");
        let all = report["scheduler"]["total_cpu_time"].as_u64().unwrap();
        let used: u64 = rows.iter().map(|row| row["cpu_ns"].as_u64().unwrap()).sum();
        assert!(all >= used && all - used < 50_000_000, "{count}: {all} for {used}");
    }
}

/// What a reserved share is compared with is what others got of the same CPU at the same time, so a busy machine does not
/// matter: alike without it, five times as much with it.
#[test]
fn a_reserved_share_is_had_beside_competitors() {
    let folder = Folder::new();
    let body = "intent = \"batch\"\nloop = [ { run = \"5ms\" } ]\n";
    let ratio = |line: &str| {
        let tasks = format!("[[task]]\nname = \"crowd\"\ninstances = 5\n{body}[[task]]\nname = \"one\"\n{body}{line}");
        let file = folder.file("crowd.toml", &format!("duration = \"1500ms\"\n{tasks}"));
        let output = dis(&["run", &file, "--cpus", "1", "--json", "-"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = report(&output);
        let cpu = |name: &str| task(&report, name)["cpu_ns"].as_u64().unwrap();
        let crowd: u64 = (0..5).map(|n| cpu(&format!("crowd/{n}"))).sum();
        cpu("one") as f64 / (crowd as f64 / 5.0)
    };
    let without = ratio("");
    assert!(without < 2.0, "{without}");
    let with = ratio("cpu_min = \"50%\"\n");
    assert!(with > 3.0, "{with}");
}

/// A machine that is busy with others can only give less.
#[test]
fn a_capped_task_gets_no_more_though_the_cpu_is_idle() {
    let folder = Folder::new();
    let tasks = "[[task]]\nname = \"hog\"\nintent = \"batch\"\ncpu_max = \"20%\"\nloop = [ { run = \"10s\" } ]\n";
    let file = folder.file("capped.toml", &format!("duration = \"1500ms\"\n{tasks}"));
    let output = dis(&["run", &file, "--cpus", "1", "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    let share = task(&report, "hog")["cpu_ns"].as_u64().unwrap() as f64 / 1.5e9;
    assert!(share > 0.05 && share <= 0.202, "{share} of 0.2");
}

const REALTIME: &str = "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"1ms\"\n";

fn misses(report: &Value, name: &str) -> (u64, u64) {
    let row = task(report, name);
    (row["jobs"].as_u64().unwrap(), row["deadline_misses"].as_u64().unwrap())
}

#[test]
fn jobs_that_never_end_miss_every_deadline() {
    let folder = Folder::new();
    let tasks = [
        ("hog", "loop = [ { run = \"10s\" } ]"),
        ("waits", "loop = [ { wait = \"e\" } ]"),
        ("holds", "loop = [ { lock = \"a\" }, { barrier = \"x\" }, { wait = \"e\" }, { unlock = \"a\" } ]"),
        ("locks", "loop = [ { barrier = \"x\" }, { lock = \"a\" }, { unlock = \"a\" } ]"),
    ];
    let mut file = String::from("duration = \"300ms\"\n");
    for (name, body) in tasks {
        file += &format!("[[task]]\nname = \"{name}\"\n{REALTIME}{body}\n");
    }
    file += "[[task]]\nname = \"rare\"\nintent = \"batch\"\nloop = [ { sleep = \"3000s\" }, { signal = \"e\" } ]\n";
    let file = folder.file("w.toml", &file);
    let output = dis(&["run", &file, "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    for (name, _) in tasks {
        assert_eq!(misses(&report, name), (0, 30), "{name}");
    }
}

#[test]
fn a_deadlock_of_mutexes_is_an_error_beside_the_report() {
    let folder = Folder::new();
    let body = |first: &str, second: &str| {
        format!(
            "loop = [ {{ lock = \"{first}\" }}, {{ barrier = \"x\" }}, {{ lock = \"{second}\" }}, {{ barrier = \"never\" }}, \
             {{ unlock = \"{second}\" }}, {{ unlock = \"{first}\" }} ]"
        )
    };
    let mut file = String::from("duration = \"300ms\"\n");
    for (name, body) in [("left", body("a", "b")), ("right", body("b", "a"))] {
        file += &format!("[[task]]\nname = \"{name}\"\n{REALTIME}{body}\n");
    }
    let output = dis(&["run", &folder.file("w.toml", &file), "--json", "-"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    let line = errors.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{errors}"));
    let says = |what: &str| assert!(line.contains(what), "{what}: {errors}");
    ["the task panicked: deadlock: waits for mutex", "'left'", "'right'"].into_iter().for_each(says);
    assert_eq!(misses(&report(&output), "left").0, 0, "the report is there all the same");
}

/// Neither for its release nor for its budget, which `greedy` has used up until then.
#[test]
fn a_task_whose_release_is_far_away_does_not_hang() {
    let folder = Folder::new();
    let task = "intent = \"realtime\"\nperiod = \"3000s\"\nwcet = \"1ms\"\n";
    let body = "loop = [ { run = \"10s\" } ]\n";
    let text_of_file =
        format!("duration = \"200ms\"\n[[task]]\nname = \"rare\"\n{task}[[task]]\nname = \"greedy\"\n{task}{body}");
    let file = folder.file("w.toml", &text_of_file);
    let output = dis(&["run", &file, "--json", "-"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("did not end"), "{}", text(&output.stderr));
    // None was due within the run.
    assert_eq!((misses(&report(&output), "rare").1, misses(&report(&output), "greedy")), (0, (0, 0)));
}

#[test]
fn a_workload_can_come_through_a_pipe() {
    let run = |input: &str| {
        let mut command = common::command();
        command.args(["run", "-", "--duration", "50ms", "--json", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    for input in [MIXED, "/* rt-app */ { \"tasks\" : { \"ui\" : { \"run\" : 100, \"sleep\" : 5000 } } }"] {
        let output = run(input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(task(&report(&output), "ui")["class"], "interactive");
    }
    let output = run("cpus = 0");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("error: <stdin>:1:8: cpus: is 0"), "{}", text(&output.stderr));
}
