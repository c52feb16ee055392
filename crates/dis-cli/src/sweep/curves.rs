//! The figures, and how they are written.

use serde::Serialize;
use serde_json::json;

use super::experiment::{Experiment, percent};
use crate::failure::Failure;
use dis_sim::generate::Periods;

/// How many sets there were at each point and how many each test accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curves {
    points: Vec<Counts>,
}

/// The figures of one utilisation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    sets: u32,
    accepted: Vec<u32>,
}

impl Curves {
    /// No sets yet.
    pub fn new(experiment: &Experiment) -> Self {
        let none = Counts { sets: 0, accepted: vec![0; experiment.methods.len()] };
        Curves { points: vec![none; experiment.points.len()] }
    }

    /// One more set at a point, and who accepted it.
    pub fn count(&mut self, point: usize, accepted: &[bool]) {
        let counts = &mut self.points[point];
        counts.sets += 1;
        counts.accepted.iter_mut().zip(accepted).for_each(|(count, &accepted)| *count += u32::from(accepted));
    }

    /// The sets of another thread.
    pub fn add(&mut self, other: &Curves) {
        for (counts, more) in self.points.iter_mut().zip(&other.points) {
            counts.sets += more.sets;
            counts.accepted.iter_mut().zip(&more.accepted).for_each(|(count, more)| *count += more);
        }
    }

    /// Acceptance ratio of a test by utilisation (both 0 to 1), where there were sets.
    pub fn of_test<'a>(&'a self, experiment: &'a Experiment, test: usize) -> impl Iterator<Item = (f64, f64)> + 'a {
        let points = experiment.points.iter().zip(&self.points).filter(|(_, counts)| counts.sets > 0);
        points.map(move |(point, counts)| {
            (point.permille as f64 / 1000.0, f64::from(counts.accepted[test]) / f64::from(counts.sets))
        })
    }

    /// Σ U · ratio(U) / Σ U.
    fn weighted(&self, experiment: &Experiment, test: usize) -> f64 {
        let (sum, weights) =
            self.of_test(experiment, test).fold((0.0, 0.0), |(s, w), (u, ratio)| (s + u * ratio, w + u));
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// The table for a person: percentages, in as many blocks as the width needs.
    pub fn table(&self, experiment: &Experiment, width: usize) -> String {
        let mut text = format!("{}\nAccepted, in percent\n", experiment.describe());
        let tests: Vec<usize> = (0..experiment.methods.len()).collect();
        let mut rest = &tests[..];
        while !rest.is_empty() {
            let mut used = 0;
            let fits = rest.iter().take_while(|&&test| {
                used += column(experiment, test);
                LABELS + used <= width
            });
            let (block, later) = rest.split_at(fits.count().max(1));
            text.push('\n');
            self.block(experiment, block, &mut text);
            rest = later;
        }
        text
    }

    fn block(&self, experiment: &Experiment, tests: &[usize], text: &mut String) {
        let mut row = |label: &str, sets: &str, cells: &mut dyn FnMut(usize) -> String| {
            let mut line = format!("{label:<12}{sets:>8}");
            for &test in tests {
                line += &format!("{:>width$}", cells(test), width = column(experiment, test));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        row("utilisation", "sets", &mut |test| experiment.methods[test].name.into());
        for (point, counts) in experiment.points.iter().zip(&self.points).filter(|(_, counts)| counts.sets > 0) {
            let ratio = |test: usize| f64::from(counts.accepted[test]) / f64::from(counts.sets);
            let label = format!("{:>11}", percent(point.permille));
            row(&label, &counts.sets.to_string(), &mut |test| format!("{:.1}", 100.0 * ratio(test)));
        }
        row("weighted", "", &mut |test| format!("{:.1}", 100.0 * self.weighted(experiment, test)));
    }

    /// A line for each utilisation: utilisation, number of sets, and for each test the ratio of accepted ones.
    pub fn csv(&self, experiment: &Experiment) -> String {
        let mut text = String::from("utilisation,sets");
        experiment.methods.iter().for_each(|method| text += &format!(",{}", method.name));
        text.push('\n');
        for (point, counts) in experiment.points.iter().zip(&self.points).filter(|(_, counts)| counts.sets > 0) {
            text += &format!("{:.3},{}", point.permille as f64 / 1000.0, counts.sets);
            for &accepted in &counts.accepted {
                text += &format!(",{:.6}", f64::from(accepted) / f64::from(counts.sets));
            }
            text.push('\n');
        }
        text
    }

    /// The document `dis-sweep/1`: the experiment, the tests, and for each utilisation the numbers of accepted sets.
    pub fn json(&self, experiment: &Experiment) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Row<'a> {
            utilisation: f64,
            sets: u32,
            accepted: &'a [u32],
        }
        let rows = experiment.points.iter().zip(&self.points).filter(|(_, counts)| counts.sets > 0);
        let rows: Vec<Row> = rows
            .map(|(point, counts)| Row {
                utilisation: point.permille as f64 / 1000.0,
                sets: counts.sets,
                accepted: &counts.accepted,
            })
            .collect();
        let periods = match experiment.recipe.periods {
            Periods::LogUniform { min, max } => {
                json!({"kind": "log-uniform", "min_us": min.as_nanos() / 1_000, "max_us": max.as_nanos() / 1_000})
            }
            Periods::Automotive => json!({"kind": "automotive"}),
        };
        let weighted: Vec<f64> = (0..experiment.methods.len()).map(|test| self.weighted(experiment, test)).collect();
        let document = json!({
            "schema": "dis-sweep/1",
            "cpus": experiment.cpus,
            "tasks": experiment.recipe.tasks,
            "generator": experiment.recipe.shares.name(),
            "periods": periods,
            "deadline_ratio": [experiment.recipe.deadline_ratio.0, experiment.recipe.deadline_ratio.1],
            "sets": experiment.sets,
            "seed": experiment.seed,
            "tests": experiment.methods.iter().map(|method| method.name).collect::<Vec<_>>(),
            "points": rows,
            "weighted": weighted,
        });
        serde_json::to_string_pretty(&document)
            .map(|text| text + "\n")
            .map_err(|error| Failure::failed(format!("cannot make JSON of the figures: {error}")))
    }
}

/// Columns of the first two fields.
const LABELS: usize = 20;

/// Columns of a test's field.
fn column(experiment: &Experiment, test: usize) -> usize {
    experiment.methods[test].name.len().max(5) + 2
}
