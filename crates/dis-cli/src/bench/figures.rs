//! The figures of `dis bench`: samples, medians, and whether they mean anything.

use dis_workload::report::Summary;
use serde_json::{Value, json};

use crate::output::{align, ratio, time};
use crate::run::noise::Disturbance;
use crate::run::outcome::Outcome;

/// More than this taken by a hypervisor, or used by other processes, and a round tells nothing.
const MOST_STEAL: f64 = 0.01;
const MOST_FOREIGN: f64 = 0.05;

/// What one run of one host gave.
#[derive(Debug, Clone)]
pub struct Sample {
    round: u64,
    wake: Option<Summary>,
    noise: Disturbance,
}

impl Sample {
    /// The first task's wake-ups, and who disturbed the run.
    pub fn of(outcome: &Outcome, round: u64) -> Sample {
        Sample {
            round,
            wake: outcome.records.first().and_then(|record| record.wake.summary()),
            noise: outcome.noise.clone(),
        }
    }
}

/// All samples.
#[derive(Debug)]
pub struct Figures {
    cpus: usize,
    length_ns: u64,
    hosts: Vec<(&'static str, Vec<Sample>)>,
}

type Pick = fn(&Summary) -> u64;
const COLUMNS: [(&str, Pick); 4] = [("p50", |s| s.p50), ("p99", |s| s.p99), ("p99.9", |s| s.p999), ("max", |s| s.max)];

impl Figures {
    /// None yet.
    pub fn new(cpus: usize, length_ns: u64) -> Self {
        Figures { cpus, length_ns, hosts: Vec::new() }
    }

    /// Adds the sample of a host; DIS comes first.
    pub fn add(&mut self, host: &'static str, sample: Sample) {
        match self.hosts.iter_mut().find(|(name, _)| *name == host) {
            Some((_, samples)) => samples.push(sample),
            None => self.hosts.push((host, vec![sample])),
        }
    }

    fn steal(&self, sample: &Sample) -> f64 {
        sample.noise.steal_share(self.cpus)
    }

    fn foreign(&self, sample: &Sample) -> f64 {
        sample.noise.foreign_share(self.cpus)
    }

    /// The median over the rounds of a host.
    fn median(&self, host: usize, pick: Pick) -> Option<u64> {
        let samples = &self.hosts.get(host)?.1;
        let mut values: Vec<u64> = samples.iter().filter_map(|sample| sample.wake.as_ref()).map(pick).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    }

    fn ratio(&self, pick: Pick) -> Option<f64> {
        Some(self.median(1, pick)? as f64 / self.median(0, pick)?.max(1) as f64)
    }

    /// How many runs were disturbed, of how many.
    fn busy(&self) -> (usize, usize) {
        let is_busy = |sample: &Sample| self.steal(sample) > MOST_STEAL || self.foreign(sample) > MOST_FOREIGN;
        let all = || self.hosts.iter().flat_map(|(_, samples)| samples);
        (all().filter(|sample| is_busy(sample)).count(), all().count())
    }

    fn is_too_busy(&self) -> bool {
        let (busy, all) = self.busy();
        busy * 2 >= all
    }

    /// The table for people.
    pub fn text(&self, width: usize) -> String {
        let rounds = self.hosts.first().map_or(0, |(_, samples)| samples.len());
        let cpus = if self.cpus == 1 { "1 CPU".to_string() } else { format!("{} CPUs", self.cpus) };
        let mut out = format!(
            "Wake-up latency: a task that wakes every 1 ms, {cpus}, two tasks on each that never give it up\n\
             Medians of {rounds} rounds of {}, in turns\n",
            time(self.length_ns)
        );
        if rounds == 0 {
            return out + "  no round was finished\n";
        }
        let mut head = vec!["host".to_string()];
        head.extend(COLUMNS.map(|(name, _)| name.to_string()));
        head.extend(["samples", "steal", "others", "load"].map(String::from));
        let mut rows = vec![head];
        for (index, (host, samples)) in self.hosts.iter().enumerate() {
            let mut row = vec![if index == 0 { "DIS".to_string() } else { host.to_string() }];
            row.extend(COLUMNS.map(|(_, pick)| self.median(index, pick).map_or("-".into(), time)));
            let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
            row.push(samples.len().to_string());
            row.push(format!("{:.1} %", mean(&|s| self.steal(s)) * 100.0));
            row.push(format!("{:.1} %", mean(&|s| self.foreign(s)) * 100.0));
            row.push(format!("{:.1}", samples.iter().map(|s| s.noise.noise.load1).fold(0.0, f64::max)));
            rows.push(row);
        }
        let mut row = vec!["ratio".to_string()];
        row.extend(COLUMNS.map(|(_, pick)| self.ratio(pick).map_or("-".into(), ratio)));
        row.extend(["", "", "", ""].map(String::from));
        rows.push(row);
        out.push_str(&align(&rows, width));
        let (busy, all) = self.busy();
        if self.is_too_busy() {
            out.push_str(&format!(
                "TOO BUSY TO TELL: in {busy} of {all} runs a hypervisor took more than 1 % of the CPUs or other \
                 processes more than 5 %.\nRun it again on a quiet machine.\n"
            ));
        } else if busy > 0 {
            out.push_str(&format!("{busy} of {all} runs were disturbed; the medians stand.\n"));
        }
        out
    }

    /// The figures as JSON.
    pub fn document(&self) -> Value {
        let hosts: Vec<Value> = (self.hosts.iter().enumerate())
            .map(|(index, (host, samples))| {
                let median: serde_json::Map<String, Value> = ["p50", "p99", "p999", "max"]
                    .into_iter()
                    .zip(COLUMNS)
                    .map(|(name, (_, pick))| (name.to_string(), json!(self.median(index, pick))))
                    .collect();
                json!({ "host": host, "median_wake_latency_ns": median, "rounds": samples.iter().map(sample).collect::<Vec<_>>() })
            })
            .collect();
        json!({
            "schema": "dis-bench/1",
            "benchmark": "wake-up latency with two hogs per CPU",
            "cpus": self.cpus,
            "duration_ns": self.length_ns,
            "hosts": hosts,
            "ratio": { "p50": self.ratio(|s| s.p50), "p99": self.ratio(|s| s.p99) },
            "too_busy_to_tell": self.is_too_busy(),
        })
    }
}

fn sample(sample: &Sample) -> Value {
    json!({
        "round": sample.round,
        "wake_latency_ns": sample.wake,
        "noise": {
            "steal_ns": sample.noise.noise.steal_ns,
            "foreign_ns": sample.noise.noise.foreign_ns,
            "load1": sample.noise.noise.load1,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_workload::report::Noise;

    fn sample(p50: u64, steal_ns: u64) -> Sample {
        let wake = Summary { min: 1, p50, p99: p50 * 10, p999: p50 * 20, max: p50 * 30, mean: p50 };
        let noise = Disturbance { noise: Noise { steal_ns, load1: 4.0, foreign_ns: 0 }, elapsed_ns: 1_000_000 };
        Sample { round: 0, wake: Some(wake), noise }
    }

    #[test]
    fn medians_and_ratios() {
        let mut figures = Figures::new(1, 1_000_000_000);
        for (dis, linux) in [(10_000, 30_000), (90_000, 20_000), (20_000, 60_000)] {
            figures.add("linux", sample(dis, 0));
            figures.add("linux-eevdf", sample(linux, 0));
        }
        assert_eq!((figures.median(0, |s| s.p50), figures.median(1, |s| s.p50)), (Some(20_000), Some(30_000)));
        assert_eq!(figures.document()["ratio"]["p99"], 1.5);
        assert_eq!(figures.document()["too_busy_to_tell"], false);
        let text = figures.text(80);
        assert!(text.contains("  DIS          20.0 µs  200 µs") && text.contains("ratio          1.50x"), "{text}");
    }

    #[test]
    fn a_disturbed_benchmark_says_so() {
        let mut figures = Figures::new(1, 1_000_000_000);
        assert!(figures.text(80).contains("no round"));
        figures.add("linux", sample(10_000, 20_000));
        figures.add("linux-eevdf", sample(10_000, 0));
        assert!(figures.text(80).contains("TOO BUSY TO TELL: in 1 of 2 runs"));
        figures.add("linux", sample(10_000, 0));
        assert!(figures.text(80).contains("1 of 3 runs were disturbed"));
    }
}
