//! The report as a person reads it.

mod comparison;

use super::table::{Table, Tone};
use super::units::{count, percent, time, wrap};
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
    warning(&mut out, report, "", (colour, width));
    domains(&mut out, report, colour, width);
    if let Some(scheduler) = &report.scheduler {
        heading(&mut out, colour, "Scheduler");
        out.push_str(&format!(
            "  tasks: {} created, {} exited, {} killed\n  switches: {} ({} voluntary, {} preemptions)\n  \
             CPU time given to tasks: {}\n",
            count(scheduler.tasks_created),
            count(scheduler.tasks_exited),
            count(scheduler.tasks_killed),
            count(scheduler.context_switches),
            count(scheduler.voluntary_switches),
            count(scheduler.involuntary_switches),
            time(scheduler.total_cpu_time),
        ));
        match scheduler.policy_faults {
            0 => {}
            1 => out.push_str("  1 policy gave a wrong answer; the built-in one has taken its place\n"),
            n => out.push_str(&format!(
                "  {} policies gave wrong answers; the built-in ones have taken their places\n",
                count(n)
            )),
        }
        // A policy for whole machines has one queue of its own, and counts nothing here.
        let queues = scheduler.queue_stats.named().into_iter().filter(|(_, queue)| queue.enqueued > 0);
        let mut table = Table::new(&["queue", "in", "out", "now", "longest", "average wait"], 1, &[]);
        for (name, queue) in queues {
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
        if !table.is_empty() {
            table.print(&mut out, colour, width);
        }
    }
    if !report.baselines.is_empty() {
        comparison::wake_ups(&mut out, report, colour, width);
        comparison::responses(&mut out, report, colour, width);
    }
    // Nothing disturbs a simulated machine, and nobody looks at what disturbs an emulator.
    if !matches!(report.host.as_str(), "sim" | "bare-metal") {
        noise(&mut out, report, colour, width);
    }
    out
}

fn heading(out: &mut String, colour: bool, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&Tone::Head.paint(text, colour));
    out.push('\n');
}

fn domains(out: &mut String, report: &Report, colour: bool, width: usize) {
    if report.domains.is_empty() {
        return;
    }
    heading(out, colour, "Domains");
    let head = ["domain", "in", "weight", "tasks", "CPU", "share", "denied", "over quota", "throttled"];
    let mut table = Table::new(&head, 2, &["weight", "over quota", "in"]);
    for domain in &report.domains {
        let cells = [
            domain.name.clone(),
            domain.parent.clone().unwrap_or_else(|| "-".into()),
            domain.weight.to_string(),
            count(domain.tasks.into()),
            time(domain.cpu_ns),
            // Of all CPUs.
            percent(report.part(domain.cpu_ns)),
            count(domain.denied),
            count(domain.exhausted),
            count(domain.throttled),
        ];
        table.row(cells.into_iter().map(|text| (text, Tone::Plain)).collect());
    }
    table.print(out, colour, width);
}

/// The rows that are shown of all: the first instances of each task, as many as there is room for.
fn shown(tasks: &[TaskReport]) -> Vec<&TaskReport> {
    let family = |task: &TaskReport| task.name.split('/').next().map(str::to_string);
    let families: Vec<&[TaskReport]> = tasks.chunk_by(|one, next| family(one) == family(next)).collect();
    let rows = |each: usize| families.iter().map(|family| family.len().min(each)).sum::<usize>();
    let each = (1..=MAX_ROWS).rev().find(|&each| rows(each) <= MAX_ROWS).unwrap_or(1);
    families.into_iter().flat_map(|family| family.iter().take(each)).take(MAX_ROWS).collect()
}

fn more_rows(out: &mut String, all: &[TaskReport], shown: &[&TaskReport]) {
    if all.len() > shown.len() {
        let rest = |of: fn(&TaskReport) -> u64| {
            count(all.iter().map(of).sum::<u64>() - shown.iter().map(|task| of(task)).sum::<u64>())
        };
        let (jobs, misses) = (rest(|task| task.jobs), rest(|task| task.deadline_misses));
        let more = all.len() - shown.len();
        out.push_str(&format!("  and {more} more tasks: {jobs} jobs, {misses} missed (the JSON report lists all)\n"));
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
    let shown = shown(&report.tasks);
    for task in &shown {
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
    more_rows(out, &report.tasks, &shown);
}

/// What disturbed the run, if that was much: where it stands, misses and tails say as much of the machine as of the
/// scheduler.
fn warning(out: &mut String, run: &Report, whose: &str, (colour, width): (bool, usize)) {
    let warnings = run.noise.warnings(run.cpus, run.duration_ns);
    if !warnings.is_empty() {
        let text = format!("WARNING{whose}: do not trust misses and tails (p99 and above): {}", warnings.join("; "));
        for line in wrap(&text, width.saturating_sub(2)) {
            out.push_str(&format!("  {}\n", Tone::Bad.paint(&line, colour)));
        }
    }
}

fn noise(out: &mut String, report: &Report, colour: bool, width: usize) {
    heading(out, colour, "Noise");
    for run in std::iter::once(report).chain(&report.baselines) {
        let (steal, foreign) = (time(run.noise.steal_ns), percent(run.part(run.noise.foreign_ns)));
        out.push_str(&format!(
            "  {}: other processes {foreign} of the CPUs, steal {steal} ({}), load average {:.2}\n",
            run.host,
            percent(run.part(run.noise.steal_ns)),
            run.noise.load1
        ));
    }
    for run in &report.baselines {
        warning(out, run, &format!(", {}", run.host), (colour, width));
    }
}

#[cfg(test)]
mod tests;
