//! How many instructions the core's operations take, counted by callgrind: the same on each run and however busy the machine is.
//!
//! `cargo bench -p dis-core --bench counts` prints the table and compares it with `accepted.txt` beside this file; an operation that
//! has become more than 3 % dearer is an error. `-- --accept` writes what was counted there. `-- --time` measures times instead, which
//! needs a quiet machine. Words that do not begin with a dash choose the operations whose names contain one of them.
//!
//! An operation is what a host does for one scheduling event, so `schedule` is followed by `switched`. Its count is the
//! difference of two runs of different length, so what makes the rig is not in it.

mod rig;

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::Instant;

use rig::{OPERATIONS, Operation};

const ACCEPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts/accepted.txt");
/// How much more than accepted is no error: what another compiler of the same version makes of the same code.
const SLACK: f64 = 1.03;

/// Instructions of one operation.
fn count(operation: &Operation) -> Result<u64, String> {
    let collected = |times: u64| -> Result<u64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_window*"])
            .arg(program)
            .args(["--child", operation.name, &times.to_string()])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let text = String::from_utf8_lossy(&out.stderr);
        let number = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        number.ok_or_else(|| format!("valgrind says no count:\n{text}"))
    };
    Ok((collected(2_000)? - collected(1_000)? + 500) / 1_000)
}

/// The median time of an operation in 41 rounds, ns.
fn time(operation: &Operation) -> f64 {
    const TIMES: u64 = 20_000;
    let mut window = (operation.prepare)();
    window.counted_window(TIMES);
    let mut rounds: Vec<f64> = (0..41)
        .map(|_| {
            let start = Instant::now();
            window.counted_window(TIMES);
            start.elapsed().as_nanos() as f64 / TIMES as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// The table of accepted counts: a line each, the count, a space, the name.
fn read_accepted() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(ACCEPTED).unwrap_or_default();
    let line =
        |line: &str| line.split_once(' ').and_then(|(count, name)| Some((name.to_string(), count.parse().ok()?)));
    text.lines().filter_map(line).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [child, name, times] = arguments.as_slice()
        && child == "--child"
    {
        let operation = OPERATIONS.iter().find(|operation| operation.name == name).expect("the name of an operation");
        (operation.prepare)().counted_window(times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen =
        OPERATIONS.iter().filter(|o| words.is_empty() || words.iter().any(|word| o.name.contains(word.as_str())));
    let mut accepted = read_accepted();
    let mut failed = false;
    for operation in chosen {
        if has("--time") {
            println!("{:44}{:9.1} ns", operation.name, time(operation));
            continue;
        }
        let counted = match count(operation) {
            Ok(counted) => counted,
            Err(message) => {
                eprintln!("{}: {message}", operation.name);
                return ExitCode::FAILURE;
            }
        };
        let limit = accepted.get(operation.name).copied();
        let verdict = match limit {
            None => "nothing accepted yet",
            Some(limit) if counted as f64 > limit as f64 * SLACK => "DEARER",
            Some(limit) if (counted as f64) * SLACK < limit as f64 => "cheaper: accept it",
            Some(_) => "",
        };
        failed |= verdict == "DEARER" && !has("--accept");
        let limit = limit.map_or(String::from("-"), |limit| limit.to_string());
        println!("{:44}{counted:7} instructions, accepted {limit:>6}  {verdict}", operation.name);
        accepted.insert(operation.name.to_string(), counted);
    }
    if has("--accept") {
        let text: String = OPERATIONS
            .iter()
            .filter_map(|operation| Some(format!("{} {}\n", accepted.get(operation.name)?, operation.name)))
            .collect();
        if let Err(error) = std::fs::write(ACCEPTED, text) {
            eprintln!("{ACCEPTED}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if failed {
        eprintln!("Some operations take more instructions than accepted. If that is worth it, accept it: -- --accept");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
