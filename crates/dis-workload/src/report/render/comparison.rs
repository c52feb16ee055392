//! The same workload on other schedulers, task by task.

use super::{bad, heading, more_rows, pick, shown};
use crate::report::table::{Table, Tone};
use crate::report::{Report, Summary, TaskReport};

type Metric = fn(&TaskReport) -> Option<Summary>;

/// By the 99th percentile of the wake-up latency, with the deadlines missed.
pub(super) fn wake_ups(out: &mut String, report: &Report, colour: bool, width: usize) {
    let title = "Comparison: wake-up latency, 99th percentile (ratio: the other scheduler's to DIS's)";
    compare(out, report, title, |task| task.wake_latency_ns, true, (colour, width));
}

/// By the 99th percentile of the response time.
pub(super) fn responses(out: &mut String, report: &Report, colour: bool, width: usize) {
    let title = "Comparison: response time, 99th percentile (ratio: the other scheduler's to DIS's)";
    compare(out, report, title, |task| task.response_ns, false, (colour, width));
}

/// A table of what `metric` says; tasks of which it says nothing, which miss nothing either, are left out.
fn compare(
    out: &mut String,
    report: &Report,
    title: &str,
    metric: Metric,
    misses: bool,
    (colour, width): (bool, usize),
) {
    let same = |run: &'_ Report, name: &str| run.tasks.iter().find(|task| task.name == name).cloned();
    let says = |task: &TaskReport| {
        let others = || report.baselines.iter().filter_map(|run| same(run, &task.name));
        misses && task.class == "realtime" || metric(task).is_some() || others().any(|other| metric(&other).is_some())
    };
    let rows: Vec<&TaskReport> = shown(&report.tasks).into_iter().filter(|task| says(task)).collect();
    if rows.is_empty() {
        return;
    }
    heading(out, colour, title);
    let mut head = vec!["task".to_string(), "class".into(), "DIS".into()];
    head.extend(misses.then(|| "missed".into()));
    for baseline in &report.baselines {
        head.extend([baseline.host.clone(), "ratio".into()]);
        head.extend(misses.then(|| "missed".into()));
    }
    let mut table = Table::new(&head, 2, &["class"]);
    for task in rows {
        let realtime = task.class == "realtime";
        let mut row =
            vec![(task.name.clone(), Tone::Plain), (task.class.clone(), Tone::Plain), pick(metric(task), |s| s.p99)];
        row.extend(misses.then(|| bad(task.deadline_misses, realtime)));
        for baseline in &report.baselines {
            let other = same(baseline, &task.name);
            let (one, two) = (metric(task), other.as_ref().and_then(metric));
            row.extend([pick(two, |s| s.p99), ratio(one, two)]);
            let missed =
                || other.as_ref().map_or(("-".into(), Tone::Dim), |other| bad(other.deadline_misses, realtime));
            row.extend(misses.then(missed));
        }
        table.row(row);
    }
    table.print(out, colour, width);
    if misses {
        more_rows(out, &report.tasks, &shown(&report.tasks));
    }
}

fn ratio(dis: Option<Summary>, other: Option<Summary>) -> (String, Tone) {
    let (Some(dis), Some(other)) = (dis, other) else { return ("-".into(), Tone::Dim) };
    let ratio = other.p99 as f64 / dis.p99.max(1) as f64;
    let tone = match ratio {
        r if r >= 1.05 => Tone::Good,
        r if r <= 0.95 => Tone::Bad,
        _ => Tone::Plain,
    };
    let text = match ratio {
        r if r < 0.000_5 => "<0.001x".into(),
        r if r < 0.095 => format!("{r:.3}x"),
        r if r < 9.95 => format!("{r:.2}x"),
        r => format!("{r:.0}x"),
    };
    (text, tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_keep_two_digits() {
        let of = |dis, other| {
            let summary = |p99| Some(Summary { min: 0, p50: 0, p99, p999: 0, max: 0, mean: 0 });
            ratio(summary(dis), summary(other)).0
        };
        let texts = [of(1_000, 12_300), of(1_000, 1_234), of(1_000, 94), of(100_000, 123), of(1_000_000, 1)];
        assert_eq!(texts, ["12x", "1.23x", "0.094x", "0.001x", "<0.001x"]);
    }
}
