//! What `dis check` and `dis sim` answer to workloads that cannot be right: the place, what is wrong, what helps, exit code 2, and nothing
//! on standard output.

mod common;

use common::{Folder, dis, text};

/// The error of both commands for a file.
fn errors(folder: &Folder, file: &str, more: &[&str]) -> [String; 2] {
    let file = folder.file("w.toml", file);
    ["check", "sim"].map(|command| {
        let output = dis(&[&[command, &file], more].concat());
        let (code, told) = (output.status.code(), text(&output.stderr));
        assert_eq!((code, text(&output.stdout).as_str()), (Some(2), ""), "{command}: {told}");
        assert!(!told.contains("panicked"), "{told}");
        told
    })
}

/// Both commands say all of `parts`.
fn both_tell(file: &str, more: &[&str], parts: &[&str]) {
    for error in errors(&Folder::new(), file, more) {
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
}

fn realtime(times: &str) -> String {
    format!("duration = \"1s\"\ncpus = 1\n[[task]]\nname = \"a\"\nintent = \"realtime\"\n{times}\n")
}

#[test]
fn impossible_times() {
    let longer = "it must be longer than 0";
    for (times, place, told) in [
        ("period = \"0ms\"\nwcet = \"1ms\"", "w.toml:6:10: task \"a\".period: is 0", longer),
        ("period = \"10ms\"\nwcet = \"0ms\"", "w.toml:7:8: task \"a\".wcet: is 0", longer),
        ("period = \"10ms\"\nwcet = \"1ms\"\ndeadline = \"0ms\"", "w.toml:8:12: task \"a\".deadline: is 0", longer),
        ("period = \"-10ms\"\nwcet = \"1ms\"", "w.toml:6:10: task \"a\".period", "\"-10ms\" is negative"),
        ("period = \"10ms\"\nwcet = \"-1ms\"", "w.toml:7:8: task \"a\".wcet", "\"-1ms\" is negative"),
        (
            "period = \"10ms\"\nwcet = \"1ms\"\ninterarrival = \"0ms\"",
            "w.toml:8:16: task \"a\".interarrival: is 0",
            longer,
        ),
        (
            "period = \"10ms\"\nwcet = \"6ms\"\ndeadline = \"5ms\"",
            "w.toml:7:8: task \"a\".wcet",
            "at most `deadline`, which is \"5ms\"",
        ),
        (
            "period = \"5ms\"\nwcet = \"6ms\"",
            "w.toml:7:8: task \"a\".wcet",
            "at most `period`, the deadline, which is \"5ms\"",
        ),
        (
            "period = \"10ms\"\nwcet = \"6ms\"\ndeadline = \"11ms\"",
            "w.toml:8:12: task \"a\".deadline",
            "at most `period`",
        ),
        (
            "period = \"10\"\nwcet = \"6ms\"",
            "w.toml:6:10: task \"a\".period",
            "has no unit; write for instance \"10ms\"",
        ),
        (
            "period = \"300y\"\nwcet = \"6ms\"",
            "w.toml:6:10: task \"a\".period",
            "\"y\" is not a unit of a duration; allowed are ns, us, ms, s",
        ),
        ("period = \"9300000000s\"\nwcet = \"6ms\"", "w.toml:6:10: task \"a\".period", "292 years"),
    ] {
        both_tell(&realtime(times), &[], &[place, told]);
    }
}

#[test]
fn impossible_machines_and_policies() {
    let file = realtime("period = \"10ms\"\nwcet = \"1ms\"");
    for (more, told) in [
        (&["--cpus", "257"][..], &["--cpus", "257 is not in 1..=256"][..]),
        (&["--cpus", "0"], &["--cpus", "0 is not in 1..=256"]),
        (
            &["--policy", "realtime=luck"],
            &["--policy realtime=luck: `luck` is no policy", "edf, fair, priority", "rm, dm, llf"],
        ),
        (&["--policy", "batch=rm"], &["--policy", "write realtime=rm"]),
        (&["--policy", "hard=edf"], &["--policy", "`hard` is no class (classes: system, realtime"]),
        (&["--policy", "luck"], &["--policy", "write CLASS=NAME"]),
    ] {
        both_tell(&file, more, told);
    }
    let many = file.replace("cpus = 1", "cpus = 257");
    both_tell(&many, &[], &["w.toml:2:8: cpus: is 257; it must be a whole number from 1 to 256"]);
}

#[test]
fn files_without_a_task() {
    for file in ["", "duration = \"1s\"\n"] {
        both_tell(file, &[], &["w.toml:1:1: task: the file has no task; add at least one [[task]]"]);
    }
    both_tell("task = []\n", &[], &["w.toml:1:8: task: the list of tasks is empty; add at least one [[task]]"]);
}

/// Locks in the opposite order, while others go on: told when it happens, with who holds and who waits for what.
#[test]
fn locks_that_deadlock() {
    let body = |first: &str, second: &str| {
        format!(
            "loop = [ {{ lock = \"{first}\" }}, {{ run = \"2ms\" }}, {{ lock = \"{second}\" }}, {{ run = \"1ms\" }}, \
             {{ unlock = \"{second}\" }}, {{ unlock = \"{first}\" }} ]\n"
        )
    };
    let task = |name: &str, body: &str| format!("[[task]]\nname = \"{name}\"\nintent = \"batch\"\n{body}");
    let other = task("c", "loop = [ { run = \"1ms\" }, { sleep = \"1ms\" } ]\n");
    let [a, b, d] = [("a", "m", "n"), ("b", "n", "o"), ("d", "o", "m")].map(|(name, x, y)| task(name, &body(x, y)));
    let file = format!("duration = \"1s\"\ncpus = 4\n{a}{b}{other}{d}");
    let folder = Folder::new();
    let output = dis(&["sim", &folder.file("w.toml", &file), "--no-progress"]);
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{error}");
    for part in [
        "w.toml: deadlock at 0.002000000s: ",
        "\"a\" (line 3, step 3) waits for the mutex `n`, which \"b\" holds",
        "\"b\" (line 7, step 3) waits for the mutex `o`, which \"d\" holds",
        "\"d\" (line 15, step 3) waits for the mutex `m`, which \"a\" holds",
        "take mutexes in the same order everywhere",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("\"c\""), "{error}");
}

/// The largest primes below a million.
fn primes(count: usize) -> Vec<u64> {
    let prime = |n: &u64| (2..1_000).all(|divisor| !n.is_multiple_of(divisor));
    (1_000..1_000_000).rev().filter(prime).take(count).collect()
}

fn with_periods(tasks: impl Iterator<Item = [u64; 3]>) -> String {
    let task = |(n, [wcet, deadline, period]): (usize, [u64; 3])| {
        let times = format!("period = \"{period}us\"\nwcet = \"{wcet}us\"\ndeadline = \"{deadline}us\"");
        format!("[[task]]\nname = \"t{n}\"\nintent = \"realtime\"\n{times}\n")
    };
    let tasks: String = tasks.enumerate().map(task).collect();
    format!("duration = \"1s\"\ncpus = 1\n{tasks}")
}

/// Periods whose least common multiple is beyond 64 bits: the tests need no hyperperiod.
#[test]
fn hyperperiods_beyond_all_bounds_are_not_needed() {
    let file = with_periods(primes(8).into_iter().map(|p| [p / 10, p * 9 / 10, p]));
    let folder = Folder::new();
    let output = dis(&["check", &folder.file("w.toml", &file), "--host", "sim"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// A utilisation of exactly 1 with such periods, and deadlines a little before their ends, is beyond the work that a test allows itself:
/// it ends all the same, and says that it does not know.
#[test]
fn work_without_bounds_is_bounded_and_that_is_said() {
    let file = with_periods(primes(65).into_iter().map(|p| [p, 65 * p - 1, 65 * p]));
    let folder = Folder::new();
    let output = dis(&["check", &folder.file("w.toml", &file), "--policy", "realtime=global-edf"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{table}");
    for part in [
        "undecided: the utilisation is too close to what is supplied for the work allowed",
        "All of them fit on 2 CPUs",
        "unknown",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn trace_files_that_are_none() {
    let folder = Folder::new();
    std::fs::write(folder.path("binary"), [0x31, 0x6d, 0xff, 0xfe, 0x00]).unwrap();
    folder.file("words", "1ms\n# a comment\nsoon\n");
    folder.file("negative", "1ms\n-1ms\n");
    folder.file("zeros", "# nothing yet\n0s\n");
    for (name, told) in [
        ("none", "none: cannot be read: "),
        (".", ": is not an ordinary file; give one with a time in each line, such as 1500us"),
        ("binary", "binary: is not text; write a time in each line, such as 1500us"),
        ("words", "words: line 3: \"soon\" is not a duration; write a number and a unit, such as \"10ms\""),
        ("negative", "negative: line 2: \"-1ms\" is negative"),
        ("zeros", "zeros: has no time above 0; write one a line, such as 1500us"),
    ] {
        let times = format!("period = \"10ms\"\nwcet = \"1ms\"\ninterarrival = {{ trace = \"{name}\" }}");
        for error in errors(&folder, &realtime(&times), &[]) {
            assert!(
                error.contains("w.toml:8:26: task \"a\".interarrival.trace: ") && error.contains(told),
                "{told}: {error}"
            );
        }
        let times = format!("period = \"10ms\"\nwcet = \"1ms\"\nloop = [ {{ run = {{ trace = \"{name}\" }} }} ]");
        for error in errors(&folder, &realtime(&times), &[]) {
            assert!(
                error.contains("w.toml:8:") && error.contains("loop[0].run.trace: ") && error.contains(told),
                "{error}"
            );
        }
    }
}
