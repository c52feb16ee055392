//! `dis sim` with policies for study.

mod common;

use common::{Folder, dis, report, text};

const SET: &str = "duration = \"24ms\"\ncpus = 2\n[[task]]\nname = \"t\"\nintent = \"realtime\"\ninstances = 3\nperiod = \"3ms\"\nwcet = \"2ms\"\n";

fn misses(file: &str, policy: &str) -> u64 {
    let output = dis(&["sim", file, "--policy", &format!("realtime={policy}"), "--json", "-", "--quiet"]);
    let notes = text(&output.stderr);
    assert!(output.status.success() && notes.contains("there is no admission"), "{notes}");
    let report = report(&output);
    report["tasks"].as_array().unwrap().iter().map(|task| task["deadline_misses"].as_u64().unwrap()).sum()
}

/// Two of three milliseconds for each of three tasks fill two CPUs: too much for those that go by jobs, not for the others.
#[test]
fn a_full_machine() {
    let folder = Folder::new();
    let file = folder.file("set.toml", SET);
    for (policy, wanted) in [("rm", 8), ("dm", 8), ("global-edf", 8), ("llf", 0), ("pd2", 0), ("dp-wrap", 0)] {
        assert_eq!(misses(&file, policy), wanted, "{policy}");
    }
    // The product's own policy admits what it can keep, and says so.
    let output = dis(&["sim", &file]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
}

#[test]
fn what_does_not_go_together() {
    let folder = Folder::new();
    let error = |file: &str, more: &[&str]| {
        let output = dis(&[&["sim", file, "--policy", "realtime=pd2"], more].concat());
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        text(&output.stderr)
    };
    let file = folder.file("set.toml", SET);
    assert!(error(&file, &["--switch-cost", "1us"]).contains("set --switch-cost and --timer-resolution to 0"));
    assert!(error(&file, &["--policy", "batch=fair"]).contains("there are no other classes; leave it out"));
    let pinned = folder.file("pinned.toml", &format!("{SET}affinity = [1]\n"));
    assert!(error(&pinned, &[]).contains("pinned.toml:3: task \"t\": affinity: under realtime=pd2"));
    let short = folder.file("short.toml", &format!("{SET}deadline = \"2ms\"\n"));
    let message = error(&short, &[]);
    assert!(message.contains("short.toml:3:") && message.contains("deadlines equal to periods"), "{message}");
    let mixed = folder.file(
        "mixed.toml",
        &format!("{SET}[[task]]\nname = \"b\"\nintent = \"batch\"\nloop = [ {{ run = \"1ms\" }} ]\n"),
    );
    assert!(error(&mixed, &[]).contains("mixed.toml:9: task \"b\": is batch, but realtime=pd2"));
}

#[test]
fn help_names_them() {
    let help = text(&dis(&["sim", "--help"]).stdout);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("rm, dm, llf, global-edf, pd2 or dp-wrap"), "{help}");
}
