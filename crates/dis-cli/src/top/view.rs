//! Draws the state.

use dis_control::protocol::{Latency, TaskRow};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::app::{App, Mode};
use crate::output::time;

const KEYS: &str = "q quit  ↑↓ choose  s sort  r reverse  / filter  i intent  k kill  space pause";

pub fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let [cpus, classes] = [app.rates.cpus.len(), app.rates.classes.len()].map(|rows| rows as u16);
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(cpus.min(16)),
        Constraint::Length(classes + 1),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(1),
    ]);
    let [head, cpu_area, class_area, reason_area, task_area, foot] = areas.areas(frame.area());
    frame.render_widget(Line::from(summary(app)).style(bold()), head);
    let lines: Vec<Line> = app.rates.cpus.iter().map(|cpu| Line::from(cpu_line(cpu))).collect();
    frame.render_widget(Paragraph::new(lines), cpu_area);
    draw_classes(frame, app, class_area);
    let reasons: Vec<_> =
        app.rates.reasons.iter().map(|(reason, rate)| format!("{reason} {}", number(*rate))).collect();
    frame.render_widget(Line::from(format!("decisions/s  {}", reasons.join("  "))), reason_area);
    draw_tasks(frame, app, task_area);
    frame.render_widget(foot_line(app), foot);
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn summary(app: &App) -> String {
    let stats = &app.now.stats;
    let mut text = format!("{} tasks  {} created  {} missed", stats.live, stats.created, stats.misses);
    if stats.policy_faults > 0 {
        text += &format!("  {} policies replaced after wrong answers", stats.policy_faults);
    }
    if stats.lost > 0 {
        text += &format!("  {} records lost", number(stats.lost as f64));
    }
    text
}

fn cpu_line(cpu: &super::rates::CpuRate) -> String {
    let full = (cpu.load * 20.0).round() as usize;
    let bar: String = (0..20).map(|place| if place < full { '█' } else { '·' }).collect();
    format!(
        "CPU {:<3} {bar} {:>3.0} %  {:>4} ready  {:>6} switches/s  {:>6} preempted/s  {}",
        cpu.cpu,
        cpu.load * 100.0,
        cpu.ready,
        number(cpu.switches),
        number(cpu.preemptions),
        cpu.running
    )
}

fn draw_classes(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let rows = app.rates.classes.iter().map(|class| {
        let wait = class.wait.map_or("-".into(), time);
        Row::new([class.class.clone(), format!("{:.1} %", class.load * 100.0), class.ready.to_string(), wait])
    });
    let widths = [Constraint::Length(12), Constraint::Length(9), Constraint::Length(7), Constraint::Length(12)];
    let head = Row::new(["CLASS", "CPU", "READY", "MEAN WAIT"]).style(bold());
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

/// A column of the tasks: its head, its width, and how dispensable it is where the window is narrow.
type Column = (&'static str, u16, u8);

const COLUMNS: [Column; 13] = [
    ("NAME", 18, 0),
    ("ID", 12, 5),
    ("CLASS", 12, 0),
    ("STATE", 15, 1),
    ("CPU", 4, 3),
    ("CPU %", 6, 0),
    ("SWITCH/s", 8, 3),
    ("WAKE P50", 8, 1),
    ("P95", 8, 4),
    ("P99", 8, 0),
    ("MAX", 8, 4),
    ("MISSED", 7, 0),
    ("CHOSEN BY", 11, 2),
];

/// The columns that a window has room for.
fn columns(width: u16) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    for dispensable in (1..=5).rev() {
        if shown.iter().map(|&column| COLUMNS[column].1 + 1).sum::<u16>() <= width + 1 {
            break;
        }
        shown.retain(|&column| COLUMNS[column].2 < dispensable);
    }
    shown
}

fn draw_tasks(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let shown = columns(area.width);
    let rows: Vec<Row> = app.tasks().into_iter().map(|task| task_row(app, task, &shown)).collect();
    let table = Table::new(rows, shown.iter().map(|&column| Constraint::Length(COLUMNS[column].1)))
        .header(Row::new(shown.iter().map(|&column| COLUMNS[column].0)).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(app.selected());
    frame.render_stateful_widget(table, area, &mut state);
}

fn task_row<'a>(app: &App, task: &TaskRow, shown: &[usize]) -> Row<'a> {
    let rate = app.rates.task(task.id);
    let class = if task.class == task.competes { task.class.clone() } else { format!("{}*", task.class) };
    let latency = task.latency.filter(|latency| latency.count > 0);
    let of = |pick: fn(&Latency) -> u64| latency.map_or("-".into(), |latency| time(pick(&latency)));
    let cells = [
        task.name.clone(),
        task.id.to_string(),
        class,
        task.state.clone(),
        task.cpu.to_string(),
        format!("{:.1}", rate.load * 100.0),
        number(rate.switches),
        of(|latency| latency.p50),
        of(|latency| latency.p95),
        of(|latency| latency.p99),
        of(|latency| latency.max),
        task.misses.to_string(),
        task.reason.clone().unwrap_or_default(),
    ];
    Row::new(shown.iter().map(|&column| Cell::from(cells[column].clone())).collect::<Vec<_>>())
}

fn foot_line(app: &App) -> Line<'static> {
    match &app.mode {
        Mode::Filter => Line::from(format!("filter: {}_   (Enter keeps it, Esc clears it)", app.filter)),
        Mode::Intent(task, text) if app.message.is_empty() => {
            let name = app.name(*task);
            let forms = "batch, background, system, interactive:2ms, realtime:10ms,1ms";
            Line::from(format!("intent of {name}: {text}_   ({forms})"))
        }
        Mode::Intent(..) => Line::from(app.message.clone()),
        Mode::Kill(task) => Line::from(format!("end {}? y/n", app.name(*task))).style(bold()),
        Mode::Normal => {
            let order = if app.reversed { ", reversed" } else { "" };
            let filter = if app.filter.is_empty() { String::new() } else { format!("  filter {}", app.filter) };
            let message = if app.message.is_empty() { KEYS.into() } else { app.message.clone() };
            let state = format!("by {}{order}{filter}  ", app.sort.name());
            Line::from(vec![Span::styled(state, bold()), Span::raw(message)])
        }
    }
}

/// A number of three or four digits.
fn number(value: f64) -> String {
    match value {
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 9_999.5 => format!("{v:.0}"),
        v if v < 999_500.0 => format!("{:.0}k", v / 1e3),
        v => format!("{:.1}M", v / 1e6),
    }
}

#[cfg(test)]
mod tests;
