//! Whatever a file contains, the readers answer; and what they accept can be walked.

use dis_workload::Workload;
use dis_workload::model::{Action, Cursor};
use proptest::prelude::*;

const TOML: &str = include_str!("../../../examples/constraints.toml");
const LOCKS: &str = include_str!("../../../examples/locks-and-events.toml");
const JSON: &str = r#"{
  /* comment */ "tasks" : {
    "a" : { "instance" : 2, "loop" : -1, "policy" : "SCHED_FIFO", "priority" : 5, "cpus" : [0, 1], "delay" : 10,
            "phases" : { "p" : { "loop" : 3, "run" : 100, "sleep" : 5, "timer" : { "ref" : "t", "period" : 9 } },
                         "q" : { "cpus" : [1], "suspend", "resume" : "b", "run1" : 3, } } },
    "b" : { "policy" : "SCHED_DEADLINE", "dl-runtime" : 10, "dl-period" : 100, "run" : 5, "yield" : "" },
    "c" : { "lock" : "m", "sync" : { "ref" : "e", "mutex" : "m" }, "unlock" : "m", "barrier" : "x", "mem" : 5 },
  },
  "global" : { "duration" : 5, "default_policy" : "SCHED_OTHER", "calibration" : "CPU0" }
}"#;

/// Fragments that take the place of parts of a valid file.
const FRAGMENTS: [&str; 24] = [
    "",
    "0",
    "-1",
    "99999999999999999999",
    "\"\"",
    "\"-5ms\"",
    "\"1e9s\"",
    "{",
    "}",
    "[",
    "]",
    "[[task]]\n",
    "\n",
    "=",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "0x7fffffffffffffff",
    "1.5",
    "é\u{2028}\u{1f600}",
    "/*",
    "\\u0000",
];

/// Walks a part of every task's body.
fn walk(workload: &Workload) {
    for task in &workload.tasks {
        let mut cursor = Cursor::new();
        for _ in 0..1_000 {
            if cursor.next(task) == Action::Exit {
                break;
            }
        }
    }
    assert!(!workload.tasks.is_empty());
    assert!(workload.tasks.iter().all(|task| task.intent.validate().is_ok() && task.instances > 0));
    assert!(workload.tasks.iter().flat_map(|task| &task.phases).all(|phase| !phase.steps.is_empty()));
}

fn read(text: &str) {
    for result in [Workload::from_toml(text, "f"), Workload::from_rt_app(text, "f")] {
        match result {
            Ok(workload) => walk(&workload),
            Err(error) => {
                assert!(!error.problems.is_empty() && error.problems.len() <= dis_workload::MAX_PROBLEMS);
                let lines = text.lines().count().max(1) + 1;
                assert!(error.problems.iter().all(|problem| problem.line.is_none_or(|line| line <= lines)));
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// Replaces `length` bytes at `at` (both per mille of the text, moved to character boundaries) by `new`.
fn mutate(text: &str, at: usize, length: usize, new: &str) -> String {
    let boundary = |mut offset: usize| {
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = boundary(text.len() * at / 1_000);
    let end = boundary((start + length).min(text.len()));
    [&text[..start], new, &text[end.max(start)..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn mutated_files(
        which in 0..3usize,
        changes in proptest::collection::vec((0..1_000usize, 0..12usize, 0..FRAGMENTS.len()), 1..5),
    ) {
        let mut text = [TOML, LOCKS, JSON][which].to_string();
        for (at, length, fragment) in changes {
            text = mutate(&text, at, length, FRAGMENTS[fragment]);
        }
        read(&text);
    }

    #[test]
    fn shuffled_lines(seed in any::<u64>(), which in 0..3usize) {
        let mut lines: Vec<&str> = [TOML, LOCKS, JSON][which].lines().collect();
        let mut state = seed | 1;
        for index in (1..lines.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            lines.swap(index, (state >> 33) as usize % (index + 1));
        }
        read(&lines.join("\n"));
    }
}

#[test]
fn the_seeds_themselves_are_valid() {
    assert!(Workload::from_toml(TOML, "f").is_ok() && Workload::from_toml(LOCKS, "f").is_ok());
    let error = Workload::from_rt_app(JSON, "f").err();
    assert_eq!(error.map(|error| error.to_string()), None);
}

#[test]
fn deep_nesting_and_long_files_are_answered() {
    for text in ["[".repeat(200_000), "{\"a\":".repeat(100_000), format!("a = {}", "[".repeat(100_000))] {
        read(&text);
    }
    let task = "[[task]]\nname = \"x\"\nintent = \"batch\"\n";
    read(&task.repeat(2_000));
}

#[test]
fn the_largest_files_are_answered_in_seconds() {
    let fill = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        (0..)
            .map(line)
            .take_while(|line| {
                text.len() + line.len() < 1_000_000 && {
                    text.push_str(line);
                    true
                }
            })
            .count();
        text
    };
    let start = std::time::Instant::now();
    read(&format!("{{\"tasks\":{{{}}}}}", fill(&|_| "\"t\":{\"run\":1},".into())));
    read(&format!("{{\"tasks\":{{\"t\":{{{}}}}}}}", fill(&|n| format!("\"lock\":\"{n}\","))));
    read(&format!("{{\"tasks\":{{\"t\":{{{}}}}}}}", fill(&|n| format!("\"suspend\":\"{n}\",\"resume\":\"{n}\","))));
    read(&fill(&|n| {
        format!("[[task]]\nname=\"{n}\"\nintent=\"batch\"\nloop=[{{wait=\"{n}\"}},{{barrier=\"{n}\"}}]\n")
    }));
    read(&fill(&|n| format!("k{n}=1\n")));
    eprintln!("{:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
