//! Ctrl-C.

mod common;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Folder, MIXED, command};

fn start(arguments: &[&str]) -> Child {
    let mut command = command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    sleep(Duration::from_millis(500));
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Waits at most 20 s.
fn end(mut child: Child) -> (Option<i32>, String, String) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it did not end");
        }
        sleep(Duration::from_millis(10));
    };
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (status.code(), out, err)
}

#[test]
fn the_first_ends_the_run_and_the_report_is_printed() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let child = start(&["run", &file, "--duration", "60s", "--json", "-"]);
    signal(&child, "-INT");
    let (code, out, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let duration = report["duration_ns"].as_u64().unwrap();
    assert!((100_000_000..10_000_000_000).contains(&duration), "{duration}");
    assert!(err.contains("stopped early by a signal"), "{err}");
}

#[test]
fn a_comparison_is_ended_as_well() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let child = start(&["run", &file, "--duration", "60s", "--compare"]);
    signal(&child, "-TERM");
    let (code, out, err) = end(child);
    assert_eq!(code, Some(143), "{err}");
    assert!(out.contains("Tasks (linux"), "{out}");
}

#[test]
fn tasks_that_wait_for_ever_do_not_hold_it_up() {
    let folder = Folder::new();
    let text = "[[task]]\nname = \"w\"\nintent = \"batch\"\nloop = [ { wait = \"e\" } ]\n\
                [[task]]\nname = \"s\"\nintent = \"batch\"\nloop = [ { sleep = \"3000s\" }, { signal = \"e\" } ]\n";
    let file = folder.file("w.toml", text);
    let child = start(&["run", &file]);
    let begin = Instant::now();
    signal(&child, "-INT");
    let (code, _, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    // Far above what ending takes, and far below the sleep.
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
}

#[test]
fn tasks_that_wait_for_their_release_do_not_hang() {
    let folder = Folder::new();
    let text = "[[task]]\nname = \"rare\"\nintent = \"realtime\"\nperiod = \"3000s\"\nwcet = \"1ms\"\n";
    let file = folder.file("w.toml", text);
    let child = start(&["run", &file, "--duration", "20000s"]);
    signal(&child, "-INT");
    let (code, out, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    assert!(!err.contains("did not end"), "{err}");
    assert!(out.contains("rare"), "{out}");
}

/// A simulation of a year is not simulated to its end, and what it was up to then is reported, schedule and all.
#[test]
fn a_simulation_is_ended_with_its_report() {
    let folder = Folder::new();
    let file = folder.file("mixed.toml", MIXED);
    let schedule = folder.path("schedule.jsonl");
    let child = start(&["sim", &file, "--duration", "500000min", "--json", "-", "--schedule", &schedule]);
    signal(&child, "-INT");
    let (code, out, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let duration = report["duration_ns"].as_u64().unwrap();
    assert!(duration > 0 && report["tasks"][0]["jobs"].as_u64().unwrap() > 0, "{out}");
    assert!(err.contains("stopped early by a signal") && err.contains("Tasks (sim"), "{err}");
    let schedule = std::fs::read_to_string(schedule).unwrap();
    let last: serde_json::Value = serde_json::from_str(schedule.lines().last().unwrap()).unwrap();
    assert_eq!(last["t"].as_u64(), Some(duration), "{last}");
}

/// What is done so far is printed: the sets before some point, and nothing of utilisations that were not reached.
#[test]
fn a_sweep_is_ended_with_what_is_done() {
    let child = start(&["sweep", "--cpus", "4", "--sets", "100000", "--csv", "-", "--no-progress"]);
    signal(&child, "-INT");
    let (code, out, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("stopped by a signal") && err.contains("Accepted, in percent"), "{err}");
    let rows: Vec<&str> = out.lines().collect();
    assert!((2..20).contains(&rows.len()), "{out}");
    let sets: u32 = rows[rows.len() - 1].split(',').nth(2).unwrap().parse().unwrap();
    assert!((1..100_000).contains(&sets), "{out}");
}
