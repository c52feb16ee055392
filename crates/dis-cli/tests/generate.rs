//! `dis generate`: files that `dis check` and `dis sim` read, the same for the same seed.

mod common;

use common::{Folder, dis, report, text};

fn generate(more: &[&str]) -> String {
    let output = dis(&[&["generate"], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_set_follows_from_its_options() {
    let options = ["--cpus", "2", "--utilisation", "80", "--tasks", "6"];
    let set = generate(&options);
    assert_eq!(set, generate(&options));
    assert_ne!(set, generate(&[&options[..], &["--number", "1"]].concat()));
    assert_ne!(set, generate(&[&options[..], &["--seed", "2"]].concat()));
    assert!(set.starts_with("# 6 random tasks for 80.0 % of 2 CPUs: fixed-sum, seed 1, number 0\ncpus = 2\n"), "{set}");
}

/// The goal's file: 10,000 tasks for 64 CPUs. What is checked is what was asked for.
#[test]
fn ten_thousand_tasks_are_checked() {
    let folder = Folder::new();
    let file = folder.path("set.toml");
    let options = ["--cpus", "64", "--tasks", "10000", "--utilisation", "70", "--periods", "1ms..1s"];
    assert_eq!(generate(&[&options[..], &["--output", &file]].concat()), "");
    let output = dis(&["check", &file, "--host", "sim", "--json", "-", "--quiet"]);
    let document = report(&output);
    let tasks = document["tasks"].as_array().unwrap();
    assert!(tasks.len() == 10_000 && document["schedulable"] == true && output.status.success());
    let share = |task: &serde_json::Value| task["wcet_ns"].as_f64().unwrap() / task["period_ns"].as_f64().unwrap();
    let used: f64 = tasks.iter().map(share).sum();
    // Each wcet is rounded down to a µs.
    assert!(used <= 0.7 * 64.0 && used > 0.68 * 64.0, "{used}");
}

/// What a sweep accepts or rejects at a point is what the file of that number says.
#[test]
fn files_are_the_sets_of_a_sweep() {
    let kind = ["--cpus", "1", "--tasks", "5", "--deadline-ratio", "0.5..1", "--seed", "7"];
    let sweep =
        ["sweep", "--from", "90", "--to", "90", "--sets", "20", "--tests", "partitioned", "--csv", "-", "--quiet"];
    let row = text(&dis(&[&sweep[..], &kind].concat()).stdout);
    let ratio: f64 = row.trim_end().rsplit(',').next().unwrap().parse().unwrap();
    // One CPU, so that the order of the file does not matter; a sweep knows nothing of System, here it has its least share, 0.1 %.
    let accepted = (0..20).filter(|number| {
        let set = generate(&[&["--utilisation", "90", "--number", &number.to_string()][..], &kind].concat());
        let folder = Folder::new();
        let file = folder.file("set.toml", &format!("{set}\n[limits]\nsystem = \"0.1%\"\nrealtime = \"100%\"\n"));
        dis(&["check", &file, "--host", "sim", "--quiet"]).status.success()
    });
    let (accepted, of_sweep) = (accepted.count() as f64, ratio * 20.0);
    assert!(accepted <= of_sweep && accepted + 2.0 >= of_sweep && accepted > 0.0, "{accepted} {of_sweep}");
}

#[test]
fn mistakes_are_explained() {
    let error = |more: &[&str]| {
        let output = dis(&[&["generate"], more].concat());
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        text(&output.stderr)
    };
    assert!(error(&[]).contains("--utilisation"));
    assert!(
        error(&["--utilisation", "120"]).contains("at most 100")
            || error(&["--utilisation", "120"]).contains("up to 100")
    );
    assert!(error(&["--utilisation", "90", "--tasks", "2"]).contains("2 tasks cannot use 7.2 CPUs"));
    assert!(error(&["--utilisation", "90", "--output", "/no/such/folder/x"]).contains("its folder does not exist"));
    assert!(error(&["--utilisation", "90", "--cpus", "300"]).contains("1..=256"));
}
