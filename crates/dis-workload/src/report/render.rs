//! The report as a person reads it.

use super::table::{Table, Tone};
use super::units::{count, percent, time};
use super::{Report, Summary, TaskReport};

/// Most rows of tasks printed; the JSON report has all.
const MAX_ROWS: usize = 60;

/// Renders `report` for a terminal of `width` columns, with ANSI colours if `colour`. Columns that do not fit are
/// left out, the least important first; only a `width` below about 60 gives lines longer than it.
pub fn render(report: &Report, colour: bool, width: usize) -> String {
    let mut out = String::new();
    let cpus = if report.cpus == 1 { "1 CPU".to_string() } else { format!("{} CPUs", report.cpus) };
    heading(&mut out, colour, &format!("Tasks ({}, {cpus}, {})", report.host, time(report.duration_ns)));
    tasks(&mut out, report, colour, width);
    if let Some(scheduler) = &report.scheduler {
        heading(&mut out, colour, "Scheduler");
        out.push_str(&format!(
            "  tasks: {} created, {} exited, {} killed\n  switches: {} ({} voluntary, {} preemptions)\n  \
             deadline misses: {}, CPU time: {}\n",
            count(scheduler.tasks_created),
            count(scheduler.tasks_exited),
            count(scheduler.tasks_killed),
            count(scheduler.context_switches),
            count(scheduler.voluntary_switches),
            count(scheduler.involuntary_switches),
            count(scheduler.deadline_misses),
            time(scheduler.total_cpu_time),
        ));
        let mut table = Table::new(&["queue", "in", "out", "now", "longest", "average wait"], 1, &[]);
        for (name, queue) in scheduler.queue_stats.named().into_iter().filter(|(_, queue)| queue.enqueued > 0) {
            let cells = [
                name.to_string(),
                count(queue.enqueued),
                count(queue.dequeued),
                count(queue.length),
                count(queue.max_length),
                time(queue.avg_wait_time),
            ];
            table.row(cells.into_iter().map(|text| (text, Tone::Plain)).collect());
        }
        table.print(&mut out, colour, width);
    }
    if !report.baselines.is_empty() {
        comparison(&mut out, report, colour, width);
    }
    noise(&mut out, report, colour);
    out
}

fn heading(out: &mut String, colour: bool, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&Tone::Head.paint(text, colour));
    out.push('\n');
}

fn more_rows(out: &mut String, total: usize) {
    if total > MAX_ROWS {
        out.push_str(&format!("  and {} more tasks (the JSON report lists all)\n", total - MAX_ROWS));
    }
}

fn pick(summary: Option<Summary>, of: impl Fn(&Summary) -> u64) -> (String, Tone) {
    summary.map_or(("-".into(), Tone::Dim), |summary| (time(of(&summary)), Tone::Plain))
}

/// A count that ought to be 0.
fn bad(n: u64, applies: bool) -> (String, Tone) {
    match n {
        0 if !applies => ("-".into(), Tone::Dim),
        0 => ("0".into(), Tone::Good),
        n => (count(n), Tone::Bad),
    }
}

fn tasks(out: &mut String, report: &Report, colour: bool, width: usize) {
    let head = [
        "task",
        "class",
        "jobs",
        "missed",
        "wake p50",
        "wake p99",
        "wake p99.9",
        "wake max",
        "resp p50",
        "resp p99",
        "resp max",
        "CPU",
        "share",
        "yielded",
        "preempted",
        "moved",
        "overruns",
    ];
    let optional = [
        "resp p50",
        "wake p99.9",
        "moved",
        "CPU",
        "yielded",
        "resp max",
        "overruns",
        "preempted",
        "resp p99",
        "wake max",
        "class",
        "wake p50",
        "jobs",
    ];
    let mut table = Table::new(&head, 2, &optional);
    for task in report.tasks.iter().take(MAX_ROWS) {
        let plain = |text: String| (text, Tone::Plain);
        let (wake, response, realtime) = (task.wake_latency_ns, task.response_ns, task.class == "realtime");
        table.row(vec![
            plain(task.name.clone()),
            plain(task.class.clone()),
            plain(count(task.jobs)),
            bad(task.deadline_misses, realtime),
            pick(wake, |s| s.p50),
            pick(wake, |s| s.p99),
            pick(wake, |s| s.p999),
            pick(wake, |s| s.max),
            pick(response, |s| s.p50),
            pick(response, |s| s.p99),
            pick(response, |s| s.max),
            plain(time(task.cpu_ns)),
            plain(percent(task.share)),
            plain(count(task.voluntary)),
            plain(count(task.preemptions)),
            plain(count(task.migrations)),
            bad(task.overruns, realtime),
        ]);
    }
    table.print(out, colour, width);
    more_rows(out, report.tasks.len());
}

/// The same workload on other schedulers, by the 99th percentile of the wake-up latency.
fn comparison(out: &mut String, report: &Report, colour: bool, width: usize) {
    heading(out, colour, "Comparison: wake-up latency, 99th percentile (ratio: the other scheduler's to DIS's)");
    let mut head = vec!["task".to_string(), "class".into(), "DIS".into(), "missed".into()];
    for baseline in &report.baselines {
        head.extend([baseline.host.clone(), "ratio".into(), "missed".into()]);
    }
    let mut table = Table::new(&head, 2, &["class"]);
    for task in report.tasks.iter().take(MAX_ROWS) {
        let realtime = task.class == "realtime";
        let mut row = vec![
            (task.name.clone(), Tone::Plain),
            (task.class.clone(), Tone::Plain),
            pick(task.wake_latency_ns, |s| s.p99),
            bad(task.deadline_misses, realtime),
        ];
        for baseline in &report.baselines {
            let other = baseline.tasks.iter().find(|other| other.name == task.name);
            row.push(pick(other.and_then(|other| other.wake_latency_ns), |s| s.p99));
            row.push(ratio(task, other));
            row.push(other.map_or(("-".into(), Tone::Dim), |other| bad(other.deadline_misses, realtime)));
        }
        table.row(row);
    }
    table.print(out, colour, width);
    more_rows(out, report.tasks.len());
}

fn ratio(task: &TaskReport, other: Option<&TaskReport>) -> (String, Tone) {
    let p99 = |task: &TaskReport| task.wake_latency_ns.map(|summary| summary.p99);
    let (Some(dis), Some(other)) = (p99(task), other.and_then(p99)) else { return ("-".into(), Tone::Dim) };
    let ratio = other as f64 / dis.max(1) as f64;
    let tone = match ratio {
        r if r >= 1.05 => Tone::Good,
        r if r <= 0.95 => Tone::Bad,
        _ => Tone::Plain,
    };
    let decimals = if ratio < 9.95 { 2 } else { 0 };
    (format!("{ratio:.decimals$}x"), tone)
}

fn noise(out: &mut String, report: &Report, colour: bool) {
    heading(out, colour, "Noise");
    let all = std::iter::once(report).chain(&report.baselines);
    // Threads of a baseline all count in the load average; DIS's tasks share one thread a CPU.
    let threads = if report.baselines.is_empty() { report.cpus } else { report.tasks.len() };
    for run in all {
        let available = run.duration_ns as f64 * run.cpus.max(1) as f64;
        let stolen = if available > 0.0 { run.noise.steal_ns as f64 / available } else { 0.0 };
        let (steal, load) = (time(run.noise.steal_ns), run.noise.load1);
        let line = format!("  {}: steal {steal} ({}), load average {load:.2}\n", run.host, percent(stolen));
        out.push_str(&line);
        let warnings = run.noise.warnings(run.cpus, run.duration_ns, threads as f64);
        if !warnings.is_empty() {
            let text = format!("WARNING: do not trust the tails (p99 and above): {}", warnings.join("; "));
            out.push_str(&format!("  {}\n", Tone::Bad.paint(&text, colour)));
        }
    }
}

#[cfg(test)]
mod tests;
