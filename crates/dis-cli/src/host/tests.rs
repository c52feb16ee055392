//! The interpreter on threads, the simplest host.

use std::sync::Arc;

use dis_workload::Workload;
use dis_workload::interp::{Round, execute};
use dis_workload::report::Record;

use crate::host::threads::Threads;
use crate::sys;
use crate::work::Calibration;
use std::thread;
use std::time::Duration;

const MS: u64 = 1_000_000;

/// Runs a workload as threads for `length` ms (or until all tasks have ended) and answers the tasks' records.
fn run(text: &str, length: u64) -> Vec<Record> {
    run_workload(Workload::from_toml(text, "test.toml").unwrap(), length)
}

fn run_workload(workload: Workload, length: u64) -> Vec<Record> {
    let workload = Arc::new(workload);
    let start = sys::monotonic() + 5 * MS;
    let round = Round::<Threads>::new(&workload, Calibration::measure().speed, start, length * MS);
    let host = Threads { cpus: sys::allowed_cpus().into(), pinned: true };
    thread::scope(|scope| {
        for (me, instance) in workload.instances().enumerate() {
            let (host, round) = (&host, &round);
            scope.spawn(move || {
                host.begin();
                execute(host, round, instance.spec, me);
            });
        }
        while sys::monotonic() < round.run.end() && !round.is_done() {
            thread::sleep(Duration::from_millis(1));
        }
        round.stop();
    });
    assert!(round.is_done());
    round.records(sys::monotonic())
}

fn task(name: &str, rest: &str) -> String {
    format!("[[task]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn a_sleeper_is_measured() {
    let text = task(
        "t",
        "intent = \"interactive\"\nlatency = \"2ms\"\nrepeat = 10\nloop = [ { sleep = \"5ms\" }, { run = \"1ms\" } ]",
    );
    let records = run(&text, 5_000);
    let record = &records[0];
    assert_eq!(record.jobs, 10);
    let (wake, response) = (record.wake.summary().unwrap(), record.response.summary().unwrap());
    // About a millisecond of work; how long it takes varies with the machine's speed since it was calibrated.
    assert!(response.min >= 500_000 && response.min > wake.min, "{response:?}");
    assert_eq!(record.burnt_ns, 10 * MS);
    assert!(record.counters.cpu_ns > 0 && record.counters.voluntary >= record.jobs);
}

#[test]
fn events_wake_and_latched_ones_remember() {
    let text = task("source", "intent = \"batch\"\nrepeat = 300\nloop = [ { signal = \"e\" }, { sleep = \"2ms\" } ]")
        + &task("sink", "intent = \"batch\"\nrepeat = 10\nloop = [ { wait = \"e\" }, { run = \"100us\" } ]");
    let records = run(&text, 10_000);
    // An event remembers one signal, so a sink that is slow needs more of them than it has jobs.
    assert_eq!(records[1].jobs, 10);
    // Each wake-up of the sink is a response; whether it had to block depends on who was first.
    assert!(records[1].response.summary().is_some());
}

#[test]
fn a_broadcast_wakes_all_and_waiting_releases_the_mutex() {
    let body = "intent = \"batch\"\nrepeat = 1\ninstances = 3\nloop = [ { lock = \"m\" }, { wait = \"e\", mutex = \"m\" }, \
                { run = \"1ms\" }, { unlock = \"m\" } ]";
    let text = task("w", body)
        + &task(
            "b",
            "intent = \"batch\"\nrepeat = 30\nloop = [ { sleep = \"30ms\" }, { lock = \"m\" }, { broadcast = \"e\" }, \
             { unlock = \"m\" } ]",
        );
    // Again and again, as a waiter that was not there yet at one broadcast waits for the next.
    let records = run(&text, 10_000);
    assert!(records[..3].iter().all(|record| record.jobs == 1), "{records:?}");
}

#[test]
fn a_barrier_lets_all_go_together() {
    let text =
        task("p", "intent = \"batch\"\ninstances = 3\nrepeat = 20\nloop = [ { barrier = \"b\" }, { run = \"50us\" } ]");
    assert_eq!(run(&text, 3_000).iter().map(|record| record.jobs).collect::<Vec<_>>(), [20; 3]);
}

#[test]
fn jobs_are_released_on_the_grid_and_late_ones_are_misses() {
    let good = "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"1ms\"\noffset = \"3ms\"\nrepeat = 10";
    let records = run(&task("good", good), 1_000);
    assert_eq!(records[0].jobs, 10);
    let bad = "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"2ms\"\nrepeat = 4\nloop = [ { run = \"25ms\" } ]";
    let records = run(&task("bad", bad), 5_000);
    let record = &records[0];
    assert_eq!(record.jobs, 4);
    // Every job is late, and the releases that a late job runs over are misses too.
    assert!(record.misses >= record.jobs, "{} of {}", record.misses, record.jobs);
    assert_eq!(record.counters.overruns, record.jobs);
}

#[test]
fn jobs_that_never_end_miss_every_deadline() {
    let realtime = "intent = \"realtime\"\nperiod = \"10ms\"\ndeadline = \"5ms\"\nwcet = \"2ms\"\n";
    let text = task("hog", &format!("{realtime}loop = [ {{ run = \"10s\" }} ]"))
        + &task("waits", &format!("{realtime}offset = \"100ms\"\nloop = [ {{ wait = \"never\" }} ]"))
        + &task("one", &format!("{realtime}repeat = 1\nloop = [ {{ wait = \"never\" }} ]"))
        + &task("rare", "intent = \"batch\"\nloop = [ { sleep = \"3600s\" }, { signal = \"never\" } ]");
    let records = run(&text, 300);
    // One every 10 ms, due 5 ms later; of `one` there is one only.
    assert_eq!(
        records.iter().map(|record| (record.jobs, record.misses)).collect::<Vec<_>>(),
        [(0, 30), (0, 20), (0, 1), (0, 0)]
    );
}

#[test]
fn a_task_that_paces_itself_misses_when_it_does_not_answer() {
    let mut workload = Workload::from_toml(
        &(task("t", "intent = \"realtime\"\nperiod = \"10ms\"\nwcet = \"2ms\"\nloop = [ { sleep = \"5ms\" }, { run = \"10s\" } ]")),
        "test.toml",
    )
    .unwrap();
    workload.tasks[0].release = dis_workload::model::Release::Free;
    let record = &run_workload(workload, 200)[0];
    assert_eq!((record.jobs, record.misses), (0, 1));
}

#[test]
fn the_end_finds_everyone() {
    let text = task("waits", "intent = \"batch\"\nloop = [ { wait = \"never\" } ]")
        + &task(
            "rare",
            "intent = \"batch\"\nloop = [ { sleep = \"1h\" }, { signal = \"never\" } ]".replace("1h", "3600s").as_str(),
        )
        + &task("long", "intent = \"batch\"\nloop = [ { run = \"100s\" } ]")
        + &task(
            "locks",
            "intent = \"batch\"\ninstances = 2\nloop = [ { lock = \"m\" }, { run = \"100s\" }, { unlock = \"m\" } ]",
        );
    let begin = std::time::Instant::now();
    let records = run(&text, 50);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(records.iter().all(|record| record.jobs == 0));
    assert!(records[2].burnt_ns > 0);
}
