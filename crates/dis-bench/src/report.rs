//! Results: a table for people, JSON for programs.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::machine::Machine;
use crate::noise::{Noise, Watch};
use crate::options::Options;

/// One number, measured once a round.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether no round measured it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The median over the rounds.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        }
    }

    /// The best round.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The worst round.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// A field of the table.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Not measured.
    Empty,
    /// Measured; shown as median and best round.
    Samples(Samples),
    /// Why there is no number, or a remark.
    Text(String),
}

/// The result of one benchmark.
pub struct Report {
    name: &'static str,
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
    checks: Vec<Value>,
    notes: Vec<String>,
    watch: Watch,
    shielded: bool,
}

impl Report {
    /// Begins a benchmark: raises the priority if asked for, and begins to watch the noise.
    pub fn begin(name: &'static str, title: &str, options: &Options) -> Report {
        let shielded = options.shield && crate::noise::shield();
        Report {
            name,
            title: title.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
            watch: Watch::begin(),
            shielded,
        }
    }

    fn place(&mut self, row: &str, column: &str) -> &mut Cell {
        let at = self.columns.iter().position(|c| c == column).unwrap_or_else(|| {
            self.columns.push(column.into());
            self.columns.len() - 1
        });
        let row = self.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.rows.push((row.into(), Vec::new()));
            self.rows.len() - 1
        });
        let cells = &mut self.rows[row].1;
        if cells.len() <= at {
            cells.resize(at + 1, Cell::Empty);
        }
        &mut cells[at]
    }

    /// Adds what one round measured.
    pub fn push(&mut self, row: &str, column: &str, value: f64) {
        let cell = self.place(row, column);
        match cell {
            Cell::Samples(samples) => samples.push(value),
            _ => *cell = Cell::Samples(Samples(vec![value])),
        }
    }

    /// Says why there is no number.
    pub fn say(&mut self, row: &str, column: &str, text: &str) {
        *self.place(row, column) = Cell::Text(text.into());
    }

    /// The median in a field, if it was measured.
    pub fn median(&self, row: &str, column: &str) -> Option<f64> {
        self.samples(row, column).map(Samples::median)
    }

    /// The samples in a field, if it was measured.
    pub fn samples(&self, row: &str, column: &str) -> Option<&Samples> {
        let at = self.columns.iter().position(|c| c == column)?;
        match self.rows.iter().find(|(name, _)| name == row)?.1.get(at)? {
            Cell::Samples(samples) => Some(samples),
            _ => None,
        }
    }

    /// A figure to reach: `value` at most `limit`. Without a value the check says that it was not measured.
    pub fn check(&mut self, what: &str, value: Option<f64>, limit: f64) {
        let pass = value.map(|v| v <= limit);
        self.checks.push(json!({ "what": what, "value": value, "limit": limit, "pass": pass }));
    }

    /// A line below the table.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Prints the table and writes the JSON file if asked for.
    pub fn finish(self, options: &Options) {
        let (noise, machine) = (self.watch.end(), Machine::read());
        print!("{}", self.render(&machine, &noise));
        if let Some(path) = &options.json
            && let Err(e) = self.merge_into(path, &machine, &noise)
        {
            eprintln!("{}: {e}", path.display());
            std::process::exit(1);
        }
    }

    fn render(&self, machine: &Machine, noise: &Noise) -> String {
        let mut out = format!("\n{}: {}\n  on    {}\n", self.name, self.title, machine.describe());
        let shield = if self.shielded { "; all candidates raised above other processes" } else { "" };
        out += &format!("  noise {}{shield}\n\n", noise.describe());
        let mut lines = vec![std::iter::once(String::new()).chain(self.columns.iter().cloned()).collect::<Vec<_>>()];
        for (name, cells) in &self.rows {
            let cell = |at: usize| cells.get(at).map_or_else(String::new, show);
            lines.push(std::iter::once(name.clone()).chain((0..self.columns.len()).map(cell)).collect());
        }
        let widths: Vec<usize> =
            (0..=self.columns.len()).map(|c| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0)).collect();
        for line in lines {
            let row: Vec<String> = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(i, (text, width))| if i == 0 { format!("{text:width$}") } else { format!("{text:>width$}") })
                .collect();
            out += &format!("  {}\n", row.join("  ").trim_end());
        }
        out += "\n";
        for check in &self.checks {
            let verdict = match check["pass"].as_bool() {
                Some(true) => "pass",
                Some(false) => "MISS",
                None => "n/a ",
            };
            let value = check["value"].as_f64().map_or("not measured".into(), digits);
            let limit = digits(check["limit"].as_f64().unwrap_or(f64::NAN));
            out += &format!("  {verdict}  {}: {value} (at most {limit})\n", check["what"].as_str().unwrap_or(""));
        }
        self.notes.iter().for_each(|note| out += &format!("  note: {note}\n"));
        out
    }

    fn merge_into(&self, path: &Path, machine: &Machine, noise: &Noise) -> std::io::Result<()> {
        let mut all: Map<String, Value> = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(_) => Map::new(),
        };
        let mut rows = Map::new();
        for (name, cells) in &self.rows {
            let row: Map<String, Value> =
                self.columns.iter().zip(cells).map(|(column, cell)| (column.clone(), as_json(cell))).collect();
            rows.insert(name.clone(), Value::Object(row));
        }
        all.insert(
            self.name.into(),
            json!({
                "title": self.title, "machine": machine.to_json(), "noise": noise.to_json(),
                "shielded": self.shielded, "rows": rows, "checks": self.checks, "notes": self.notes,
            }),
        );
        std::fs::write(path, serde_json::to_string_pretty(&Value::Object(all))? + "\n")
    }
}

fn show(cell: &Cell) -> String {
    match cell {
        Cell::Empty => "–".into(),
        Cell::Text(text) => text.clone(),
        Cell::Samples(samples) if samples.0.len() == 1 => digits(samples.median()),
        Cell::Samples(samples) => format!("{} ({})", digits(samples.median()), digits(samples.min())),
    }
}

fn as_json(cell: &Cell) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Text(text) => json!(text),
        Cell::Samples(s) => json!({ "median": s.median(), "min": s.min(), "max": s.max(), "rounds": s.0.len() }),
    }
}

/// A number with three digits that count, at least.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_minima() {
        let mut report = Report::begin("test", "a table", &Options::default());
        for value in [4.0, 1.0, 3.0] {
            report.push("dis", "ns", value);
        }
        report.say("go", "ns", "not installed");
        report.check("dis", report.median("dis", "ns"), 2.0);
        assert_eq!(report.median("dis", "ns"), Some(3.0));
        assert_eq!(report.median("go", "ns"), None);
        let noise = Noise { steal_percent: 0.0, foreign_percent: 50.0, load1: 1.0 };
        let text = report.render(&Machine::read(), &noise);
        assert!(text.contains("3.00 (1.00)") && text.contains("MISS") && text.contains("TOO BUSY"), "{text}");
    }
}
