//! What the file and the command line say reaches the scheduler: each of these fails if it is read and then forgotten.
//!
//! `cpu_ns` is how long the core gave a task the CPU, so shares hold however busy the machine is; where they depend on
//! timers that may be late, the best of several runs counts.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{Folder, command, dis, report, task, text};

const ATTEMPTS: usize = 8;

/// A batch task that never gives up the CPU, with `rest` of its declaration.
fn hog(name: &str, rest: &str) -> String {
    let intent = if rest.contains("intent") { "" } else { "intent = \"batch\"\n" };
    format!("[[task]]\nname = \"{name}\"\n{intent}{rest}\nloop = [ {{ run = \"100s\" }} ]\n")
}

/// The shares that the named tasks of a workload have of one CPU.
fn shares<const N: usize>(workload: &str, names: [&str; N], arguments: &[&str]) -> [f64; N] {
    let folder = Folder::new();
    let file = folder.file("w.toml", workload);
    let run = ["run", file.as_str(), "--cpus", "1", "--duration", "600ms", "--json", "-", "--quiet"];
    let output = dis(&[&run, arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = report(&output);
    names.map(|name| task(&report, name)["share"].as_f64().unwrap())
}

/// Whether it holds for a run out of several.
fn holds(mut check: impl FnMut() -> Result<(), String>) {
    let mut failures = Vec::new();
    for _ in 0..ATTEMPTS {
        match check() {
            Ok(()) => return,
            Err(why) => failures.push(why),
        }
    }
    panic!("{failures:#?}");
}

#[test]
fn policies_and_priorities() {
    let pair = hog("first", "priority = 10") + &hog("second", "priority = 200");
    // Fixed priorities: the second gets what the guarantees leave to nobody of its class, nothing.
    let [first, second] = shares(&pair, ["first", "second"], &["--policy", "batch=priority"]);
    assert!(first > 0.5 && second < first / 20.0, "{first} {second}");
    // By default they share by weight, 246 to 56.
    holds(|| {
        let [first, second] = shares(&pair, ["first", "second"], &[]);
        let ratio = second / first;
        if (0.1..0.5).contains(&ratio) { Ok(()) } else { Err(format!("{first} {second}")) }
    });
}

#[test]
fn limits() {
    let pair = hog("system", "intent = \"system\"") + &hog("batch", "");
    holds(|| {
        let [usual] = shares(&pair, ["system"], &[]);
        let [limited] = shares(&format!("[limits]\nsystem = \"10%\"\n{pair}"), ["system"], &[]);
        if limited > 0.02 && limited < usual * 0.6 { Ok(()) } else { Err(format!("{limited}, without limit {usual}")) }
    });
}

#[test]
fn the_most_of_a_cpu() {
    holds(|| {
        let [capped] = shares(&hog("capped", "cpu_max = \"20%\""), ["capped"], &[]);
        if (0.05..0.4).contains(&capped) { Ok(()) } else { Err(format!("{capped}")) }
    });
    let [free] = shares(&hog("free", ""), ["free"], &[]);
    assert!(free > 0.5, "{free}");
}

/// The most threads that the command was seen to have.
fn threads(workload: &str) -> usize {
    let folder = Folder::new();
    let file = folder.file("w.toml", workload);
    let mut child = command().args(["run", &file, "--quiet"]).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id()));
        most = most.max(threads.map_or(0, Iterator::count));
        std::thread::sleep(Duration::from_millis(5));
    }
    most
}

#[test]
fn threads_of_their_own() {
    let crowd = |rest: &str| {
        format!(
            "duration = \"500ms\"\n[[task]]\nname = \"t\"\nintent = \"batch\"\ninstances = 150\n{rest}\n\
             loop = [ {{ sleep = \"10ms\" }} ]\n"
        )
    };
    // 64 threads for tasks, some for the workers.
    let (shared, dedicated) = (threads(&crowd("")), threads(&crowd("dedicated = true")));
    assert!(shared < 120 && dedicated >= 150, "{shared} {dedicated}");
}

#[test]
fn real_time_workers() {
    let folder = Folder::new();
    let file =
        folder.file("w.toml", "[[task]]\nname = \"t\"\nintent = \"batch\"\nrepeat = 1\nloop = [ { run = \"1ms\" } ]\n");
    let notes = |arguments: &[&str]| text(&dis(&[&["run", file.as_str()], arguments].concat()).stderr);
    let with = notes(&["--fifo"]);
    let refused = with.contains("SCHED_FIFO was not permitted (it needs root or CAP_SYS_NICE)");
    assert!(refused || with.contains("worker threads run under SCHED_FIFO, priority 40"), "{with}");
    let throttle = std::fs::read_to_string("/proc/sys/kernel/sched_rt_runtime_us").unwrap_or_default();
    let told = with.contains("sysctl kernel.sched_rt_runtime_us=-1");
    assert_eq!(told, !refused && !throttle.starts_with('-') && !throttle.is_empty(), "{throttle}{with}");
    assert!(!notes(&[]).contains("SCHED_FIFO"));
}
