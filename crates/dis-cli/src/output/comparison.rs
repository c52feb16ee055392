//! The response times of `--compare`, below the table of wake-up latencies.

use dis_workload::report::{Report, TaskReport};

/// Most rows.
const MAX_ROWS: usize = 60;

/// A table of the 99th percentiles of the response times, for reports with baselines; else nothing.
pub fn responses(report: &Report, colour: bool, width: usize) -> String {
    let tasks: Vec<&TaskReport> = report.tasks.iter().filter(|task| task.response_ns.is_some()).collect();
    if report.baselines.is_empty() || tasks.is_empty() {
        return String::new();
    }
    let mut head = vec!["task".to_string(), "DIS".to_string()];
    for baseline in &report.baselines {
        head.extend([baseline.host.clone(), "ratio".into()]);
    }
    let mut rows = vec![head];
    for task in tasks.iter().take(MAX_ROWS) {
        let dis = p99(task);
        let mut row = vec![task.name.clone(), dis.map_or("-".into(), time)];
        for baseline in &report.baselines {
            let other = baseline.tasks.iter().find(|other| other.name == task.name).and_then(p99);
            row.push(other.map_or("-".into(), time));
            row.push(match (dis, other) {
                (Some(dis), Some(other)) => ratio(other as f64 / dis.max(1) as f64),
                _ => "-".into(),
            });
        }
        rows.push(row);
    }
    let title = "Comparison: response time, 99th percentile (ratio: the other's to DIS's)";
    let mut out = if colour { format!("\n\x1b[1m{title}\x1b[0m\n") } else { format!("\n{title}\n") };
    out.push_str(&align(&rows, width));
    if tasks.len() > MAX_ROWS {
        out.push_str(&format!("  and {} more tasks (the JSON report lists all)\n", tasks.len() - MAX_ROWS));
    }
    out
}

fn p99(task: &TaskReport) -> Option<u64> {
    task.response_ns.map(|summary| summary.p99)
}

/// Columns in line, the first flushed left; names are shortened if the lines would be too long.
pub fn align(rows: &[Vec<String>], width: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |text: &String| text.chars().count();
    let mut widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| length(&row[column])).max().unwrap_or(0)).collect();
    let total = widths.iter().map(|width| width + 2).sum::<usize>();
    if let Some(first) = widths.first_mut() {
        *first = (*first).saturating_sub(total.saturating_sub(width)).max(8.min(*first));
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let cell: String = match length(cell) > width {
                true => cell.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
                false => cell.clone(),
            };
            match column {
                0 => line.push_str(&format!("  {cell:<width$}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `12.3x`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        r if r < 9.95 => format!("{r:.2}x"),
        r => format!("{r:.0}x"),
    }
}

/// Three digits in the unit that suits.
pub fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "µs"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_workload::report::Latencies;

    fn report(host: &str, ns: u64) -> Report {
        let mut latencies = Latencies::new();
        latencies.record(ns);
        let mut report = Report::new(host, 1, 1);
        let response_ns = latencies.summary();
        report.tasks.push(TaskReport { name: "ui".into(), response_ns, ..TaskReport::default() });
        report.tasks.push(TaskReport { name: "hog".into(), ..TaskReport::default() });
        report
    }

    #[test]
    fn responses_are_shown_beside_each_other() {
        let mut dis = report("linux", 2_000);
        assert_eq!(responses(&dis, false, 80), "");
        dis.baselines = vec![report("linux-eevdf", 31_000), report("linux-fifo", 1_000)];
        assert_eq!(
            responses(&dis, false, 80),
            "\nComparison: response time, 99th percentile (ratio: the other's to DIS's)\n  \
             task      DIS  linux-eevdf  ratio  linux-fifo  ratio\n  \
             ui    2.00 µs      31.0 µs    16x     1.00 µs  0.50x\n"
        );
    }

    #[test]
    fn long_names_give_way() {
        let rows = [vec!["a-task-with-a-long-name".to_string(), "1 s".to_string()]];
        assert_eq!(align(&rows, 20), "  a-task-with-…  1 s\n");
    }
}
