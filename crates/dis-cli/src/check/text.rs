//! The verdicts as a person reads them.

use super::plan::EDF;
use super::report::{Answer, Report, TaskRow};
use crate::output::{align, time};

/// Most rows of tasks, and of reasons; the JSON report has all.
const MAX_ROWS: usize = 60;
const MAX_REASONS: usize = 20;

/// Columns that policies for whole machines do not have.
const ONE_CPU: [&str; 4] = ["class", "CPU", "budget", "no System"];

/// Renders `report` for a terminal of `width` columns.
pub fn render(report: &Report, width: usize) -> String {
    let mut out = String::new();
    let cpus = if report.cpus == 1 { "1 CPU".to_string() } else { format!("{} CPUs", report.cpus) };
    tasks(&mut out, report, &cpus, width);
    reasons(&mut out, report);
    machine(&mut out, report, width);
    others(&mut out, report);
    let count = |answer| report.tasks.iter().filter(|task| task.verdict == answer).count();
    let verdict = match (report.tasks.len(), count(Answer::NotSchedulable), count(Answer::NotAnalysed)) {
        (0, ..) => "No task has a deadline or a reservation: nothing to prove.".into(),
        (all, 0, 0) => format!("Schedulable: all {all} tasks with deadlines or reservations are sure of them."),
        (_, 0, _) if report.test.is_some() && report.reason.is_some() => format!(
            "Not proven: the tests for {} do not accept the set, which may be schedulable all the same.",
            report.policy
        ),
        (all, 0, open) => format!("Not proven: {open} of {all} tasks with deadlines or reservations are not analysed."),
        (all, bad, open) => {
            let open = if open > 0 { format!(", {open} are not analysed") } else { String::new() };
            format!(
                "Not schedulable: {bad} of {all} tasks with deadlines or reservations cannot be sure of them{open}."
            )
        }
    };
    out.push_str(&format!("\n{verdict}\n"));
    out
}

fn tasks(out: &mut String, report: &Report, cpus: &str, width: usize) {
    match report.test {
        None => {
            let policy = if report.policy == EDF { String::new() } else { format!(", realtime={}", report.policy) };
            out.push_str(&format!("Deadlines and reservations ({cpus}, {}{policy})\n", report.host));
        }
        Some(test) => {
            out.push_str(&format!("Deadlines ({cpus}, {}, realtime={}: {test})\n", report.host, report.policy));
        }
    }
    if report.tasks.is_empty() {
        out.push_str("  none\n");
        return;
    }
    let head =
        ["task", "class", "CPU", "wcet", "budget", "deadline", "period", "verdict", "response", "slack", "no System"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(report.tasks.iter().take(MAX_ROWS).map(cells));
    if report.test.is_some() {
        // All have all CPUs, whole, and as much as they ask for.
        for row in &mut rows {
            *row = row.drain(..).zip(head).filter(|(_, of)| !ONE_CPU.contains(of)).map(|(cell, _)| cell).collect();
        }
    }
    out.push_str(&align(&rows, width));
    if report.tasks.len() > MAX_ROWS {
        let more = report.tasks.len() - MAX_ROWS;
        out.push_str(&format!("  and {more} more tasks (the JSON report lists all)\n"));
    }
}

fn cells(task: &TaskRow) -> Vec<String> {
    let optional = |ns: Option<u64>| ns.map_or("-".into(), time);
    let cpus: Vec<String> = task.cpus.iter().map(usize::to_string).collect();
    vec![
        task.name.clone(),
        task.class.clone(),
        if cpus.is_empty() { "-".into() } else { cpus.join("+") },
        time(task.wcet_ns),
        time(task.budget_ns),
        time(task.deadline_ns),
        time(task.period_ns),
        match task.verdict {
            Answer::Schedulable => "yes",
            Answer::NotSchedulable => "NO",
            Answer::NotAnalysed => "unknown",
        }
        .into(),
        optional(task.response_bound_ns),
        optional(task.slack_ns),
        optional(task.response_bound_without_system_ns),
    ]
}

/// Why some are not sure, what would help, and how the split ones are split.
fn reasons(out: &mut String, report: &Report) {
    let split = report.tasks.iter().filter(|task| !task.pieces.is_empty());
    let lines: Vec<String> = split
        .map(|task| {
            let pieces = task.pieces.iter().map(|piece| {
                let [budget, offset, deadline] = [piece.budget_ns, piece.offset_ns, piece.deadline_ns].map(time);
                format!("{budget} on CPU {} from {offset} to {deadline}", piece.cpu)
            });
            format!("  {}: {}\n", task.name, pieces.collect::<Vec<_>>().join(", then "))
        })
        .collect();
    section(out, "Split tasks (each job in pieces)", &lines);
    let of_task = |task: &TaskRow| {
        let reason = task.reason.as_ref().map(|reason| format!("  {}: {reason}\n", task.name));
        let remedies = (!task.remedies.is_empty()).then(|| task.remedies.join(", or "));
        match (reason, remedies) {
            (Some(reason), Some(remedies)) => Some(format!("{reason}    would be enough: {remedies}\n")),
            (None, Some(remedies)) => Some(format!("  {}: would be enough: {remedies}\n", task.name)),
            (reason, None) => reason,
        }
    };
    let of_all = report.reason.iter().map(|reason| format!("  {reason}\n"));
    let lines: Vec<String> = of_all.chain(report.tasks.iter().filter_map(of_task)).collect();
    section(out, "Why not", &lines);
    if let Some(cpus) = report.enough_cpus {
        out.push_str(&format!("  All of them fit on {cpus} CPUs.\n"));
    }
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}\n"));
    out.extend(lines.iter().take(MAX_REASONS).map(String::as_str));
    if lines.len() > MAX_REASONS {
        out.push_str(&format!("  and {} more (the JSON report lists all)\n", lines.len() - MAX_REASONS));
    }
}

fn machine(out: &mut String, report: &Report, width: usize) {
    if report.per_cpu.is_empty() {
        return;
    }
    let percent = |ppb: u64| format!("{}.{} %", ppb / 10_000_000, ppb / 1_000_000 % 10);
    let mut rows = vec![["CPU", "tasks", "utilisation", "left to System"].map(String::from).to_vec()];
    rows.extend(report.per_cpu.iter().map(|cpu| {
        let system = u64::from(cpu.system_per_mille) * 1_000_000;
        vec![cpu.cpu.to_string(), cpu.tasks.to_string(), percent(cpu.utilisation_ppb), percent(system)]
    }));
    out.push_str(&format!("\nCPUs\n{}", align(&rows, width)));
}

fn others(out: &mut String, report: &Report) {
    let lines: Vec<String> = report
        .others
        .iter()
        .map(|other| match other.instances {
            1 => format!("  {} ({})\n", other.name, other.class),
            n => format!("  {} ({}, {n} instances)\n", other.name, other.class),
        })
        .collect();
    section(out, "No guarantee by analysis", &lines);
}
