use super::*;
use crate::model::{EventKind, Release, Scope, Step, TimerMode};
use dis_core::api::{CpuMask, Duration};
use dis_core::intent::{Intent, IntentClass};

fn read_ok(text: &str) -> Workload {
    Workload::from_rt_app(text, "w.json").unwrap_or_else(|error| panic!("{error}"))
}

/// A workload of one task `t` with these members.
fn one(members: &str) -> Workload {
    read_ok(&format!("{{ \"tasks\" : {{ \"t\" : {{\n{members}\n}} }}, \"global\" : {{ \"duration\" : 1 }} }}"))
}

fn error(text: &str) -> String {
    Workload::from_rt_app(text, "w.json").expect_err("the file should be refused").to_string()
}

/// The error of a task whose members begin in line 2.
fn task_error(members: &str) -> String {
    error(&format!("{{ \"tasks\" : {{ \"t\" : {{\n{members}\n}} }} }}")).replace("w.json:", "")
}

fn notes(workload: &Workload) -> Vec<String> {
    workload.notes.iter().map(|note| note.to_string().replace("w.json:", "")).collect()
}

fn run(us: u64) -> Step {
    Step::Run(Duration::from_micros(us))
}

fn sleep(us: u64) -> Step {
    Step::Sleep(Duration::from_micros(us))
}

fn steps(workload: &Workload) -> Vec<Step> {
    workload.tasks[0].steps().copied().collect()
}

#[test]
fn repeated_and_numbered_keys_keep_their_order() {
    let w = one("\"run\" : 1, \"sleep\" : 20, \"run\" : 3, \"run0\" : 4, \"sleep1\" : 50, \"runtime12\" : 6,");
    assert_eq!(steps(&w), [run(1), sleep(20), run(3), run(4), sleep(50), run(6)]);
    assert_eq!(notes(&w), Vec::<String>::new());
    let w = one("\"run_more\" : 1, \"sleep\" : 20");
    assert_eq!(notes(&w), ["2: tasks.t.run_more: read as `run`, as rt-app does with every key that begins so"]);
}

#[test]
fn loops_of_tasks_and_phases() {
    let w = one("\"run\" : 5");
    assert_eq!((w.tasks[0].repeat, w.tasks[0].phases[0].repeat), (Repeat::Forever, 1));
    assert_eq!(one("\"loop\" : -1, \"run\" : 5").tasks[0].repeat, Repeat::Forever);
    assert_eq!(one("\"loop\" : 7, \"run\" : 5").tasks[0].repeat, Repeat::Times(7));
    let w =
        one("\"phases\" : { \"a\" : { \"run\" : 1 }, \"b\" : { \"loop\" : 3, \"run\" : 2 }, \"a\" : { \"run\" : 4 } }");
    let phases: Vec<_> = w.tasks[0].phases.iter().map(|p| (p.name.as_deref().unwrap(), p.repeat)).collect();
    assert_eq!(phases, [("a", 1), ("b", 3), ("a", 1)]);
    let w = one("\"phases\" : { \"a\" : {\"loop\" : -1, \"run\" : 1 },\n\"b\" : { \"run\" : 2 } }");
    assert_eq!(w.tasks[0].phases[0].repeat, u64::MAX);
    assert_eq!(notes(&w), ["2: tasks.t.phases.a.loop: loops for ever, so the phases after it are never reached"]);
}

#[test]
fn suspend_and_resume_forget_and_wake_all() {
    let w = one(
        "\"suspend\", \"run\" : 1, \"suspend\" : \"\", \"resume\" : \"t\", \"suspend\" : \"u\", \"resume\" : \"u\"",
    );
    let wait = |event| Step::Wait { event, mutex: None };
    let (t, u) = (crate::model::EventId(0), crate::model::EventId(1));
    assert_eq!(steps(&w), [wait(t), run(1), wait(t), Step::Broadcast(t), wait(u), Step::Broadcast(u)]);
    assert!(w.objects.events.iter().all(|event| event.kind == EventKind::Pulse));
    let names: Vec<_> = w.objects.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["t", "u"]);
}

#[test]
fn sync_signals_and_waits_with_its_mutex() {
    let object = "{ \"ref\" : \"q\", \"mutex\" : \"m\" }";
    let (q, m) = (crate::model::EventId(0), crate::model::MutexId(0));
    let (signal, wait) = (Step::Signal(q), Step::Wait { event: q, mutex: Some(m) });
    let w = one(&format!("\"lock\" : \"m\", \"sync\" : {object}, \"unlock\" : \"m\""));
    assert_eq!(steps(&w), [Step::Lock(m), signal, wait, Step::Unlock(m)]);
    assert_eq!(steps(&one(&format!("\"sync\" : {object}"))), [Step::Lock(m), signal, wait, Step::Unlock(m)]);
    let w = one(&format!(
        "\"lock\" : \"m\", \"wait\" : {object}, \"unlock\" : \"m\", \"signal\" : \"q\", \"broad\" : \"q\""
    ));
    assert_eq!(steps(&w), [Step::Lock(m), wait, Step::Unlock(m), signal, Step::Broadcast(q)]);
}

#[test]
fn timers() {
    let w = read_ok(
        r#"{ "tasks" : {
            "a" : { "run" : 1, "timer" : { "ref" : "unique", "period" : 10 } },
            "b" : { "run" : 1, "timer" : { "ref" : "unique", "period" : 10, "mode" : "absolute" },
                    "timer" : { "ref" : "tick", "period" : 5, "mode" : "relative" } },
            "c" : { "run" : 1, "timer0" : { "ref" : "tick", "period" : 5 } } },
            "global" : { "duration" : 1 } }"#,
    );
    let timers: Vec<_> = w.objects.timers.iter().map(|timer| (timer.name.as_str(), timer.scope)).collect();
    assert_eq!(timers, [("a/unique", Scope::Instance), ("b/unique", Scope::Instance), ("tick", Scope::Workload)]);
    assert!(matches!(w.tasks[1].phases[0].steps[1], Step::Timer { mode: TimerMode::Absolute, .. }));
    let w = one("\"run\" : 1, \"sleep\" : 0, \"timer\" : { \"ref\" : \"x\", \"period\" : 0 }, \"sleep\" : 9");
    assert_eq!(steps(&w), [run(1), sleep(9)]);
    assert_eq!(
        notes(&w),
        [
            "2: tasks.t.sleep: ignored: a `sleep` of 0 does nothing",
            "2: tasks.t.timer.period: ignored: a `timer` of 0 does nothing",
        ]
    );
}

#[test]
fn barriers_count_instances() {
    let w = read_ok(
        r#"{ "tasks" : { "a" : { "instance" : 3, "run" : 1, "barrier" : "x", "barrier" : "y" },
                         "b" : { "run" : 1, "barrier" : "x" } }, "global" : { "duration" : 1 } }"#,
    );
    assert_eq!(w.objects.barriers.iter().map(|barrier| barrier.parties).collect::<Vec<_>>(), [4, 3]);
    assert_eq!(w.instances().map(|instance| instance.name()).collect::<Vec<_>>(), ["a/0", "a/1", "a/2", "b"]);
}

#[test]
fn policies_become_classes() {
    let class = |members: &str| {
        let w = one(&format!("{members}, \"run\" : 100, \"sleep\" : 900"));
        (w.tasks[0].intent.class, w.tasks[0].priority, notes(&w).len())
    };
    let interactive = IntentClass::Interactive { target_latency_us: 500 };
    assert_eq!(class("\"policy\" : \"SCHED_OTHER\""), (interactive, None, 0));
    assert_eq!(class("\"priority\" : -19"), (interactive, Some(31), 0));
    assert_eq!(class("\"policy\" : \"SCHED_BATCH\", \"priority\" : 5"), (IntentClass::Batch, Some(105), 0));
    assert_eq!(class("\"policy\" : \"SCHED_IDLE\""), (IntentClass::Background, None, 0));
    assert_eq!(class("\"policy\" : \"SCHED_FIFO\""), (IntentClass::System, Some(89), 0));
    assert_eq!(class("\"priority\" : 99, \"policy\" : \"SCHED_RR\""), (IntentClass::System, Some(0), 0));
    assert_eq!(class("\"dl-runtime\" : 5"), (interactive, None, 1));
    let w = read_ok(
        r#"{ "tasks" : { "a" : { "run" : 1, "sleep" : 9 } },
             "global" : { "default_policy" : "SCHED_FIFO", "duration" : 1 } }"#,
    );
    assert_eq!(w.tasks[0].intent.class, IntentClass::System);
}

#[test]
fn deadline_tasks_become_realtime() {
    let dl = "\"policy\" : \"SCHED_DEADLINE\", \"dl-runtime\" : 2000, \"dl-period\" : 10000";
    let period = Release::Periodic(Duration::from_millis(10));
    let w = one(&format!("{dl}, \"dl-deadline\" : 8000, \"run\" : 1500, \"yield\" : \"\""));
    assert_eq!(w.tasks[0].intent, Intent::realtime(10_000, 8_000, 2_000));
    assert_eq!((w.tasks[0].release, steps(&w)), (period, vec![run(1_500)]));
    assert_eq!(notes(&w), ["2: tasks.t: replaced by the periodic release of the Realtime task: one pass is one job"]);
    let w = one(&format!("{dl}, \"run\" : 1500, \"timer\" : {{ \"ref\" : \"unique\", \"period\" : 10000 }}"));
    assert_eq!((w.tasks[0].intent.clone(), w.tasks[0].release), (Intent::realtime(10_000, 10_000, 2_000), period));
    for paced_by_itself in
        ["\"timer\" : { \"ref\" : \"unique\", \"period\" : 20000 }", "\"sleep\" : 100", "\"sleep\" : 5, \"yield\""]
    {
        let w = one(&format!("{dl}, \"run\" : 1500, {paced_by_itself}"));
        assert_eq!((w.tasks[0].release, w.notes.len()), (Release::Free, 0), "{paced_by_itself}");
    }
    assert_eq!(
        task_error("\"policy\" : \"SCHED_DEADLINE\", \"run\" : 1"),
        "1:15: tasks.t.dl-runtime: must be given, above 0, with SCHED_DEADLINE"
    );
    assert_eq!(
        task_error(&format!("{dl},\n\"dl-deadline\" : 12000, \"run\" : 1")),
        "3:17: tasks.t.dl-deadline: must be at most `dl-period` (default: `dl-runtime`)"
    );
    assert_eq!(
        task_error(&format!("{dl},\n\"dl-deadline\" : 1000, \"run\" : 1")),
        "2:45: tasks.t.dl-runtime: must be at most `dl-deadline` (default: `dl-period`)"
    );
}

#[test]
fn where_a_task_runs_and_when_it_begins() {
    let w = one(
        "\"cpus\" : [2, 3], \"delay\" : 5, \"phases\" : { \"p\" : { \"cpus\" : [0], \"run\" : 1 }, \"q\" : { \"run\" : 1 } }",
    );
    assert_eq!(w.tasks[0].intent.constraints.cpu_affinity, Some([2, 3].into_iter().collect::<CpuMask>()));
    let masks: Vec<_> = w.tasks[0].phases.iter().map(|phase| phase.affinity).collect();
    assert_eq!(masks, [Some(CpuMask::single(0)), None]);
    assert_eq!(w.tasks[0].offset, Duration::from_micros(5));
}

#[test]
fn what_is_ignored_is_noted() {
    let w = read_ok(
        r#"{ "resources" : { "m" : { "type" : "mutex" } },
  "tasks" : { "t" : {
    "util_min" : 5, "prority" : 1,
    "mem" : 1000, "iorun" : 5,
    "run" : 1, "sleep" : 9 },
  "t" : { "phases" : { "p" : { "policy" : "SCHED_FIFO", "run" : 1, "suspend" } }, "run" : 1 } },
  "global" : { "lock_pages" : true, "durations" : 5 }, "extra" : 1 }"#,
    );
    assert_eq!(
        notes(&w),
        [
            "1: resources: ignored: resources are made as the events name them",
            "3: tasks.t.util_min: ignored: DIS has no utilisation clamps; intents say what a task needs",
            "3: tasks.t.prority: ignored: not a key of a task; did you mean `priority`?",
            "4: tasks.t.mem: ignored: DIS has no memory step; the task goes on with the next event",
            "4: tasks.t.iorun: ignored: DIS has no I/O step; the task goes on with the next event",
            "6: tasks.t: called `t#2`, as names must be unique and without `/`",
            "6: tasks.t.phases.p.policy: ignored: DIS keeps one intent for the whole task",
            "6: tasks.t#2: waits for `t`, which no task signals, so it would wait for ever; add `signal`, `broad`, \
             `sync` or `resume` to another task",
            "6: tasks.t.run: ignored: events beside `phases` have no effect in rt-app either",
            "7: global.duration: no end: the file sets no duration and has tasks that loop for ever, so the run goes \
             on until it is interrupted or given a duration",
            "7: global.lock_pages: ignored: DIS does not lock pages in memory",
            "7: global.durations: ignored: not a key of rt-app's format; did you mean `duration`?",
            "7: extra: ignored: not a section of rt-app's format",
        ]
    );
}

#[test]
fn wrong_files_are_answered_exactly() {
    for (members, message) in [
        ("\"run\" : -1", "2:9: tasks.t.run: is -1; a time cannot be negative (the unit is microseconds)"),
        ("\"run\" : \"1ms\"", "2:9: tasks.t.run: is a string; it must be a whole number of microseconds"),
        ("\"run\" : 1.5", "2:9: tasks.t.run: is 1.5; it must be a whole number of microseconds up to 9223372036854775"),
        (
            "\"run\" : 9223372036854775807",
            "2:9: tasks.t.run: is 9223372036854775807; at most 9223372036854775 microseconds",
        ),
        ("\"run\"", "2:1: tasks.t.run: `run` has no value; only `suspend` and `yield` may go without one"),
        ("\"loop\" : 5", "1:15: tasks.t: has no event; a task needs at least one, such as \"run\" : 1000"),
        (
            "\"loop\" : 0, \"run\" : 1",
            "2:10: tasks.t.loop: is 0, so nothing would run; it must be -1 (for ever) or at least 1",
        ),
        ("\"mem\" : 1", "1:15: tasks.t: has no event that does anything; add a `run`, `sleep` or `timer`"),
        ("\"instance\" : 0, \"run\" : 1", "2:14: tasks.t.instance: is 0; it must be a whole number from 1 to 100000"),
        ("\"priority\" : 20, \"run\" : 1", "2:14: tasks.t.priority: is 20; it must be a whole number from -20 to 19"),
        (
            "\"policy\" : \"SCHED_FIFA\", \"run\" : 1",
            "2:12: tasks.t.policy: \"SCHED_FIFA\" is not a policy; did you mean `SCHED_FIFO`? (allowed are \
             `SCHED_OTHER`, `SCHED_NORMAL`, `SCHED_BATCH`, `SCHED_IDLE`, `SCHED_FIFO`, `SCHED_RR` or \
             `SCHED_DEADLINE`)",
        ),
        ("\"cpus\" : [0, 256], \"run\" : 1", "2:14: tasks.t.cpus: is 256; it must be a whole number from 0 to 255"),
        (
            "\"cpus\" : [], \"run\" : 1",
            "2:10: tasks.t.cpus: is empty; list the allowed CPUs, or leave it out to allow all",
        ),
        ("\"timer\" : { \"ref\" : \"x\" }", "2:11: tasks.t.timer: has no \"period\""),
        (
            "\"timer\" : { \"ref\" : \"x\", \"period\" : 5, \"mode\" : \"abs\" }",
            "2:49: tasks.t.timer.mode: \"abs\" is not a mode; it must be `relative` or `absolute`",
        ),
        ("\"lock\" : \"\"", "2:10: tasks.t.lock: is an empty name"),
        (
            "\"wait\" : \"x\"",
            "2:10: tasks.t.wait: is a string; it must be an object such as { \"ref\" : \"queue\", \"mutex\" : \"mutex\" }",
        ),
        (
            "\"fork\" : \"x\", \"run\" : 1",
            "2:1: tasks.t.fork: DIS starts all tasks at the beginning; use `delay` in the other task",
        ),
        ("\"phases\" : {}", "2:12: tasks.t.phases: is empty; a task needs at least one phase"),
        (
            "\"phases\" : { \"p\" : { \"loop\" : 2 } }",
            "2:14: tasks.t.phases.p: has no event; a phase needs at least one, such as \"run\" : 1000",
        ),
        (
            "\"lock\" : \"m\", \"run\" : 1",
            "1:15: tasks.t: the pass ends while the task holds `m`; unlock it before the end of the loop",
        ),
        (
            "\"run\" : 1, \"unlock\" : \"m\"",
            "2:12: tasks.t: unlocks `m`, which the task does not hold here; lock it first",
        ),
        (
            "\"exec\" : 5, \"lock_order\" : []",
            "1:15: tasks.t: has no event; a task needs at least one; `exec`, `lock_order` and `resources` are the \
             grammar of rt-app before 1.0, which is not read",
        ),
    ] {
        assert_eq!(task_error(members), message);
    }
    assert_eq!(error("[]"), "w.json:1:1: the file is an array; rt-app's format is an object with \"tasks\"");
    assert_eq!(error("{ \"tasks\" : {} }"), "w.json:1:13: tasks: is empty; a workload needs at least one task");
    assert_eq!(error("{ \"tasks\" : { \"t\" : 5 } }"), "w.json:1:21: tasks.t: is a number; a task is an object");
    assert!(error("{ \"global\" : {} }").contains("tasks: is missing, so this is no workload of its own"));
    assert!(error("\u{feff}{\n x").starts_with("w.json:2:2: not valid JSON: "));
}
