//! Bad input: exit code 2, the place and the remedy, and nothing on standard output.

mod common;

use common::{Folder, dis, text};

fn error(arguments: &[&str]) -> String {
    let output = dis(arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(text(&output.stdout), "", "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

const TASK: &str = "duration = \"50ms\"\n[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";

#[test]
fn files() {
    let folder = Folder::new();
    assert!(error(&["run", &folder.path("none.toml")]).contains("none.toml: no such file"));
    let file = folder.file("bad.toml", "duration = \"1s\"\n[[task]]\nname = \"a\"\nintent = \"urgent\"\n");
    let message = error(&["run", &file]);
    assert!(message.contains("bad.toml:4:") && message.contains("\"urgent\" is not an intent"), "{message}");
    assert!(message.lines().all(|line| line.starts_with("error: ")), "{message}");
}

#[test]
fn arguments() {
    let folder = Folder::new();
    let file = folder.file("a.toml", TASK);
    assert!(error(&["run", &file, "--cpus", "256"]).contains("--cpus 256: this process may use"));
    assert!(error(&["run", &file, "--duration", "5"]).contains("has no unit"));
    assert!(error(&["run", &file, "--policy", "batch=luck"]).contains("edf, fair, priority or round-robin"));
    let nowhere = folder.path("none/report.json");
    assert!(error(&["run", &file, "--json", &nowhere]).contains("its folder does not exist"));
    assert!(error(&["run", &file, "--trace", &nowhere]).contains("cannot write the trace"));
    let twice = ["run", &file, "--policy", "batch=edf", "--policy", "batch=fair"];
    assert!(error(&twice).contains("class batch has a policy already"));
    assert!(error(&["simulate"]).contains("unrecognized subcommand"));
}

#[test]
fn affinities_beyond_the_cpus() {
    let folder = Folder::new();
    let file = folder.file("a.toml", &format!("{TASK}affinity = [9]\n"));
    let message = error(&["run", &file, "--cpus", "1"]);
    assert!(message.contains("a.toml:2: task \"a\": affinity: CPU 9 is beyond the 1 in use"), "{message}");
}

/// Every key that this host cannot enforce is refused by its name, and accepted as far as it goes if the task says so.
#[test]
fn constraints_that_cannot_be_enforced() {
    let folder = Folder::new();
    for (key, value) in [
        ("memory", "\"1MiB\""),
        ("numa_node", "1023"),
        ("net_priority", "3"),
        ("mem_bandwidth", "\"100MB/s\""),
        ("io_bandwidth", "\"100KB/s\""),
    ] {
        if key == "mem_bandwidth" && std::path::Path::new("/sys/fs/resctrl/schemata").exists() {
            continue; // A machine that can.
        }
        let file = folder.file("a.toml", &format!("{TASK}{key} = {value}\n"));
        let message = error(&["run", &file]);
        assert!(message.contains(&format!("a.toml:2: task \"a\": {key}: cannot be enforced here: ")), "{message}");
        assert!(message.contains(&format!("best_effort = [\"{key}\"]")), "{message}");
        let file = folder.file("b.toml", &format!("{TASK}{key} = {value}\nbest_effort = [\"{key}\"]\n"));
        let output = dis(&["run", &file, "--duration", "20ms"]);
        let notes = text(&output.stderr);
        assert!(output.status.success(), "{key}: {notes}");
        assert!(notes.contains(&format!("{key}: not enforced (best_effort): ")), "{notes}");
    }
}

/// And those that it does enforce are not.
#[test]
fn constraints_that_are_enforced() {
    let folder = Folder::new();
    for line in [
        "affinity = [0]",
        "cpu_max = \"50%\"",
        "cpu_min = \"50%\"",
        "io_priority = \"best-effort\"",
        "io_priority = \"idle\"",
        "net_priority = 0",
    ] {
        let file = folder.file("a.toml", &format!("{TASK}{line}\n"));
        let output = dis(&["run", &file, "--duration", "20ms"]);
        assert!(output.status.success() && !text(&output.stderr).contains("enforced"), "{}", text(&output.stderr));
    }
}

/// A set of reservations that does not fit is refused before anything runs, with the reason.
#[test]
fn reservations_that_do_not_fit() {
    let folder = Folder::new();
    let second = "[[task]]\nname = \"b\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\naffinity = [0]\n";
    let two = |a, b| format!("{TASK}affinity = [0]\ncpu_min = \"{a}%\"\n{second}cpu_min = \"{b}%\"\n");
    let message = error(&["run", &folder.file("a.toml", &two(60, 50))]);
    assert!(
        message.contains(
            "task \"b\": no CPU has room for its reservation of 50.0 %: CPU 0: overload: 11ms are needed within some 10ms, \
             9400us are sure; lower `cpu_min`"
        ),
        "{message}"
    );
    let output = dis(&["run", &folder.file("b.toml", &two(60, 34)), "--duration", "20ms"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn numa_nodes_that_are_there() {
    let folder = Folder::new();
    let file = folder.file("a.toml", &format!("{TASK}numa_node = 1023\n"));
    let message = error(&["run", &file]);
    // A kernel without NUMA has the one node 0.
    let nodes = |which| std::fs::read_to_string(format!("/sys/devices/system/node/{which}")).unwrap_or("0".into());
    let (online, has_cpu) = (nodes("online"), nodes("has_cpu"));
    let wanted = format!("NUMA node 1023 is not online; those online are {}", online.trim());
    assert!(message.contains(&wanted), "{message}");
    let file =
        folder.file("b.toml", &format!("{TASK}numa_node = {}\n", has_cpu.split(['-', ',', '\n']).next().unwrap()));
    assert!(dis(&["run", &file]).status.success());
}

#[test]
fn more_realtime_than_there_is() {
    let folder = Folder::new();
    let text = "duration = \"50ms\"\n[[task]]\nname = \"big\"\nintent = \"realtime\"\ninstances = 2\nperiod = \"10ms\"\n\
                wcet = \"6ms\"\n";
    let file = folder.file("big.toml", text);
    let message = error(&["run", &file, "--cpus", "1"]);
    assert!(message.contains("big.toml:2: task \"big\": no CPU has room for its reservation of 60.0 %"), "{message}");
    // Twice 6 ms with 10 %, and 100 us for the host. Of 10 ms, 9.3 are sure beside the cap and System: the first leaves 2.6.
    assert!(message.contains("CPU 0: overload: 134.00 % of a CPU are needed, 94.00 % are sure"), "{message}");
    assert!(message.contains("wcet = \"2272us\" or period = \"24832us\" would fit; lower `wcet`"), "{message}");
}

#[test]
fn notes_of_the_reader_are_shown() {
    let folder = Folder::new();
    let file = folder.file(
        "w.json",
        "{\"tasks\": {\"t\": {\"run\": 1000, \"sleep\": 1000, \"taskgroup\": \"/x\"}}, \"global\": {\"duration\": 1}}",
    );
    let output = dis(&["run", &file, "--duration", "50ms"]);
    let notes = text(&output.stderr);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("tasks.t.taskgroup: ignored"), "{notes}");
}

#[test]
fn contradictions_are_told_at_their_place() {
    let folder = Folder::new();
    let text =
        "[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"1ms\"\ndeadline = \"11ms\"\n";
    let file = folder.file("w.toml", text);
    let message = error(&["run", &file]);
    assert!(
        message.contains("w.toml:6:12: task \"a\".deadline: is \"11ms\"; it must be at most `period`"),
        "{message}"
    );
}
