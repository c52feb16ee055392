use super::*;
use crate::model::{Constraint, Distribution, DistributionId, EventKind, Release, Repeat, Step, TimerMode};
use dis_core::api::{CpuMask, Duration};
use dis_core::intent::{Intent, IoPriority};

fn read_ok(text: &str) -> Workload {
    Workload::from_toml(text, "w.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The problems of a file, one a line, without the file's name.
fn problems(text: &str) -> Vec<String> {
    let error = Workload::from_toml(text, "w.toml").expect_err("the file should be refused");
    error.to_string().lines().map(|line| line.trim_start_matches("w.toml:").to_string()).collect()
}

/// The problem of a batch task with `extra` lines; the first of them is line 4 of the file.
fn task_problem(extra: &str) -> String {
    let looped = if extra.contains("loop") { "" } else { "\nloop = [ { run = \"1ms\" } ]" };
    let found = problems(&format!("[[task]]\nname = \"a\"\nintent = \"batch\"\n{extra}{looped}\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn everything_is_read() {
    let w = read_ok(
        r#"
        duration = "2s"
        cpus = 3
        [limits]
        system = "20%"
        realtime = "95.5%"
        background_wait = "250ms"
        [[task]]
        name = "control"
        intent = "realtime"
        period = "10ms"
        wcet = "2ms"
        offset = "0ms"
        [[task]]
        name = "b"
        intent = "batch"
        instances = 2
        affinity = [0, 255]
        memory = "64MiB"
        numa_node = 1
        io_priority = "idle"
        net_priority = 7
        cpu_min = "5%"
        cpu_max = "20%"
        mem_bandwidth = "200MB/s"
        io_bandwidth = "300KB/s"
        best_effort = ["memory", "numa_node", "memory"]
        priority = 0
        dedicated = true
        repeat = 7
        loop = [
            { lock = "m" }, { wait = "e", mutex = "m" }, { unlock = "m" }, "yield", { yield = true },
            { signal = "e" }, { broadcast = "e" }, { barrier = "b" }, { timer = "3ms", mode = "absolute" },
            { run = "1ms" }, { sleep = "500ns" },
        ]
        "#,
    );
    assert_eq!((w.duration, w.cpus), (Some(Duration::from_secs(2)), Some(3)));
    assert_eq!((w.limits.system, w.limits.realtime, w.limits.background), (Some(200), Some(955), None));
    assert_eq!(w.limits.background_wait, Some(Duration::from_millis(250)));
    let control = &w.tasks[0];
    assert_eq!(control.intent, Intent::realtime(10_000, 10_000, 2_000));
    assert_eq!(control.release, Release::Periodic(Duration::from_millis(10)));
    assert_eq!(control.phases[0].steps, [Step::Run(Duration::from_millis(2))]);
    let b = &w.tasks[1];
    let intent = Intent::batch()
        .with_affinity([0, 255].into_iter().collect::<CpuMask>())
        .with_memory_limit(64 << 20)
        .with_numa_node(1)
        .with_io_priority(IoPriority::Idle)
        .with_net_priority(7)
        .with_cpu_share(50, 200)
        .with_mem_bandwidth(200)
        .with_io_bandwidth(300);
    assert_eq!(b.intent, intent);
    assert_eq!(b.best_effort, [Constraint::Memory, Constraint::NumaNode]);
    assert_eq!((b.priority, b.dedicated, b.repeat, b.line), (Some(0), true, Repeat::Times(7), 14));
    assert_eq!(b.phases[0].steps.len(), 11);
    assert!(matches!(b.phases[0].steps[8], Step::Timer { mode: TimerMode::Absolute, .. }));
    assert_eq!(w.objects.events[0].kind, EventKind::Latched);
    assert_eq!(w.objects.barriers[0].parties, 2);
    let names: Vec<_> = w.instances().map(|instance| instance.name()).collect();
    assert_eq!(names, ["control", "b/0", "b/1"]);
    assert_eq!(w.notes, []);
}

#[test]
fn all_problems_are_reported_in_the_order_of_the_file() {
    let text = r#"duration = "10"
cpus = 0
colour = 1
[limits]
realtime = "120%"
[[task]]
name = "a"
intent = "realtime"
perod = "10ms"
wcet = "2ms"
latency = "1ms"
[[task]]
name = "a"
intent = "bach"
instances = 0
loop = []
[[task]]
intent = "realtime"
period = "1ms"
wcet = "2ms"
"#;
    let known = "(allowed are `name`, `intent`, `period`, `deadline`, `wcet`, `interarrival`, `overrun`, `latency`, `priority`, `offset`, \
                 `instances`, `dedicated`, `repeat`, `loop`, `best_effort`, `domain`, `affinity`, `memory`, `numa_node`, \
                 `io_priority`, `net_priority`, `cpu_min`, `cpu_max`, `mem_bandwidth` or `io_bandwidth`)";
    let expected = [
        "1:12: duration: \"10\" has no unit; write for instance \"10ms\" (units: ns, us, ms, s)",
        "2:8: cpus: is 0; it must be a whole number from 1 to 256",
        "3:1: colour: unknown key (allowed are `duration`, `cpus`, `seed`, `limits`, `sim`, `domain` or `task`)",
        "5:12: limits.realtime: \"120%\" is more than one CPU; give 0.1% to 100%",
        "6:1: task \"a\".period: is missing; give a duration such as \"10ms\"",
        &format!("9:1: task \"a\".perod: unknown key; did you mean `period`? {known}"),
        "11:11: task \"a\".latency: belongs to intent \"interactive\", but this task is \"realtime\"; leave it out",
        "13:8: task \"a\".name: is taken by the task in line 6; names must be unique (for copies of one task use \
         `instances`)",
        "14:10: task \"a\".intent: \"bach\" is not an intent; did you mean `batch`? (allowed are `system`, \
         `realtime`, `interactive`, `batch` or `background`)",
        "15:13: task \"a\".instances: is 0; it must be a whole number from 1 to 100000",
        "16:8: task \"a\".loop: is empty; a task needs at least one step, such as { run = \"5ms\" }",
        "17:1: task #3.name: is missing; every task needs a name, such as \"encode\"",
        "20:8: task #3.wcet: is \"2ms\"; it must be at most `period`, the deadline, which is \"1ms\"",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn contradictions_are_told_at_the_key_that_is_wrong() {
    let realtime = |rest: &str| {
        let text = format!("[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\n{rest}\n");
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    assert_eq!(
        realtime("wcet = \"1ms\"\ndeadline = \"12ms\""),
        "6:12: task \"a\".deadline: is \"12ms\"; it must be at most `period`, which is \"10ms\""
    );
    assert_eq!(
        realtime("deadline = \"8ms\"\nwcet = \"9ms\""),
        "6:8: task \"a\".wcet: is \"9ms\"; it must be at most `deadline`, which is \"8ms\""
    );
    assert_eq!(
        realtime("wcet = \"1ms\"\ncpu_max = \"5%\""),
        "6:11: task \"a\".cpu_max: a realtime task reserves CPU time by `wcet` and `period`; leave it out"
    );
}

#[test]
fn waits_are_bounded() {
    let found = problems("[limits]\nbatch_wait = \"3600s\"\nbackground_wait = \"3601s\"\n");
    assert!(
        found.contains(&"3:19: limits.background_wait: is longer than an hour; it must be at most \"3600s\"".into()),
        "{found:?}"
    );
    assert!(!found.iter().any(|problem| problem.contains("batch_wait")), "{found:?}");
}

#[test]
fn each_value_is_checked() {
    for (extra, message) in [
        ("offset = 5", "4:10: task \"a\".offset: is an integer; it must be a string with a unit, such as \"10ms\""),
        ("instances = -1", "4:13: task \"a\".instances: is -1; it must be a whole number from 1 to 100000"),
        (
            "instances = 99999999999999999999",
            "4:13: task \"a\".instances: is 99999999999999999999; it must be a whole number from 1 to 100000",
        ),
        ("repeat = 0", "4:10: task \"a\".repeat: is 0; it must be a whole number from 1 to 9223372036854775807"),
        ("priority = 256", "4:12: task \"a\".priority: is 256; it must be a whole number from 0 to 255"),
        ("dedicated = \"yes\"", "4:13: task \"a\".dedicated: is a string; it must be true or false"),
        ("affinity = []", "4:12: task \"a\".affinity: is empty; list the allowed CPUs, or leave it out to allow all"),
        ("affinity = [0, 256]", "4:16: task \"a\".affinity[1]: is 256; it must be a whole number from 0 to 255"),
        ("affinity = \"0\"", "4:12: task \"a\".affinity: is a string; it must be a list of CPU numbers such as [0, 1]"),
        (
            "memory = \"64M\"",
            "4:10: task \"a\".memory: \"M\" is not a unit of a size; allowed are B, KiB, MiB, GiB, TiB, KB, MB, GB",
        ),
        ("memory = \"0B\"", "4:10: task \"a\".memory: is 0; leave it out for no limit"),
        (
            "io_priority = \"real\"",
            "4:15: task \"a\".io_priority: \"real\" is not an I/O priority (allowed are `realtime`, `best-effort` or \
             `idle`)",
        ),
        ("cpu_min = 5", "4:11: task \"a\".cpu_min: is an integer; it must be a string such as \"20%\""),
        (
            "cpu_min = \"20%\"\ncpu_max = \"10%\"",
            "4:11: task \"a\".cpu_min: is \"20%\"; it must be at most `cpu_max`, which is \"10%\"",
        ),
        ("mem_bandwidth = \"1500KB/s\"", "4:17: task \"a\".mem_bandwidth: must be a whole number of MB/s"),
        (
            "best_effort = [\"memory\"]",
            "4:16: task \"a\".best_effort[0]: names `memory`, which this task does not set; set it or leave it out here",
        ),
        (
            "best_effort = [\"mem\"]",
            "4:16: task \"a\".best_effort[0]: \"mem\" is not a constraint (allowed are `affinity`, `memory`, \
             `numa_node`, `io_priority`, `net_priority`, `cpu_min`, `cpu_max`, `mem_bandwidth` or `io_bandwidth`)",
        ),
        (
            "loop = { run = \"1ms\" }",
            "4:8: task \"a\".loop: is a table; it must be a list of steps such as [ { run = \"5ms\" } ]",
        ),
        ("loop = [ { run = \"0ms\" } ]", "4:18: task \"a\".loop[0].run: is 0; it must be longer than 0"),
        (
            "loop = [ { run = \"1ms\", sleep = \"1ms\" } ]",
            "4:10: task \"a\".loop[0]: has 2 actions, `run` and `sleep`; write one step for each",
        ),
        (
            "loop = [ { rnu = \"1ms\" } ]",
            "4:12: task \"a\".loop[0]: `rnu` is not an action; did you mean `run`? (allowed are `run`, `sleep`, \
             `yield`, `lock`, `unlock`, `signal`, `broadcast`, `wait`, `barrier` or `timer`)",
        ),
        (
            "loop = [ 5 ]",
            "4:10: task \"a\".loop[0]: is an integer; a step is a table with one action, such as { run = \"5ms\" }, or \
             \"yield\"",
        ),
        (
            "loop = [ { run = \"1ms\" }, { unlock = \"m\" } ]",
            "4:27: task \"a\".loop[1]: unlocks `m`, which the task does not hold here; lock it first",
        ),
        (
            "loop = [ { lock = \"m\" }, { run = \"1ms\" } ]",
            "1:1: task \"a\".loop: the pass ends while the task holds `m`; unlock it before the end of the loop",
        ),
        (
            "loop = [ { wait = \"e\" } ]",
            "4:10: task \"a\".loop[0]: waits for `e`, which no task signals, so it would wait for ever; add a step \
             `signal` or `broadcast` to another task",
        ),
        (
            "loop = [ \"yield\" ]",
            "1:1: task \"a\".loop: the loop never takes time or blocks, so it would spin for ever; add a step that \
             runs, sleeps or waits, or give a number of repetitions",
        ),
    ] {
        assert_eq!(task_problem(extra), message);
    }
}

#[test]
fn whole_files_that_are_wrong() {
    let missing = "1:1: task: the file has no task; add at least one [[task]] with name, intent and loop";
    assert_eq!(problems(""), [missing]);
    assert_eq!(problems("duration = \"1s\""), [missing]);
    assert_eq!(
        problems("[task]\nname = \"a\""),
        ["1:1: task: is a table, not a list of tables; write [[task]] with two brackets, once for each task"]
    );
    assert_eq!(
        problems("[[tasks]]\nname = \"a\""),
        [
            missing,
            "1:3: tasks: unknown key; did you mean `task`? (allowed are `duration`, `cpus`, `seed`, `limits`, `sim`, `domain` or `task`)"
        ]
    );
    let syntax = problems("duration = \n[[task]\n");
    assert!(syntax.iter().all(|line| line.contains("not valid TOML")), "{syntax:#?}");
    assert!(syntax[0].starts_with("1:"), "{syntax:#?}");
    let tasks = "[[task]]\nname = \"a\"\nintent = \"batch\"\ninstances = 60000\nloop = [ { run = \"1ms\" } ]\n";
    let two = format!("{tasks}{}", tasks.replace("\"a\"", "\"b\""));
    assert_eq!(problems(&two), ["1:1: task: the file asks for 120000 tasks in all; at most 100000"]);
}

#[test]
fn domains_that_are_wrong() {
    let task = "[[task]]\nname = \"a\"\nintent = \"interactive\"\nlatency = \"2ms\"\nloop = [ { run = \"1ms\" } ]\n";
    let one = |text: &str| {
        let found = problems(&format!("{text}{task}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    let named = |rest: &str| one(&format!("[[domain]]\nname = \"guest\"\n{rest}\n"));
    assert!(one("[[domain]]\n").contains("domain #1.name: is missing; every domain needs a name"));
    assert!(
        named("weight = 0").starts_with("3:10: domain \"guest\".weight: is 0; it must be a whole number from 1 to")
    );
    assert!(named("wieght = 1").contains("unknown key; did you mean `weight`?"));
    assert!(named("rights = [\"spwan\"]").contains("\"spwan\" is not a right; did you mean `spawn`?"));
    assert!(named("ceiling = \"bach\"").contains("\"bach\" is not a class; did you mean `batch`?"));
    assert!(named("ceiling_priority = 3").contains("has no `ceiling` to belong to; give one"));
    assert!(named("cpu_period = \"20ms\"").contains("has no `cpu` to belong to; give one"));
    assert!(named("cpu = \"25%\"\ncpu_period = \"2s\"").contains("must be from \"1ms\" to \"1s\""));
    assert!(named("parent = \"guest\"").contains("there is no domain \"guest\" before this one"));
    let twice = named("[[domain]]\nname = \"guest\"");
    assert!(twice.contains("is taken by the domain in line 1; names must be unique"), "{twice}");
    let inner = named("ceiling = \"batch\"\n[[domain]]\nname = \"inner\"\nparent = \"guest\"\nceiling = \"system\"");
    assert!(inner.contains("is above that of domain \"guest\", \"batch\"; lower it to that"), "{inner}");
}

#[test]
fn tasks_that_their_domain_forbids() {
    let one = |domain: &str, task: &str| {
        let text = format!(
            "[[domain]]\nname = \"guest\"\n{domain}\n[[task]]\nname = \"a\"\n{task}\nloop = [ {{ run = \"1ms\" }} ]\n"
        );
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    let unknown = one("", "domain = \"gest\"\nintent = \"batch\"");
    assert!(unknown.contains("there is no domain \"gest\"; did you mean `guest`?"), "{unknown}");
    let high = one("ceiling = \"batch\"", "domain = \"guest\"\nintent = \"system\"");
    assert!(high.contains("has the ceiling \"batch\", which \"system\" is above; raise the ceiling"), "{high}");
    let reserved = one("cpu = \"50%\"", "domain = \"guest\"\nintent = \"batch\"\ncpu_min = \"10%\"");
    assert!(reserved.contains("leave out the domain's `cpu`, or the task's reservation"), "{reserved}");
    let many = one("tasks = 2", "domain = \"guest\"\nintent = \"batch\"\ninstances = 3");
    assert!(many.contains("is 2, but the file puts 3 tasks and domains into it"), "{many}");
}

#[test]
fn what_is_odd_but_harmless_is_noted() {
    let w = read_ok("[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" },\n { signal = \"e\" } ]");
    let notes: Vec<_> = w.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["w.toml:5: task \"a\".loop[1]: signals `e`, which no task waits for"]);
}

#[test]
fn what_has_no_effect_in_a_domain_is_noted() {
    let task = "[[task]]\nname = \"a\"\nintent = \"batch\"\ndomain = \"d\"\nloop = [ { run = \"1ms\" } ]\n";
    let w = read_ok(&format!("[[domain]]\nname = \"d\"\nrights = [\"spawn\"]\nmemory = \"1MiB\"\n{task}"));
    let notes: Vec<_> = w.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].ends_with("domain \"d\".rights: has no effect: no step of a loop needs a right"), "{notes:?}");
    assert!(
        notes[1].ends_with("domain \"d\".memory: has no effect: no host charges what a workload uses"),
        "{notes:?}"
    );
}

#[test]
fn random_times_are_read() {
    let us = Duration::from_micros;
    let folder = std::env::temp_dir().join(format!("dis-workload-times-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("times.txt"), "# measured\n1ms\n\n  20us # short\n").unwrap();
    let text = r#"
        seed = 7
        [[task]]
        name = "a"
        intent = "batch"
        loop = [
            { run = { uniform = ["1us", "3us"] } }, { sleep = { normal = ["2us", "0us"] } },
            { run = { bursty = ["1us", "9us"], burst = 8 } }, { sleep = { trace = "times.txt" } },
        ]
    "#;
    let workload = Workload::from_toml(text, &folder.join("w.toml").display().to_string());
    std::fs::remove_dir_all(&folder).unwrap();
    let workload = workload.unwrap();
    let id = DistributionId;
    assert_eq!(workload.seed, 7);
    assert_eq!(
        workload.tasks[0].phases[0].steps,
        [Step::RunDrawn(id(0)), Step::SleepDrawn(id(1)), Step::RunDrawn(id(2)), Step::SleepDrawn(id(3))]
    );
    assert_eq!(
        workload.objects.distributions,
        [
            Distribution::Uniform { low: us(1), high: us(3) },
            Distribution::Normal { mean: us(2), deviation: us(0) },
            Distribution::Bursty { short: us(1), long: us(9), burst: 8 },
            Distribution::Recorded { file: "times.txt".into(), times: vec![us(1_000), us(20)] },
        ]
    );
}

#[test]
fn random_times_that_make_no_sense_are_refused() {
    let run = |time: &str| task_problem(&format!("loop = [ {{ run = {time} }} ]"));
    for (time, message) in [
        ("{ uniform = [\"3ms\", \"1ms\"] }", "loop[0].run.uniform: the first is the shortest time"),
        ("{ uniform = [\"0s\", \"0s\"] }", "the second the longest, which is above 0"),
        ("{ uniform = [\"1ms\"] }", "must be [\"1ms\", \"3ms\"], the shortest and the longest"),
        ("{ uniform = [\"1ms\", 3] }", "must be [\"1ms\", \"3ms\"]"),
        ("{ uniform = [\"1ms\", \"-3ms\"] }", "\"-3ms\" is negative"),
        ("{ uniform = \"1ms\" }", "is a string; it must be [\"1ms\", \"3ms\"]"),
        ("{ normal = [\"0s\", \"1ms\"] }", "the mean is 0"),
        ("{ bursty = [\"1ms\", \"9ms\"] }", "loop[0].run.burst: is missing; give the mean length"),
        ("{ bursty = [\"1ms\", \"9ms\"], burst = 0 }", "it must be a whole number from 1 to 1000000"),
        ("{ bursty = [\"1ms\", \"0s\"], burst = 3 }", "the time between bursts is 0"),
        ("{ uniform = [\"1ms\", \"3ms\"], burst = 3 }", "unknown key"),
        ("{ trace = \"no/such/times\" }", "no/such/times: cannot be read"),
        ("{ trace = \".\" }", "is not an ordinary file"),
        ("{ poisson = \"1ms\" }", "has to say how the time is drawn, by one of `uniform`"),
        ("{ uniform = [\"1ms\", \"3ms\"], normal = [\"1ms\", \"3ms\"] }", "has to say how the time is drawn"),
    ] {
        let found = run(time);
        assert!(found.starts_with("4:") && found.contains(message), "{time}: {found}");
    }
}

#[test]
fn costs_of_a_simulated_machine_are_read() {
    let task = "[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";
    let w = read_ok(&format!("[sim]\nswitch_cost = \"2us\"\ntimer_resolution = \"0s\"\n{task}"));
    let costs = (w.machine.switch_cost, w.machine.migration_cost, w.machine.timer_resolution);
    assert_eq!(costs, (Some(Duration::from_micros(2)), None, Some(Duration::ZERO)));
    let found = problems(&format!("[sim]\nswitch_cost = \"-2us\"\n{task}"));
    assert!(found[0].starts_with("2:") && found[0].contains("sim.switch_cost: \"-2us\" is negative"), "{found:?}");
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// A Realtime task with period 10 ms and wcet 2 ms, and the notes of its file.
fn sporadic(rest: &str) -> (Workload, Vec<String>) {
    let text = "[[task]]\nname = \"a\"\nintent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"2ms\"\n";
    let workload = read_ok(&format!("{text}{rest}"));
    let notes = workload.notes.iter().map(ToString::to_string).collect();
    (workload, notes)
}

#[test]
fn arrivals_are_read_and_those_that_come_too_soon_are_noted() {
    let (separation, interarrival) = (Duration::from_millis(10), DistributionId(0));
    let (w, notes) = sporadic("interarrival = { uniform = [\"10ms\", \"30ms\"] }");
    assert_eq!(w.tasks[0].release, Release::Sporadic { separation, interarrival });
    assert!(w.tasks[0].is_released_by_intent() && notes.is_empty(), "{notes:?}");
    let (w, notes) = sporadic("interarrival = \"15ms\"");
    assert_eq!(w.objects.distributions, [Distribution::Uniform { low: us(15_000), high: us(15_000) }]);
    assert!(notes.is_empty());
    let (_, notes) = sporadic("interarrival = { normal = [\"20ms\", \"2ms\"] }");
    assert!(
        notes[0].contains(":6: task \"a\".interarrival: may be shorter than the period, 10ms: what arrives sooner"),
        "{notes:?}"
    );
    let (_, notes) = sporadic("interarrival = \"9ms\"");
    assert!(notes[0].contains("is never longer than the period, 10ms: jobs are released periodically"), "{notes:?}");
}

#[test]
fn drawn_run_times_of_realtime_jobs_are_cut_to_the_wcet() {
    let (w, notes) = sporadic("loop = [ { run = \"500us\" }, { run = { uniform = [\"0s\", \"1500us\"] } } ]");
    assert_eq!((w.tasks[0].most_drawn(), notes.len()), (Some(us(1_500)), 0));
    let (w, notes) = sporadic("loop = [ { run = \"500us\" }, { run = { uniform = [\"0s\", \"3ms\"] } } ]");
    assert_eq!(w.tasks[0].most_drawn(), Some(us(1_500)));
    assert!(
        notes[0].contains("task \"a\".loop: the run times drawn for a job are cut to 1500us together"),
        "{notes:?}"
    );
    let (w, notes) = sporadic("overrun = true\nloop = [ { run = { uniform = [\"0s\", \"3ms\"] } } ]");
    assert_eq!((w.tasks[0].most_drawn(), notes.len()), (None, 0));
    let (_, notes) = sporadic("overrun = true");
    assert!(notes[0].contains("task \"a\".overrun: has no effect"), "{notes:?}");
    for key in ["interarrival = \"9ms\"", "overrun = true"] {
        let found = task_problem(&format!("{key}\nloop = [ {{ run = \"1ms\" }} ]"));
        assert!(found.contains("belongs to intent \"realtime\""), "{found}");
    }
}
