//! `dis check --policy realtime=priority`: response times under fixed priorities, against the simulator under the same policy.

mod common;

use common::{Folder, dis, report, task, text};
use serde_json::Value;

const PRIORITY: [&str; 4] = ["--host", "sim", "--policy", "realtime=priority"];

/// A task: name, priority, wcet, deadline, period in µs, and more lines.
fn realtime(name: &str, priority: u64, [wcet, deadline, period]: [u64; 3], more: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nintent = \"realtime\"\npriority = {priority}\nwcet = \"{wcet}us\"\n\
         deadline = \"{deadline}us\"\nperiod = \"{period}us\"\n{more}\n"
    )
}

fn json(file: &str, more: &[&str]) -> (i32, Value) {
    let output = dis(&[&["check", file, "--json", "-", "--quiet"], more].concat());
    (output.status.code().unwrap(), report(&output))
}

/// Joseph and Pandya's set: 3, 6 and 20, plus what System may take. In the other order the first task is late.
#[test]
fn the_order_of_priorities_decides() {
    let folder = Folder::new();
    let set = |first: u64, last: u64| {
        let head = "cpus = 1\nduration = \"1s\"\n[limits]\nrealtime = \"100%\"\nsystem = \"0.1%\"\n";
        let tasks = [
            ("a", first, [3_000, 7_000, 7_000]),
            ("b", 5, [3_000, 12_000, 12_000]),
            ("c", last, [4_000, 20_000, 20_000]),
        ];
        let tasks = tasks.map(|(name, priority, times)| realtime(name, priority, times, ""));
        folder.file("set.toml", &(head.to_string() + &tasks.concat()))
    };
    let (code, right) = json(&set(1, 9), &PRIORITY);
    assert_eq!(code, 0, "{right}");
    for (name, alone) in [("a", 3_000_000), ("b", 6_000_000), ("c", 19_000_000)] {
        let row = task(&right, name);
        assert_eq!(row["response_bound_without_system_ns"], alone, "{row}");
        // 20 µs of System at once, and 10 µs of each window after that.
        let bound = row["response_bound_ns"].as_u64().unwrap();
        assert!((alone..alone + 100_000).contains(&bound), "{row}");
    }
    let (code, wrong) = json(&set(9, 1), &PRIORITY);
    assert_eq!((code, &task(&wrong, "a")["verdict"]), (1, &"not-schedulable".into()), "{wrong}");
    assert_eq!(task(&wrong, "c")["verdict"], "schedulable");
    let why = task(&wrong, "a")["reason"].as_str().unwrap().to_string();
    assert!(why.contains("give it a lower number, or take realtime=edf"), "{why}");
    // The deadlines decide under EDF, whatever the priorities are.
    assert_eq!(json(&set(9, 1), &["--host", "sim"]).0, 0);
    let table = text(&dis(&[&["check", &set(1, 9)], &PRIORITY[..]].concat()).stdout);
    assert!(table.starts_with("Deadlines and reservations (1 CPU, sim, realtime=priority)\n"), "{table}");
}

/// What counts on EDF is not promised anything.
#[test]
fn split_tasks_and_reservations_are_unknown() {
    let folder = Folder::new();
    let head = "cpus = 2\nduration = \"1s\"\n";
    let three: String = (0..3).map(|n| realtime(&format!("t{n}"), n, [10_000, 20_000, 20_000], "")).collect();
    let (code, split) = json(&folder.file("split.toml", &(head.to_string() + &three)), &PRIORITY);
    assert_eq!(code, 1);
    for row in split["tasks"].as_array().unwrap() {
        assert_eq!(row["verdict"], "not-analysed", "{row}");
        assert!(row["reason"].as_str().unwrap().contains("realtime=edf"), "{row}");
    }
    let reserved = "[[task]]\nname = \"r\"\nintent = \"batch\"\ncpu_min = \"10%\"\nloop = [ { run = \"1s\" } ]\n";
    let one = realtime("t", 1, [1_000, 20_000, 20_000], "");
    let (code, report) = json(&folder.file("r.toml", &(head.replace('2', "1") + &one + reserved)), &PRIORITY);
    assert_eq!((code, &task(&report, "r")["verdict"]), (1, &"not-analysed".into()), "{report}");
    assert_eq!(task(&report, "t")["verdict"], "not-analysed");
}

/// Random sets with random priorities, some of them equal, with locks, beside a System task and a Batch hog: no response is above its
/// bound, and what has one misses nothing; and some of what is called late is late.
#[test]
fn bounds_hold_in_the_simulator() {
    let folder = Folder::new();
    let mut seed = 7u64;
    let mut random = |low: u64, high: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + (seed >> 33) % (high - low + 1)
    };
    let (mut sure, mut late, mut seen_late) = (0, 0, 0);
    for round in 0..60 {
        let mut file = "duration = \"2s\"\ncpus = 1\n".to_string();
        let count = random(2, 5);
        for number in 0..count {
            let (period, section) = (random(8, 40) * 1_000, if round % 2 == 0 { 0 } else { random(0, 600) });
            let rest = period * random(100, 300) / 1_000 / count;
            let (wcet, lock) = (2 * rest + section, ["a", "b"][random(0, 1) as usize]);
            let deadline = random(wcet + (period - wcet) / 3, period);
            let body = if section > 0 {
                format!("{{ lock = \"{lock}\" }}, {{ run = \"{section}us\" }}, {{ unlock = \"{lock}\" }}, ")
            } else {
                String::new()
            };
            let body = format!("loop = [ {{ run = \"{rest}us\" }}, {body}{{ run = \"{rest}us\" }} ]");
            let times = [wcet, deadline, period];
            file += &realtime(&format!("t{number}"), random(1, 4), times, &body);
        }
        file += "[[task]]\nname = \"hog\"\nintent = \"batch\"\nloop = [ { run = \"9s\" } ]\n\
                 [[task]]\nname = \"house\"\nintent = \"system\"\nloop = [ { sleep = \"7ms\" }, { run = \"50us\" } ]\n";
        let path = folder.file("a.toml", &file);
        let checked = json(&path, &PRIORITY).1;
        let simulated =
            dis(&["sim", &path, "--json", "-", "--quiet", "--no-progress", "--policy", "realtime=priority"]);
        if simulated.status.code() == Some(2) {
            continue;
        }
        let simulated = report(&simulated);
        for row in checked["tasks"].as_array().unwrap() {
            let seen = task(&simulated, row["name"].as_str().unwrap());
            let misses = seen["deadline_misses"].as_u64().unwrap();
            if row["verdict"] == "schedulable" {
                let (longest, bound) = (seen["response_ns"]["max"].as_u64(), row["response_bound_ns"].as_u64());
                assert!(
                    bound.is_some() && longest <= bound,
                    "{} takes {longest:?}, bound {bound:?}\n{file}",
                    row["name"]
                );
                assert_eq!(misses, 0, "{file}");
                sure += 1;
            } else if row["verdict"] == "not-schedulable" {
                late += 1;
                seen_late += u64::from(misses > 0);
            }
        }
    }
    println!("{sure} tasks are sure, {late} may be late, {seen_late} of these were");
    assert!(sure > 60 && late > 5 && seen_late > 0, "{sure} {late} {seen_late}");
}
