//! Jobs that arrive at random: the same on each host, and what `dis check` says of them.

mod common;

use common::{Folder, dis, report, task, text};
use serde_json::Value;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/sporadic.toml");

fn count(report: &Value, name: &str, key: &str) -> u64 {
    task(report, name)[key].as_u64().unwrap()
}

/// Each job was released in both, however late this machine may be.
#[test]
fn as_many_jobs_arrive_on_linux_as_in_the_simulation() {
    let run =
        |arguments: &[&str]| report(&dis(&[arguments, &["--duration", "1s", "--seed", "3", "--json", "-"]].concat()));
    let (sim, linux) = (run(&["sim", EXAMPLE]), run(&["run", EXAMPLE, "--cpus", "1"]));
    for name in ["alarm", "packet"] {
        let jobs = count(&sim, name, "jobs");
        assert_eq!(count(&sim, name, "deadline_misses"), 0);
        let (done, missed) = (count(&linux, name, "jobs"), count(&linux, name, "deadline_misses"));
        // The last one may have been under way.
        assert!(done <= jobs && done + missed + 1 >= jobs, "{name}: {done} and {missed} missed, of {jobs}");
    }
    // Far from one each 5 ms, and others with another seed.
    assert!((20..120).contains(&count(&sim, "alarm", "jobs")));
    let other = report(&dis(&["sim", EXAMPLE, "--duration", "1s", "--seed", "4", "--json", "-"]));
    assert_ne!(other["tasks"], sim["tasks"]);
}

#[test]
fn a_check_counts_the_least_separation() {
    let output = dis(&["check", EXAMPLE, "--quiet"]);
    let notes = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(notes.contains("task \"alarm\" and 1 more: checked as sporadic, whatever `interarrival` draws"), "{notes}");
    // Twice a second or not: what counts is that two may come within 10 ms.
    let folder = Folder::new();
    let tasks = "[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"6ms\"\ninstances = 2\ninterarrival = { uniform = [\"5ms\", \"500ms\"] }\n";
    let file = folder.file("w.toml", &format!("duration = \"1s\"\ncpus = 1\n{tasks}"));
    let output = dis(&["check", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("task \"a\".interarrival: may be shorter than the period, 10ms"));
    assert!(text(&output.stdout).contains("134.00 % of a CPU are needed"), "{}", text(&output.stdout));
}

#[test]
fn a_job_that_may_exceed_its_wcet_is_told() {
    let folder = Folder::new();
    let check = |more: &str| {
        let body = "wcet = \"2ms\"\nloop = [ { run = { uniform = [\"1ms\", \"3ms\"] } } ]";
        let file = format!(
            "duration = \"1s\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\n{more}{body}\n"
        );
        let output = dis(&["check", &folder.file("w.toml", &file)]);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, notes) = check("");
    assert_eq!(code, Some(0));
    assert!(notes.contains("the run times drawn for a job are cut to 2ms together"), "{notes}");
    let (code, table, _) = check("overrun = true\n");
    assert_eq!(code, Some(1));
    assert!(table.contains("its jobs run for 3.00 ms, more than its wcet"), "{table}");
}

#[test]
fn policies_that_need_periods_refuse() {
    let folder = Folder::new();
    let file = "duration = \"1s\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"2ms\"\ninterarrival = \"15ms\"\n";
    let file = folder.file("w.toml", file);
    for policy in ["pd2", "dp-wrap"] {
        for command in ["sim", "check"] {
            let output = dis(&[command, &file, "--policy", &format!("realtime={policy}")]);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(
                message.contains("w.toml:3: task \"a\": interarrival: ") && message.contains("take rm, dm"),
                "{message}"
            );
        }
    }
    for policy in ["rm", "dm", "llf", "global-edf"] {
        let output = dis(&["sim", &file, "--policy", &format!("realtime={policy}"), "--json", "-"]);
        let report = report(&output);
        assert_eq!((count(&report, "a", "jobs"), count(&report, "a", "deadline_misses")), (67, 0), "{policy}");
    }
}
