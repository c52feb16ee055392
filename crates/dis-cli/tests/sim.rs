//! `dis sim`: the same bytes everywhere, what it writes, and what it refuses.

mod common;

use common::{Folder, dis, report, text};

const MIXED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mixed.toml");
const TASK: &str = "duration = \"50ms\"\n[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";

fn error(arguments: &[&str]) -> String {
    let output = dis(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(text(&output.stdout), "", "{message}");
    message
}

/// The file beside this one is what every machine answers. To write it anew after a change of the scheduler:
/// `dis sim examples/mixed.toml --duration 200ms --seed 1 --quiet --json crates/dis-cli/tests/sim/mixed.json`.
#[test]
fn the_report_is_the_same_on_every_machine() {
    let output = dis(&["sim", MIXED, "--duration", "200ms", "--seed", "1", "--quiet", "--json", "-"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), include_str!("sim/mixed.json"));
}

/// FNV-1a, 64 bits: what the bytes are, in a number.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Report and schedule of every example, as every machine writes them, whatever its language, its environment, the folder and the number of
/// CPUs. A new example gets a line; a change of the scheduler changes those that it concerns (the test prints what they are now).
#[test]
fn every_example_gives_the_same_bytes() {
    let folder = Folder::new();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut names: Vec<String> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let run = |name: &str, environment: &[(&str, &str)]| {
        let schedule = folder.path("schedule.jsonl");
        let file = format!("{examples}/{name}");
        let mut command = common::command();
        command.args(["sim", &file, "--seed", "1", "--duration", "300ms", "--no-admission", "--quiet", "--json", "-"]);
        command.args(["--schedule", &schedule]).envs(environment.iter().copied()).current_dir(&folder.0);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        (hash(&output.stdout), hash(&std::fs::read(schedule).unwrap()))
    };
    let now: String = names
        .iter()
        .map(|name| {
            let (report, schedule) = run(name, &[]);
            let german = [("LC_ALL", "de_DE.UTF-8"), ("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo"), ("COLUMNS", "40")];
            assert_eq!(run(name, &german), (report, schedule), "{name}");
            format!("{name} {report:016x} {schedule:016x}\n")
        })
        .collect();
    assert_eq!(
        now,
        include_str!("sim/examples.txt"),
        "if that is meant: write what is on the left to tests/sim/examples.txt"
    );
}

#[test]
fn a_seed_and_options_give_the_same_bytes_each_time() {
    let folder = Folder::new();
    let body = "loop = [ { sleep = { normal = [\"2ms\", \"1ms\"] } }, { run = { uniform = [\"1us\", \"900us\"] } } ]";
    let file = folder.file(
        "r.toml",
        &format!("duration = \"1s\"\n[[task]]\nname = \"r\"\nintent = \"batch\"\ninstances = 5\n{body}\n"),
    );
    let run = |seed: &str| {
        let schedule = folder.path("schedule");
        let output = dis(&[
            "sim",
            &file,
            "--cpus",
            "2",
            "--seed",
            seed,
            "--json",
            "-",
            "--switch-cost",
            "3us",
            "--schedule",
            &schedule,
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), std::fs::read_to_string(schedule).unwrap())
    };
    let one = run("1");
    assert_eq!(run("1"), one);
    let two = run("2");
    assert!(two.0 != one.0 && two.1 != one.1);
}

#[test]
fn the_schedule_is_lines_of_json() {
    let folder = Folder::new();
    let file = folder.file("a.toml", TASK);
    let output = dis(&["sim", &file, "--duration", "2500us", "--quiet", "--schedule", "-"]);
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "{\"t\":0,\"cpu\":0,\"task\":\"a\",\"job\":1,\"event\":\"release\"}");
    assert_eq!(lines[1], "{\"t\":0,\"cpu\":0,\"task\":\"a\",\"job\":1,\"event\":\"run\"}");
    assert_eq!(lines.last().unwrap(), "{\"t\":2500000,\"cpu\":0,\"task\":\"a\",\"job\":3,\"event\":\"preempt\"}");
}

#[test]
fn the_table_is_for_people_and_has_no_noise() {
    let output = dis(&["sim", MIXED, "--duration", "50ms"]);
    let table = text(&output.stdout);
    assert!(table.starts_with("Tasks (sim, 2 CPUs, 50.0 ms)"), "{table}");
    assert!(table.contains("Scheduler") && !table.contains("Noise"), "{table}");
}

#[test]
fn a_trace_opens() {
    let folder = Folder::new();
    let trace = folder.path("trace.json");
    let output = dis(&["sim", MIXED, "--duration", "50ms", "--json", "-", "--trace", &trace]);
    assert_eq!(report(&output)["host"], "sim");
    let trace: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|event| event["name"] == "control" && event["ph"] == "X"));
}

#[test]
fn bad_input_is_told() {
    let folder = Folder::new();
    let file = folder.file("a.toml", TASK);
    assert!(error(&["sim", &file, "--cpus", "257"]).contains("1..=256"));
    assert!(error(&["sim", &file, "--policy", "batch=luck"]).contains("`luck`"));
    assert!(error(&["sim", &file, "--switch-cost=-1us"]).contains("--switch-cost"));
    assert!(error(&["sim", &file, "--json", "-", "--schedule", "-"]).contains("both want standard output"));
    let endless = folder.file("e.toml", TASK.trim_start_matches("duration = \"50ms\"\n"));
    assert!(error(&["sim", &endless]).contains("e.toml:1: task \"a\": never ends"));
    let locks = |x, y| {
        format!(
            "intent = \"batch\"\nloop = [ {{ lock = \"{x}\" }}, {{ run = \"1ms\" }}, {{ lock = \"{y}\" }}, {{ unlock = \"{y}\" }}, {{ unlock = \"{x}\" }} ]\n"
        )
    };
    let circle = format!(
        "duration = \"1s\"\ncpus = 2\n[[task]]\nname = \"a\"\n{}[[task]]\nname = \"b\"\n{}",
        locks("m", "n"),
        locks("n", "m")
    );
    let message = error(&["sim", &folder.file("d.toml", &circle)]);
    assert!(
        message.contains("deadlock at")
            && message.contains("(line 3, step 3) waits for the mutex `n`, which \"b\" holds"),
        "{message}"
    );
    let overload = "duration = \"1s\"\n[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"6ms\"\ninstances = 2\n";
    let overload = folder.file("o.toml", overload);
    let message = error(&["sim", &overload]);
    assert!(message.contains("o.toml:2: task \"a\"") && message.contains("120.00 % of a CPU are needed"), "{message}");
    assert!(message.contains("wcet = \"3300us\"") && message.contains("--no-admission"), "{message}");
    let output = dis(&["sim", &overload, "--no-admission", "--quiet", "--json", "-"]);
    let misses: u64 =
        report(&output)["tasks"].as_array().unwrap().iter().map(|t| t["deadline_misses"].as_u64().unwrap()).sum();
    assert!(misses > 0);
}

/// Limits that mean nothing to a machine that has only CPUs are noted, each by its name.
#[test]
fn limits_beside_the_cpu_are_noted() {
    let folder = Folder::new();
    let task = "[[task]]\nname = \"t\"\nintent = \"batch\"\nrepeat = 1\nloop = [ { run = \"1ms\" } ]\n";
    for (key, value) in [
        ("memory", "\"1MiB\""),
        ("numa_node", "0"),
        ("io_priority", "\"idle\""),
        ("net_priority", "3"),
        ("mem_bandwidth", "\"100MB/s\""),
        ("io_bandwidth", "\"100KB/s\""),
    ] {
        let file = folder.file("a.toml", &format!("{task}{key} = {value}\n"));
        let output = dis(&["sim", &file]);
        let notes = text(&output.stderr);
        assert!(output.status.success(), "{key}: {notes}");
        assert!(notes.contains(&format!("{key} has no effect in a simulation")), "{notes}");
    }
}
