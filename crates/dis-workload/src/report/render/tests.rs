use super::*;
use crate::report::{Noise, QueueReport, SchedulerReport};

fn summary(p50: u64, p99: u64, max: u64) -> Option<Summary> {
    Some(Summary { min: p50 / 2, p50, p99, p999: p99 + (max - p99) / 2, max, mean: p50 })
}

fn task(name: &str, class: &str, wake: Option<Summary>, response: Option<Summary>, share: f64) -> TaskReport {
    TaskReport {
        name: name.into(),
        class: class.into(),
        jobs: 1_000,
        wake_latency_ns: wake,
        response_ns: response,
        cpu_ns: (share * 10e9) as u64,
        share,
        voluntary: 1_000,
        preemptions: 3,
        ..TaskReport::default()
    }
}

fn sample() -> Report {
    let mut report = Report::new("linux", 2, 10_000_000_000);
    report.tasks = vec![
        task("control", "realtime", summary(4_100, 18_300, 92_000), summary(1_810_000, 1_990_000, 2_400_000), 0.18),
        task("ui", "interactive", summary(5_020, 21_900, 130_000), summary(812_000, 900_000, 1_200_000), 0.047),
        TaskReport { jobs: 31, preemptions: 4_321, ..task("encode/0", "batch", None, None, 0.88) },
    ];
    report.tasks[0].overruns = 2;
    let queue = QueueReport { length: 1, max_length: 4, enqueued: 5_000, dequeued: 4_999, avg_wait_time: 41_500 };
    let mut scheduler = SchedulerReport {
        tasks_created: 3,
        context_switches: 12_345,
        voluntary_switches: 8_000,
        involuntary_switches: 4_345,
        total_cpu_time: 11_070_000_000,
        ..SchedulerReport::default()
    };
    scheduler.queue_stats.realtime = queue.clone();
    scheduler.queue_stats.batch = queue;
    report.scheduler = Some(scheduler);
    report.noise = Noise { steal_ns: 12_000_000, load1: 2.31, foreign_ns: 0 };
    report
}

const PLAIN: &str = "\
Tasks (linux, 2 CPUs, 10.0 s)
  task      class         jobs  missed  wake p50  wake p99  wake p99.9  wake max  resp p50  resp p99  resp max     CPU   share  yielded  preempted  moved  overruns
  control   realtime     1 000       0   4.10 µs   18.3 µs     55.1 µs   92.0 µs   1.81 ms   1.99 ms   2.40 ms  1.80 s  18.0 %    1 000          3      0         2
  ui        interactive  1 000       -   5.02 µs   21.9 µs     76.0 µs    130 µs    812 µs    900 µs   1.20 ms  470 ms   4.7 %    1 000          3      0         -
  encode/0  batch           31       -         -         -           -         -         -         -         -  8.80 s  88.0 %    1 000      4 321      0         -

Scheduler
  tasks: 3 created, 0 exited, 0 killed
  switches: 12 345 (8 000 voluntary, 4 345 preemptions)
  CPU time given to tasks: 11.1 s
  queue        in    out  now  longest  average wait
  realtime  5 000  4 999    1        4       41.5 µs
  batch     5 000  4 999    1        4       41.5 µs

Noise
  linux: other processes 0.0 % of the CPUs, steal 12.0 ms (0.1 %), load average 2.31
";

#[test]
fn a_wide_terminal_shows_everything() {
    let text = render(&sample(), false, 200);
    assert_eq!(text, PLAIN, "\n{text}");
}

#[test]
fn wrong_answers_of_policies_are_told() {
    let told = |faults| {
        let mut report = sample();
        report.scheduler.as_mut().unwrap().policy_faults = faults;
        let text = render(&report, false, 200);
        text.lines().find(|line| line.contains("built-in")).map(str::to_string)
    };
    assert_eq!(told(0), None);
    assert_eq!(told(1).unwrap(), "  1 policy gave a wrong answer; the built-in one has taken its place");
    assert_eq!(told(2).unwrap(), "  2 policies gave wrong answers; the built-in ones have taken their places");
}

const COMPARED: &str = "\
Tasks (linux, 2 CPUs, 10.0 s)
  task      class         jobs  missed  wake p50  wake p99  wake max   share
  control   realtime     1 000       0   4.10 µs   18.3 µs   92.0 µs  18.0 %
  ui        interactive  1 000       -   5.02 µs   21.9 µs    130 µs   4.7 %
  encode/0  batch           31       -         -         -         -  88.0 %
  WARNING: do not trust misses and tails (p99 and above): a hypervisor took 1.5 %
  of the CPU time; other processes used 10 % of these CPUs' time

Comparison: wake-up latency, 99th percentile (ratio: the other scheduler's to DIS's)
  task     class            DIS  missed  linux-eevdf  ratio  missed
  control  realtime     18.3 µs       0      4.20 ms   230x      17
  ui       interactive  21.9 µs       -      20.0 µs  0.91x       -

Comparison: response time, 99th percentile (ratio: the other scheduler's to DIS's)
  task     class            DIS  linux-eevdf   ratio
  control  realtime     1.99 ms            -       -
  ui       interactive   900 µs      9.00 µs  0.010x

Noise
  linux: other processes 10.0 % of the CPUs, steal 300 ms (1.5 %), load average 9.90
  linux-eevdf: other processes 0.0 % of the CPUs, steal 400 ms (2.0 %), load average 0.00
  WARNING, linux-eevdf: do not trust misses and tails (p99 and above): a
  hypervisor took 2.0 % of the CPU time
";

#[test]
fn a_comparison_and_a_busy_machine() {
    let mut report = sample();
    report.scheduler = None;
    report.noise = Noise { steal_ns: 300_000_000, load1: 9.9, foreign_ns: 2_000_000_000 };
    let mut baseline = Report::new("linux-eevdf", 2, 10_000_000_000);
    baseline.tasks = vec![
        TaskReport {
            deadline_misses: 17,
            ..task("control", "realtime", summary(3_000_000, 4_200_000, 8_000_000), None, 0.1)
        },
        task("ui", "interactive", summary(10_000, 20_000, 30_000), summary(5_000, 9_000, 9_500), 0.1),
    ];
    baseline.noise.steal_ns = 400_000_000;
    report.baselines.push(baseline);
    let text = render(&report, false, 80);
    assert_eq!(text, COMPARED, "\n{text}");
}

#[test]
fn colours_change_no_column() {
    let coloured = render(&sample(), true, 120);
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    assert_eq!(plain, render(&sample(), false, 120));
    assert_ne!(plain, coloured);
}

#[test]
fn many_tasks_and_no_task_are_fine() {
    let mut report = Report::new("sim", 1, 0);
    assert!(render(&report, false, 0).starts_with("Tasks (sim, 1 CPU, 0 ns)\n"));
    report.tasks = (0..100).map(|n| task(&format!("t/{n}"), "batch", None, None, 0.0)).collect();
    assert!(render(&report, false, 80).contains("and 40 more tasks: 40 000 jobs, 0 missed (the JSON"));
}

/// A crowd hides nobody: of each task the first instances are shown.
#[test]
fn every_task_has_a_row() {
    let mut report = Report::new("sim", 1, 0);
    let crowd = |name: &str, count: usize| -> Vec<TaskReport> {
        (0..count).map(|n| task(&format!("{name}/{n}"), "batch", None, None, 0.0)).collect()
    };
    report.tasks = crowd("one", 500);
    report.tasks.extend(crowd("two", 5));
    report.tasks.push(TaskReport { deadline_misses: 3, ..task("last", "realtime", None, None, 0.1) });
    report.tasks[499].deadline_misses = 7;
    let text = render(&report, false, 200);
    let rows = |name: &str| text.lines().filter(|line| line.trim_start().starts_with(name)).count();
    assert_eq!((rows("one/"), rows("two/"), rows("last ")), (54, 5, 1), "{text}");
    assert!(text.contains("and 446 more tasks: 446 000 jobs, 7 missed (the JSON report lists all)"), "{text}");
}
