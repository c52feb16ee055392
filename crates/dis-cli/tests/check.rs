//! `dis check`: what it prints, what it exits with, and that what it advises helps.

mod common;

use common::{Folder, dis, report, task, text};
use serde_json::Value;

/// The file among the examples.
fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn check(arguments: &[&str]) -> (i32, String) {
    let output = dis(&[&["check"], arguments].concat());
    (output.status.code().unwrap(), text(&output.stdout))
}

fn json(arguments: &[&str]) -> (i32, Value) {
    let output = dis(&[&["check"], arguments, &["--json", "-", "--quiet"]].concat());
    (output.status.code().unwrap(), report(&output))
}

#[test]
fn the_text_of_a_workload_that_fits() {
    let expected = "\
Deadlines and reservations (2 CPUs, linux)
  task        class  CPU     wcet   budget  deadline   period  verdict  response    slack  no System
  control  realtime    0  2.00 ms  2.30 ms   8.00 ms  10.0 ms      yes   7.29 ms   710 µs    2.95 ms
  audio    realtime    0   500 µs   650 µs   5.00 ms  5.00 ms      yes   4.99 ms  10.0 µs     650 µs

CPUs
  CPU  tasks  utilisation  left to System
  0        2       36.0 %          21.7 %
  1        0        0.0 %          50.0 %

No guarantee by analysis
  ui (interactive)
  encode (batch, 4 instances)
  index (background)
  housekeeping (system)

Schedulable: all 2 tasks with deadlines or reservations are sure of them.
";
    assert_eq!(check(&[&example("mixed.toml")]), (0, expected.to_string()));
}

#[test]
fn the_text_of_a_workload_that_does_not_fit() {
    let expected = "\
Deadlines and reservations (1 CPU, linux)
  task       class  CPU     wcet   budget  deadline   period  verdict  response    slack  no System
  camera  realtime    0  6.00 ms  6.70 ms   15.0 ms  20.0 ms      yes   15.0 ms  20.0 µs    9.50 ms
  radar   realtime    0  2.00 ms  2.30 ms   10.0 ms  10.0 ms      yes   9.98 ms  20.0 µs    4.50 ms
  lidar   realtime    -  5.00 ms  5.60 ms   14.0 ms  20.0 ms       NO         -        -          -

Why not
  lidar: no CPU has room for it; on CPU 0, which is used least, 14.6 ms would be needed within 15.0 ms, of which 13.7 ms are sure, and `camera` would be late
    would be enough: wcet = \"4181us\", or deadline = \"15900us\"
  All of them fit on 2 CPUs.

CPUs
  CPU  tasks  utilisation  left to System
  0        2       56.5 %          16.6 %

No guarantee by analysis
  log (batch)

Not schedulable: 1 of 3 tasks with deadlines or reservations cannot be sure of them.
";
    assert_eq!(check(&[&example("overload.toml")]), (1, expected.to_string()));
    // Each remedy alone is enough, and a microsecond less is not.
    let folder = Folder::new();
    let file = std::fs::read_to_string(example("overload.toml")).unwrap();
    for (from, to, code) in [
        ("\"5ms\"", "\"4181us\"", 0),
        ("\"5ms\"", "\"4182us\"", 1),
        ("\"14ms\"", "\"15900us\"", 0),
        ("\"14ms\"", "\"15899us\"", 1),
    ] {
        let changed = folder.file("a.toml", &file.replace(from, to));
        assert_eq!(check(&[&changed]).0, code, "{to}");
    }
    assert_eq!(check(&[&example("overload.toml"), "--cpus", "2"]).0, 0);
}

/// (name, period, deadline, wcet, loop)
fn realtime(tasks: &[(&str, &str, &str, &str, &str)]) -> String {
    let task = |(name, period, deadline, wcet, body): &(&str, &str, &str, &str, &str)| {
        let body = if body.is_empty() { String::new() } else { format!("loop = [ {body} ]\n") };
        format!(
            "[[task]]\nname = \"{name}\"\nintent = \"realtime\"\nperiod = \"{period}\"\ndeadline = \"{deadline}\"\n\
             wcet = \"{wcet}\"\n{body}"
        )
    };
    let tasks: String = tasks.iter().map(task).collect();
    format!("duration = \"1s\"\ncpus = 1\n{tasks}")
}

#[test]
fn what_fits_nowhere_whole_is_split() {
    let folder = Folder::new();
    let task = |name| (name, "100ms", "100ms", "60ms", "");
    let file = folder.file("a.toml", &realtime(&[task("a"), task("b"), task("c")]));
    let (code, report) = json(&[&file, "--cpus", "2", "--host", "sim"]);
    assert_eq!(code, 0, "{report}");
    let split = common::task(&report, "c");
    assert_eq!(split["cpus"].as_array().unwrap().len(), 2, "{split}");
    let pieces = split["pieces"].as_array().unwrap();
    assert_eq!(pieces[1]["deadline_ns"], 100_000_000);
    assert_eq!(pieces[1]["offset_ns"], pieces[0]["deadline_ns"]);
    assert!(split["response_bound_ns"].as_u64().unwrap() <= 100_000_000);
    assert!(check(&[&file, "--cpus", "2", "--host", "sim"]).1.contains("Split tasks (each job in pieces)\n  c: "));
    let (code, report) = json(&[&file, "--host", "sim"]);
    assert_eq!((code, &report["enough_cpus"]), (1, &Value::from(2)));
}

#[test]
fn sections_block_whoever_is_more_urgent() {
    let folder = Folder::new();
    let verdicts = |section: &str, fast: &str| {
        let slow = format!("{{ run = \"1ms\" }}, {{ lock = \"m\" }}, {{ run = \"{section}\" }}, {{ unlock = \"m\" }}");
        let user = "{ lock = \"m\" }, { run = \"1ms\" }, { unlock = \"m\" }";
        let tasks = [
            ("fast", "10ms", "5ms", "1ms", fast),
            ("user", "30ms", "20ms", "1ms", user),
            ("slow", "100ms", "90ms", "6ms", &slow),
        ];
        let (code, report) = json(&[&folder.file("a.toml", &realtime(&tasks)), "--host", "sim"]);
        let verdict = |name| task(&report, name)["verdict"].as_str().unwrap().to_string();
        (
            code,
            ["fast", "user", "slow"].map(verdict),
            task(&report, "fast")["response_bound_without_system_ns"].as_u64(),
        )
    };
    let yes = "schedulable".to_string();
    // Under priority inheritance `slow` runs before `fast`, although that has no lock: on the urgency of `user`.
    let (code, answers, bound) = verdicts("2ms", "{ run = \"1ms\" }");
    assert_eq!((code, answers, bound), (0, [yes.clone(), yes.clone(), yes.clone()], Some(4_000_000)));
    let (code, answers, _) = verdicts("5ms", "{ run = \"1ms\" }");
    assert_eq!((code, answers[0].as_str()), (1, "not-schedulable"));
    assert_eq!(&answers[1..], [yes.clone(), yes]);
}

#[test]
fn what_is_not_covered_is_said_to_be_unknown() {
    let folder = Folder::new();
    let lock = "{ lock = \"m\" }, { run = \"1ms\" }, { unlock = \"m\" }";
    let reason = |tasks: &str, arguments: &[&str]| {
        let file = folder.file("a.toml", tasks);
        let (code, report) = json(&[&[file.as_str(), "--host", "sim"], arguments].concat());
        let row = task(&report, "a");
        assert_eq!((code, row["verdict"].as_str()), (1, Some("not-analysed")), "{report}");
        row["reason"].as_str().unwrap().to_string()
    };
    let sleeps = realtime(&[("a", "10ms", "10ms", "2ms", "{ run = \"1ms\" }, { sleep = \"1ms\" }")]);
    assert!(reason(&sleeps, &[]).contains("it sleeps in mid-job"));
    // Both together need more than one CPU.
    let tasks = [("a", "10ms", "10ms", "6ms", lock), ("b", "10ms", "10ms", "6ms", lock)];
    assert!(reason(&realtime(&tasks), &["--cpus", "2"]).contains("the mutex `m` across CPUs (0-1)"));
    let system = "[[task]]\nname = \"s\"\nintent = \"system\"\nloop = [ { sleep = \"1s\" }, { lock = \"m\" }, { unlock = \"m\" } ]\n";
    let file = realtime(&[("a", "10ms", "10ms", "2ms", lock)]) + system;
    assert!(reason(&file, &[]).contains("with the System task `s`"));
}

#[test]
fn a_body_that_breaks_its_promise_is_no_guarantee() {
    let (code, report) = json(&[&example("overrun.toml")]);
    assert_eq!(code, 1);
    assert_eq!(task(&report, "honest")["verdict"], "schedulable");
    assert_eq!(task(&report, "liar")["verdict"], "not-schedulable");
    assert!(task(&report, "liar")["reason"].as_str().unwrap().contains("15.0 ms, more than its wcet"));
}

#[test]
fn reservations_are_admitted_and_get_remedies() {
    let folder = Folder::new();
    let tasks = |share: &str| {
        let file = format!(
            "duration = \"1s\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"batch\"\ncpu_min = \"60%\"\nloop = [ {{ run = \"1ms\" }} ]\n\
             [[task]]\nname = \"b\"\nintent = \"interactive\"\nlatency = \"1ms\"\ncpu_min = \"{share}\"\nloop = [ {{ run = \"1ms\" }} ]\n"
        );
        json(&[&folder.file("a.toml", &file)])
    };
    let (code, report) = tasks("40%");
    let rejected = task(&report, "b");
    assert_eq!((code, rejected["class"].as_str()), (1, Some("interactive")));
    let line = rejected["remedies"][0].as_str().unwrap();
    let share = line.strip_prefix("cpu_min = \"").and_then(|rest| rest.strip_suffix('"')).unwrap();
    assert_eq!(tasks(share).0, 0, "{line}");
}

#[test]
fn bad_input_is_exit_code_2() {
    let folder = Folder::new();
    for file in [folder.path("none.toml"), folder.file("a.toml", &realtime(&[("a", "1ms", "1ms", "2ms", "")]))] {
        let output = dis(&["check", &file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    }
    assert_eq!(dis(&["check"]).status.code(), Some(2));
}

/// Random workloads whose tasks share locks on one CPU: what is promised holds in the simulator, beside a System task and one of a
/// lower class that shares a lock, too.
#[test]
fn what_is_promised_holds_in_the_simulator() {
    let folder = Folder::new();
    let mut seed = 1u64;
    let mut random = |low: u64, high: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + (seed >> 33) % (high - low + 1)
    };
    let mut promised = 0;
    for _ in 0..80 {
        let mut file = "duration = \"2s\"\ncpus = 1\n".to_string();
        for number in 0..random(2, 4) {
            let (period, section, rest) = (random(8, 50) * 1_000, random(0, 900), random(50, 700));
            let wcet = 2 * rest + section;
            let deadline = random((wcet + period) / 2, period.max(wcet)).max(wcet);
            let lock = ["a", "b"][random(0, 1) as usize];
            let body = if section > 0 {
                format!("{{ lock = \"{lock}\" }}, {{ run = \"{section}us\" }}, {{ unlock = \"{lock}\" }}, ")
            } else {
                String::new()
            };
            file += &format!(
                "[[task]]\nname = \"t{number}\"\nintent = \"realtime\"\nperiod = \"{}us\"\ndeadline = \"{deadline}us\"\n\
                 wcet = \"{wcet}us\"\noffset = \"{}us\"\nloop = [ {{ run = \"{rest}us\" }}, {body}{{ run = \"{rest}us\" }} ]\n",
                period.max(deadline),
                random(0, 5_000)
            );
        }
        file += "[[task]]\nname = \"low\"\nintent = \"batch\"\n\
                 loop = [ { lock = \"a\" }, { run = \"300us\" }, { unlock = \"a\" }, { run = \"1ms\" } ]\n\
                 [[task]]\nname = \"house\"\nintent = \"system\"\nloop = [ { sleep = \"7ms\" }, { run = \"80us\" } ]\n";
        let file = folder.file("a.toml", &file);
        let (code, checked) = json(&[&file, "--host", "sim"]);
        if code != 0 {
            continue;
        }
        promised += 1;
        let simulated = report(&dis(&["sim", &file, "--json", "-", "--quiet", "--no-progress"]));
        for row in checked["tasks"].as_array().unwrap() {
            let seen = task(&simulated, row["name"].as_str().unwrap());
            let (longest, bound) = (seen["response_ns"]["max"].as_u64(), row["response_bound_ns"].as_u64());
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(seen["deadline_misses"], 0, "{text}");
            assert!(longest <= bound, "{} takes {longest:?}, bound {bound:?}\n{text}", row["name"]);
        }
    }
    assert!((15..75).contains(&promised), "{promised}");
}

/// A CPU that is full to the last thousandth: admission has the proof, and no bound is found with the work allowed. That is no reason to
/// doubt it.
#[test]
fn a_full_cpu_is_sure_without_bounds() {
    let folder = Folder::new();
    let task = |n: u64| {
        let period = 10_000_000 + 7 * n * n;
        format!(
            "[[task]]\nname = \"t{n}\"\nintent = \"realtime\"\nperiod = \"{period}us\"\nwcet = \"{}us\"\n",
            period * 9_398 / 500_000
        )
    };
    let text = format!("duration = \"1s\"\ncpus = 1\n{}", (1..=50).map(task).collect::<String>());
    let (code, report) = json(&[&folder.file("full.toml", &text), "--host", "sim"]);
    let tasks = report["tasks"].as_array().unwrap();
    assert!(tasks.iter().all(|task| task["verdict"] == "schedulable"), "{report}");
    assert!(tasks.iter().any(|task| task["response_bound_ns"].is_null()), "all bounds are known: not the case meant");
    assert_eq!(code, 0);
}

/// A domain limits what its tasks do beside their reservations, and takes part in none: the verdict is that without it. Where it could get in
/// the way of one, the file is refused, here as in a run.
#[test]
fn domains_change_no_verdict_or_are_refused() {
    let folder = Folder::new();
    let text = |domain: &str, of: &str| {
        let sure = "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"4ms\"\nloop = [ { run = \"4ms\" } ]";
        let share = "intent = \"batch\"\ncpu_min = \"20%\"\nloop = [ { run = \"1ms\" } ]";
        format!(
            "duration = \"1s\"\ncpus = 1\n{domain}[[task]]\nname = \"sure\"\n{of}{sure}\n[[task]]\nname = \"share\"\n{of}{share}\n"
        )
    };
    let (guest, of) = ("[[domain]]\nname = \"guest\"\nweight = 10\n", "domain = \"guest\"\n");
    let (plain, within) = (folder.file("plain.toml", &text("", "")), folder.file("within.toml", &text(guest, of)));
    let ((code, plain), (other, within_report)) = (check(&[&plain]), check(&[&within]));
    assert_eq!((code, other), (0, 0), "{plain}");
    assert_eq!(plain, within_report);
    let simulated = report(&dis(&["sim", &within, "--json", "-", "--quiet", "--no-progress"]));
    assert_eq!(task(&simulated, "sure")["deadline_misses"], 0);
    assert!(task(&simulated, "share")["cpu_ns"].as_u64() >= Some(200_000_000), "{simulated}");

    let limited = folder.file("limited.toml", &text(&format!("{guest}cpu = \"90%\"\n"), of));
    for command in ["check", "sim"] {
        let output = dis(&[command, &limited]);
        let error = common::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains("limited.toml:10:10: task \"sure\".intent: domain \"guest\" has a CPU quota"),
            "{error}"
        );
    }
}
