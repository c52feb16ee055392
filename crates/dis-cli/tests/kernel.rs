//! The kernel's schedule against the simulator's: the same file, the same core, once on a machine whose instructions are
//! counted and once under virtual time.
//!
//! `DIS_KERNEL_IMAGE` names the kernel; `cargo xtask test --only kernel` builds it and sets that. Without it nothing is
//! compared, and the tests say so.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Folder, command, text};
use serde_json::Value;

/// A stay of a task on a CPU, µs from the start of the workload.
#[derive(Debug, Clone, PartialEq)]
struct Stay {
    cpu: u64,
    task: String,
    begin: f64,
    end: f64,
}

impl Stay {
    fn length(&self) -> f64 {
        self.end - self.begin
    }
}

/// Both schedules of a workload; `None` without a kernel.
struct Pair {
    sim: Vec<Stay>,
    kernel: Vec<Stay>,
    report: Value,
}

fn image() -> Option<String> {
    let image = std::env::var("DIS_KERNEL_IMAGE").ok().filter(|image| !image.is_empty());
    if image.is_none() {
        eprintln!("skipped: DIS_KERNEL_IMAGE names no kernel (cargo xtask test --only kernel)");
    }
    image
}

/// Runs the workload both ways.
fn both(workload: &str) -> Option<Pair> {
    both_with(workload, &[])
}

/// The same with more arguments.
fn both_with(workload: &str, more: &[&str]) -> Option<Pair> {
    let image = image()?;
    let folder = Folder::new();
    let file = folder.file("w.toml", workload);
    let run = |arguments: &[&str]| {
        let output = command().args(arguments).args(more).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "dis {}: {out}{err}", arguments.join(" "));
    };
    let (sim, kernel, report) = (folder.path("sim.json"), folder.path("kernel.json"), folder.path("report.json"));
    run(&["sim", &file, "--quiet", "--trace", &sim]);
    run(&["boot", &file, "--image", &image, "--deterministic", "--quiet", "--trace", &kernel, "--json", &report]);
    let report = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    Some(Pair { sim: stays(&sim), kernel: stays(&kernel), report })
}

/// The stays on CPUs in a Chrome trace, in the order of time; what follows without a gap that matters is one.
fn stays(path: &str) -> Vec<Stay> {
    let trace: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().or(trace.as_array()).unwrap();
    let process =
        |event: &&Value| event["ph"] == "M" && event["name"] == "process_name" && event["args"]["name"] == "CPUs";
    let cpus = &events.iter().find(process).unwrap()["pid"];
    let number = |value: &Value| value.as_f64().unwrap();
    let mut stays: Vec<Stay> = (events.iter().filter(|event| event["ph"] == "X" && event["pid"] == *cpus))
        .map(|event| Stay {
            cpu: event["tid"].as_u64().unwrap() - 1,
            task: event["name"].as_str().unwrap().into(),
            begin: number(&event["ts"]),
            end: number(&event["ts"]) + number(&event["dur"]),
        })
        .collect();
    stays.sort_by(|a, b| (a.cpu, a.begin).partial_cmp(&(b.cpu, b.begin)).unwrap());
    let mut merged: Vec<Stay> = Vec::new();
    for stay in stays {
        match merged.last_mut() {
            Some(last) if last.cpu == stay.cpu && last.task == stay.task && stay.begin - last.end < 20.0 => {
                last.end = stay.end
            }
            _ => merged.push(stay),
        }
    }
    merged.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    merged
}

/// CPU time of each task, µs.
fn shares(stays: &[Stay]) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    stays.iter().for_each(|stay| *sums.entry(stay.task.as_str()).or_default() += stay.length());
    sums
}

/// The stays of some tasks must be the same ones in the same order on the same CPUs, and no begin or end may differ by more
/// than `bound` µs: what switches, interrupts and the interpreter cost, added up over the busy period. Answers the largest
/// difference.
fn same_order(pair: &Pair, tasks: &[&str], bound: f64) -> f64 {
    let of = |stays: &[Stay]| -> Vec<Stay> {
        // Shorter ones are the interpreter between two steps.
        stays.iter().filter(|stay| tasks.contains(&stay.task.as_str()) && stay.length() > 30.0).cloned().collect()
    };
    let (sim, kernel) = (of(&pair.sim), of(&pair.kernel));
    let mut worst: f64 = 0.0;
    for (place, (sim, kernel)) in sim.iter().zip(&kernel).enumerate() {
        assert_eq!((sim.cpu, &sim.task), (kernel.cpu, &kernel.task), "stay {place}: sim {sim:?}, kernel {kernel:?}");
        let differs = (sim.begin - kernel.begin).abs().max((sim.end - kernel.end).abs());
        assert!(differs <= bound, "stay {place} differs by {differs} us: sim {sim:?}, kernel {kernel:?}");
        worst = worst.max(differs);
    }
    assert!(sim.len() > 20 && sim.len().abs_diff(kernel.len()) <= 1, "{} and {} stays", sim.len(), kernel.len());
    eprintln!("{} stays in the same order; the largest difference is {worst:.1} us", sim.len());
    worst
}

fn misses(pair: &Pair, task: &str) -> u64 {
    common::task(&pair.report, task)["deadline_misses"].as_u64().unwrap()
}

#[test]
fn edf_order_is_the_simulators() {
    // Times that never meet within some tens of microseconds, so that costs cannot turn the order.
    let workload = r#"
        duration = "280ms"
        cpus = 1
        [[task]]
        name = "a"
        intent = "realtime"
        period = "5ms"
        wcet = "1100us"
        offset = "300us"
        loop = [ { run = "1013us" } ]
        [[task]]
        name = "b"
        intent = "realtime"
        period = "7ms"
        wcet = "2100us"
        offset = "900us"
        loop = [ { run = "2029us" } ]
        [[task]]
        name = "c"
        intent = "realtime"
        period = "20ms"
        wcet = "3200us"
        offset = "2150us"
        loop = [ { run = "3041us" } ]
        [[task]]
        name = "hog"
        intent = "batch"
        loop = [ { run = "50ms" } ]
    "#;
    let Some(pair) = both(workload) else { return };
    same_order(&pair, &["a", "b", "c"], 100.0);
    ["a", "b", "c"].iter().for_each(|task| assert_eq!(misses(&pair, task), 0, "{task}"));
}

/// Arrivals and run times come from the seed, so the kernel's are the simulator's.
#[test]
fn sporadic_jobs_arrive_as_in_the_simulator() {
    let workload = r#"
        duration = "400ms"
        cpus = 1
        seed = 11
        [[task]]
        name = "a"
        intent = "realtime"
        period = "5ms"
        wcet = "1100us"
        interarrival = { bursty = ["3ms", "21ms"], burst = 4 }
        loop = [ { run = { uniform = ["300us", "1ms"] } } ]
        [[task]]
        name = "b"
        intent = "realtime"
        period = "9ms"
        wcet = "2100us"
        offset = "1700us"
        interarrival = { uniform = ["9ms", "18ms"] }
        loop = [ { run = { normal = ["1500us", "300us"] } } ]
    "#;
    let Some(pair) = both(workload) else { return };
    same_order(&pair, &["a", "b"], 100.0);
    ["a", "b"].iter().for_each(|task| assert_eq!(misses(&pair, task), 0, "{task}"));
}

#[test]
fn an_overrun_is_stopped_at_its_budget() {
    let workload = r#"
        duration = "300ms"
        cpus = 1
        [[task]]
        name = "greedy"
        intent = "realtime"
        period = "10ms"
        wcet = "2ms"
        loop = [ { run = "1s" } ]
        [[task]]
        name = "honest"
        intent = "realtime"
        period = "8ms"
        wcet = "2ms"
        offset = "333us"
        loop = [ { run = "1700us" } ]
        [[task]]
        name = "hog"
        intent = "batch"
        loop = [ { run = "50ms" } ]
    "#;
    let Some(pair) = both(workload) else { return };
    assert_eq!(misses(&pair, "honest"), 0);
    // The kernel allows 100 us a job for itself; the timer and the way to the decision take some more.
    for (stays, most) in [(&pair.sim, 2_000.5), (&pair.kernel, 2_120.0)] {
        for period in 0..29 {
            let (from, to) = (f64::from(period) * 10_000.0, f64::from(period + 1) * 10_000.0);
            let greedy = stays.iter().filter(|stay| stay.task == "greedy");
            let used: f64 = greedy.map(|stay| (stay.end.min(to) - stay.begin.max(from)).max(0.0)).sum();
            assert!(used <= most && used >= 1_990.0, "period {period}: {used} us of at most {most}");
        }
    }
}

#[test]
fn caps_of_classes_hold() {
    let workload = r#"
        duration = "2s"
        cpus = 1
        [limits]
        system = "30%"
        realtime = "60%"
        [[task]]
        name = "system"
        intent = "system"
        loop = [ { run = "1s" } ]
        [[task]]
        name = "batch"
        intent = "batch"
        loop = [ { run = "1s" } ]
        [[task]]
        name = "background"
        intent = "background"
        loop = [ { run = "1s" } ]
    "#;
    let Some(pair) = both(workload) else { return };
    let (sim, kernel) = (shares(&pair.sim), shares(&pair.kernel));
    for task in ["system", "batch", "background"] {
        let (sim, kernel) = (sim[task] / 20_000.0, kernel[task] / 20_000.0);
        eprintln!("{task}: {sim:.2} % in the simulator, {kernel:.2} % in the kernel");
        assert!((sim - kernel).abs() < 0.3, "{task}: {sim} % in the simulator, {kernel} % in the kernel");
    }
    assert!((29.5..=30.5).contains(&(kernel["system"] / 20_000.0)), "{kernel:?}");
}

#[test]
fn shares_of_tasks_hold() {
    let workload = r#"
        duration = "2s"
        cpus = 1
        [[task]]
        name = "capped"
        intent = "interactive"
        latency = "1ms"
        cpu_max = "20%"
        loop = [ { run = "1s" } ]
        [[task]]
        name = "reserved"
        intent = "background"
        cpu_min = "40%"
        loop = [ { run = "1s" } ]
        [[task]]
        name = "crowd"
        intent = "batch"
        instances = 5
        loop = [ { run = "1s" } ]
    "#;
    let Some(pair) = both(workload) else { return };
    for (host, shares) in [("simulator", shares(&pair.sim)), ("kernel", shares(&pair.kernel))] {
        let (capped, reserved) = (shares["capped"] / 20_000.0, shares["reserved"] / 20_000.0);
        eprintln!("{host}: capped {capped:.2} %, reserved {reserved:.2} %");
        assert!((19.0..=20.3).contains(&capped), "{host}: {capped} % of at most 20 %");
        assert!(reserved >= 39.8, "{host}: {reserved} % of at least 40 %");
    }
}

/// Under the fair policy the one would have four times as much as the other.
#[test]
fn a_policy_that_was_chosen_is_the_kernels_too() {
    let workload = r#"
        duration = "1s"
        cpus = 1
        [[task]]
        name = "heavy"
        intent = "batch"
        priority = 56
        loop = [ { run = "1s" } ]
        [[task]]
        name = "light"
        intent = "batch"
        priority = 206
        loop = [ { run = "1s" } ]
    "#;
    for (policy, ratio) in [("batch=round-robin", 1.0), ("batch=fair", 4.0)] {
        let Some(pair) = both_with(workload, &["--policy", policy]) else { return };
        for (host, shares) in [("simulator", shares(&pair.sim)), ("kernel", shares(&pair.kernel))] {
            let has = shares["heavy"] / shares["light"];
            eprintln!("{host}: {policy}: {has:.2} times as much");
            assert!((has / ratio - 1.0).abs() < 0.1, "{host}: {policy}: {has} instead of {ratio}");
        }
    }
}

#[test]
fn affinity_is_kept_and_both_cpus_follow_the_simulator() {
    let workload = r#"
        duration = "200ms"
        cpus = 2
        [[task]]
        name = "left"
        intent = "realtime"
        affinity = [0]
        period = "5ms"
        wcet = "1500us"
        offset = "200us"
        loop = [ { run = "1111us" } ]
        [[task]]
        name = "right"
        intent = "realtime"
        affinity = [1]
        period = "7ms"
        wcet = "2500us"
        offset = "650us"
        loop = [ { run = "2222us" } ]
        [[task]]
        name = "stays"
        intent = "batch"
        affinity = [1]
        loop = [ { run = "20ms" } ]
        [[task]]
        name = "roams"
        intent = "batch"
        instances = 2
        loop = [ { run = "20ms" } ]
    "#;
    let Some(pair) = both(workload) else { return };
    for (task, cpu) in [("left", 0), ("right", 1), ("stays", 1)] {
        let of =
            |stays: &[Stay]| stays.iter().filter(|stay| stay.task == task).map(|stay| stay.cpu).collect::<Vec<_>>();
        for cpus in [of(&pair.sim), of(&pair.kernel)] {
            assert!(!cpus.is_empty() && cpus.iter().all(|&on| on == cpu), "{task}: {cpus:?}");
        }
    }
    same_order(&pair, &["left"], 100.0);
    same_order(&pair, &["right"], 100.0);
}

#[test]
fn two_deterministic_runs_give_the_same_bytes() {
    let Some(image) = image() else { return };
    let folder = Folder::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mixed.toml");
    let run = |name: &str| {
        let (trace, report) = (folder.path(&format!("{name}.trace")), folder.path(&format!("{name}.json")));
        let arguments = ["--duration", "300ms", "--deterministic", "--trace", &trace, "--json", &report];
        let output = command().args(["boot", example, "--image", &image]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (output.stdout, fs::read(trace).unwrap(), fs::read(report).unwrap())
    };
    let (one, two) = (run("one"), run("two"));
    assert!(one == two, "two runs differ: {}", text(&one.0));
    let report: Value = serde_json::from_slice(&one.2).unwrap();
    let tasks = report["tasks"].as_array().unwrap();
    assert_eq!((report["host"].as_str(), tasks.len()), (Some("bare-metal"), 9));
    assert!(tasks.iter().all(|task| task["cpu_ns"].as_u64() > Some(0)), "{report}");
    assert!(tasks.iter().all(|task| task["deadline_misses"] == 0), "{report}");
}

#[test]
fn what_the_kernel_cannot_enforce_is_refused_with_the_reason() {
    let Some(image) = image() else { return };
    let folder = Folder::new();
    for (key, value) in [
        ("memory", "\"1MiB\""),
        ("numa_node", "1"),
        ("io_priority", "\"idle\""),
        ("net_priority", "3"),
        ("mem_bandwidth", "\"100MB/s\""),
        ("io_bandwidth", "\"100KB/s\""),
    ] {
        let with = |line: &str| {
            let task = "[[task]]\nname = \"t\"\nintent = \"batch\"\nrepeat = 2\nloop = [ { run = \"1ms\" } ]\n";
            let file = folder.file("m.toml", &format!("cpus = 1\n{task}{key} = {value}\n{line}\n"));
            command().args(["boot", &file, "--image", &image, "--deterministic"]).output().unwrap()
        };
        let refused = with("");
        let message = text(&refused.stderr);
        let why = format!("m.toml:2: task \"t\": {key}: not supported: the ");
        assert!(message.contains(&why) && message.contains("best_effort"), "{key}: {message}");
        assert_eq!(refused.status.code(), Some(2), "{key}");
        let noted = with(&format!("best_effort = [\"{key}\"]"));
        let message = text(&noted.stderr);
        let note = format!("{key}: not enforced (best_effort): the ");
        assert!(noted.status.success() && message.contains(&note), "{key}: {message}");
    }
}

#[test]
fn locks_events_and_barriers_work_in_the_kernel() {
    let Some(image) = image() else { return };
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/locks-and-events.toml");
    let report = |arguments: &[&str]| {
        let output = command().args(arguments).args(["--duration", "1s", "--json", "-"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        common::report(&output)
    };
    let sim = report(&["sim", example]);
    let kernel = report(&["boot", example, "--image", &image, "--deterministic"]);
    for (sim, kernel) in sim["tasks"].as_array().unwrap().iter().zip(kernel["tasks"].as_array().unwrap()) {
        let jobs = |task: &Value| task["jobs"].as_u64().unwrap();
        eprintln!("{}: {} jobs in the simulator, {} in the kernel", sim["name"], jobs(sim), jobs(kernel));
        // Each wait costs some microseconds more than nothing.
        assert!(jobs(sim).abs_diff(jobs(kernel)) <= 2 + jobs(sim) / 20, "sim {sim}, kernel {kernel}");
    }
}

#[test]
fn ctrl_c_ends_the_workload_and_the_report_is_printed() {
    let Some(image) = image() else { return };
    let folder = Folder::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mixed.toml");
    let (out, trace) = (fs::File::create(folder.path("out")).unwrap(), folder.path("trace.json"));
    let mut command = command();
    command.args(["boot", example, "--image", &image, "--duration", "1000s", "--trace", &trace]).stdout(out);
    let mut child = command.spawn().unwrap();
    let said = || fs::read_to_string(folder.path("out")).unwrap();
    while !said().contains("dis-kernel:") {
        assert_eq!(child.try_wait().unwrap(), None, "{}", said());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The workload begins some milliseconds later.
    std::thread::sleep(std::time::Duration::from_millis(700));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", said());
    assert!(said().contains("Tasks (bare-metal, 2 CPUs,") && said().contains("control"), "{}", said());
    assert!(stays(&trace).iter().any(|stay| stay.task == "ui"), "the trace has what was run");
}

/// What the kernel's own test of a misbehaving machine leaves on the serial line: each thing that was done to it is reported, with what it
/// is about. (The exit code tells that the other tasks went on.)
#[test]
fn a_machine_that_misbehaves_is_reported() {
    let Some(image) = image() else { return };
    let mut qemu = std::process::Command::new("qemu-system-x86_64");
    qemu.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-m",
        "256",
        "-smp",
        "2",
        "-nodefaults",
        "-no-user-config",
    ]);
    qemu.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"]);
    qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-append", "test=injection", "-kernel", &image]);
    let output = qemu.stdin(std::process::Stdio::null()).output().unwrap();
    let console = text(&output.stdout);
    assert_eq!(output.status.code(), Some(33), "{console}");
    let lines = console.lines().filter_map(|line| line.strip_prefix('\u{1e}'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == name && event["cpu"] == 1).collect()
    };
    assert!(of("timer-lost").iter().all(|lost| lost["due_ns"].as_u64() > Some(0)) && !of("timer-lost").is_empty());
    // Once for a while, once for good.
    let silent = of("cpu-silent");
    assert!(silent.len() >= 2 && silent.iter().all(|one| one["task"] == "stops its CPU"), "{silent:?}");
    let waited = |one: &Value| one["now_ns"].as_u64().unwrap() - one["since_ns"].as_u64().unwrap();
    assert!(silent.iter().all(|one| waited(one) >= 1_000_000_000), "{silent:?}");
    let place = |name: &str| events.iter().rposition(|event| event["event"] == name && event["cpu"] == 1);
    assert!(place("cpu-answers").is_some() && place("cpu-answers") < place("cpu-silent"), "{console}");
}
