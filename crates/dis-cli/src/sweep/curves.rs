//! The figures, and how they are written.

use serde_json::json;

use super::experiment::{Experiment, Machine, Point};
use crate::cli::percent;
use crate::failure::Failure;
use dis_sim::generate::Periods;

/// How many sets there were at each point and how many each test accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curves {
    points: Vec<Counts>,
}

/// The figures of one point.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    sets: u32,
    accepted: Vec<u32>,
}

impl Counts {
    fn ratio(&self, test: usize) -> f64 {
        f64::from(self.accepted[test]) / f64::from(self.sets)
    }
}

impl Curves {
    /// No sets yet.
    pub fn new(experiment: &Experiment) -> Self {
        let none = Counts { sets: 0, accepted: vec![0; experiment.methods.len()] };
        Curves { points: vec![none; experiment.points().count()] }
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

    /// The points of a machine at which there were sets.
    fn of<'a>(
        &'a self,
        machine: &'a Machine,
        experiment: &'a Experiment,
    ) -> impl Iterator<Item = (&'a Point, &'a Counts)> {
        let all = experiment.points().zip(&self.points);
        all.filter(move |((of, _), counts)| of.cpus == machine.cpus && counts.sets > 0)
            .map(|((_, point), counts)| (point, counts))
    }

    /// Acceptance ratio of a test on a machine by utilisation (both 0 to 1), where there were sets.
    pub fn of_test<'a>(
        &'a self,
        machine: &'a Machine,
        experiment: &'a Experiment,
        test: usize,
    ) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.of(machine, experiment).map(move |(point, counts)| (point.permille as f64 / 1000.0, counts.ratio(test)))
    }

    /// Σ U · ratio(U) / Σ U.
    fn weighted(&self, machine: &Machine, experiment: &Experiment, test: usize) -> f64 {
        let points = self.of_test(machine, experiment, test);
        let (sum, weights) = points.fold((0.0, 0.0), |(s, w), (u, ratio)| (s + u * ratio, w + u));
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// The tables for a person: percentages, in as many blocks as the width needs.
    pub fn table(&self, experiment: &Experiment, width: usize) -> String {
        let mut text = format!("{}\nAccepted, in percent\n", experiment.describe());
        for machine in &experiment.machines {
            if experiment.machines.len() > 1 {
                text += &format!("\n{}\n", machine.describe());
            }
            self.blocks(machine, experiment, width, &mut text);
        }
        text
    }

    fn blocks(&self, machine: &Machine, experiment: &Experiment, width: usize, text: &mut String) {
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
            self.block(machine, experiment, block, text);
            rest = later;
        }
    }

    fn block(&self, machine: &Machine, experiment: &Experiment, tests: &[usize], text: &mut String) {
        let mut row = |label: &str, sets: &str, cells: &mut dyn FnMut(usize) -> String| {
            let mut line = format!("{label:<12}{sets:>8}");
            for &test in tests {
                line += &format!("{:>width$}", cells(test), width = column(experiment, test));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        };
        row("utilisation", "sets", &mut |test| experiment.methods[test].name.into());
        for (point, counts) in self.of(machine, experiment) {
            let label = format!("{:>11}", percent(point.permille));
            row(&label, &counts.sets.to_string(), &mut |test| format!("{:.1}", 100.0 * counts.ratio(test)));
        }
        row("weighted", "", &mut |test| format!("{:.1}", 100.0 * self.weighted(machine, experiment, test)));
    }

    /// A line for each point: CPUs, utilisation, number of sets, and for each test the ratio of accepted ones.
    pub fn csv(&self, experiment: &Experiment) -> String {
        let mut text = String::from("cpus,utilisation,sets");
        experiment.methods.iter().for_each(|method| text += &format!(",{}", method.name));
        text.push('\n');
        for machine in &experiment.machines {
            for (point, counts) in self.of(machine, experiment) {
                text += &format!("{},{:.3},{}", machine.cpus, point.permille as f64 / 1000.0, counts.sets);
                (0..counts.accepted.len()).for_each(|test| text += &format!(",{:.6}", counts.ratio(test)));
                text.push('\n');
            }
        }
        text
    }

    /// The document `dis-sweep/2`: the experiment, the tests, and for each machine and utilisation the numbers of accepted sets.
    pub fn json(&self, experiment: &Experiment) -> Result<String, Failure> {
        let machine = |machine: &Machine| {
            let points = self.of(machine, experiment).map(|(point, counts)| {
                json!({
                    "utilisation": point.permille as f64 / 1000.0,
                    "sets": counts.sets,
                    "accepted": counts.accepted,
                })
            });
            let weighted = (0..experiment.methods.len()).map(|test| self.weighted(machine, experiment, test));
            json!({
                "cpus": machine.cpus,
                "tasks": machine.tasks,
                "points": points.collect::<Vec<_>>(),
                "weighted": weighted.collect::<Vec<_>>(),
            })
        };
        let periods = match experiment.kind.periods {
            Periods::LogUniform { min, max } => {
                json!({"kind": "log-uniform", "min_us": min.as_nanos() / 1_000, "max_us": max.as_nanos() / 1_000})
            }
            Periods::Automotive => json!({"kind": "automotive"}),
        };
        let document = json!({
            "schema": "dis-sweep/2",
            "generator": experiment.kind.shares.name(),
            "periods": periods,
            "deadline_ratio": [experiment.kind.deadline_ratio.0, experiment.kind.deadline_ratio.1],
            "sets": experiment.sets,
            "seed": experiment.seed,
            "tests": experiment.methods.iter().map(|method| method.name).collect::<Vec<_>>(),
            "machines": experiment.machines.iter().map(machine).collect::<Vec<_>>(),
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
