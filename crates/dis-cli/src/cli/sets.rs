//! Random task sets: what `dis sweep` and `dis generate` take alike.

use clap::Args;
use dis_core::api::{Duration, MAX_CPUS};
use dis_sim::generate::{CPU_PPB, MAX_TASKS, Periods, Recipe, Shares};

use super::values;

/// What kind of task sets.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Number of tasks in a set [default: 4 for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_TASKS as u64))]
    pub tasks: Option<u64>,

    /// What the random task sets are made from; the same seed gives the same output, to the byte
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// How the utilisation is divided: fixed-sum, or uunifast-discard, which gives up where the mean of a task is near 1
    #[arg(long, value_name = "NAME", default_value = Shares::FixedSum.name(), value_parser = generator)]
    pub generator: Shares,

    /// Periods: log-uniform in a range, or `automotive` (1 ms to 1 s, in the shares of engine software)
    #[arg(long, value_name = "MIN..MAX|automotive", default_value = "10ms..1s", value_parser = periods)]
    pub periods: Periods,

    /// Deadlines: wcet + R · (period − wcet), with one R or a uniform one in a range; 1 is deadline = period
    #[arg(long, value_name = "R|MIN..MAX", default_value = "1", value_parser = ratio)]
    pub deadline_ratio: (f64, f64),
}

impl SetArgs {
    /// The recipe for a machine of `cpus` CPUs of which `permille` are used.
    pub fn recipe(&self, cpus: usize, permille: u64) -> Recipe {
        Recipe {
            tasks: self.tasks.map_or(4 * cpus, |tasks| tasks as usize),
            utilisation_ppb: ppb(cpus, permille),
            shares: self.generator,
            periods: self.periods,
            deadline_ratio: self.deadline_ratio,
        }
    }
}

/// The utilisation of `cpus` CPUs, in parts per billion of one.
fn ppb(cpus: usize, permille: u64) -> u64 {
    permille * cpus as u64 * (CPU_PPB / 1000)
}

/// One or several numbers of CPUs, ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuCounts(pub Vec<usize>);

/// `8`, `1,2,4`, `1..32`, or both: `1..4,8,16`.
pub fn cpu_counts(text: &str) -> Result<CpuCounts, String> {
    let one = |text: &str| {
        let number = text.trim().parse::<usize>().map_err(|_| {
            format!("`{text}` is no number of CPUs; give one, a list or a range, such as 8, 1,2,4 or 1..32")
        })?;
        let possible = (1..=MAX_CPUS).contains(&number);
        possible.then_some(number).ok_or(format!("{number} is not in 1..={MAX_CPUS}"))
    };
    let mut counts = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (one(first)?, one(last)?);
        if first > last {
            return Err(format!("the range {part} is empty; write {last}..{first}"));
        }
        counts.extend(first..=last);
    }
    counts.sort_unstable();
    counts.dedup();
    Ok(CpuCounts(counts))
}

/// `97.5` or `97.5%`, as 975.
pub fn permille(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let parse = |digits: &str| Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse::<u64>().ok();
    match (parse(whole), parse(tenth)) {
        (Some(whole), Some(tenth)) if whole <= 100 && tenth <= 9 && number.len() <= 5 => Ok(whole * 10 + tenth),
        _ => Err("give a percentage up to 100 with at most one digit after the point, such as 97.5".into()),
    }
    .and_then(|permille| match permille {
        0 => Err("must be above 0".into()),
        1..=1000 => Ok(permille),
        _ => Err("must be at most 100".into()),
    })
}

/// `97.5 %`, of 975.
pub fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

fn generator(text: &str) -> Result<Shares, String> {
    let names = Shares::ALL.map(Shares::name);
    let found = Shares::ALL.into_iter().find(|shares| shares.name() == text);
    found.ok_or_else(|| format!("`{text}` is no generator (names: {})", values::list(&names)))
}

fn periods(text: &str) -> Result<Periods, String> {
    if text == "automotive" {
        return Ok(Periods::Automotive);
    }
    let (min, max) = text.split_once("..").ok_or("write a range such as 10ms..1s, or automotive")?;
    let time = |text: &str| values::duration(text).map_err(|error| format!("`{text}` {error}"));
    let whole = |time: Duration| Some(time).filter(|time| time.as_nanos().is_multiple_of(1_000));
    match (whole(time(min)?), whole(time(max)?)) {
        (Some(min), Some(max)) => Ok(Periods::LogUniform { min, max }),
        _ => Err("give whole microseconds".into()),
    }
}

fn ratio(text: &str) -> Result<(f64, f64), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| format!("`{text}` is no number"));
    let (from, to) = (number(from)?, number(to)?);
    if 0.0 <= from && from <= to && to <= 1.0 {
        Ok((from, to))
    } else {
        Err("give a number of 0 to 1 or a range such as 0.5..1".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_at_most_a_tenth() {
        assert_eq!(["97.5", "100", "5%", "0.1"].map(|text| permille(text).unwrap()), [975, 1000, 50, 1]);
        for text in ["", "0", "0.0", "100.1", "101", "97.55", "-1", "1e1", ".5", "5.", "+5", "NaN"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_cpus() {
        let counts = |text| cpu_counts(text).map(|counts| counts.0);
        assert_eq!(counts("8"), Ok(vec![8]));
        assert_eq!(counts("4,1, 2,4"), Ok(vec![1, 2, 4]));
        assert_eq!(counts("1..3,8..9"), Ok(vec![1, 2, 3, 8, 9]));
        for text in ["", "0", "257", "1,,2", "1,", "3..1", "1..", "..2", "1..300", "-1", "x", "1..2..3"] {
            assert!(counts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges() {
        let us = Duration::from_micros;
        assert_eq!(periods("1us..2ms"), Ok(Periods::LogUniform { min: us(1), max: us(2_000) }));
        for text in ["", "10ms", "..", "1..2", "1ns..1ms", "auto"] {
            assert!(periods(text).is_err(), "{text}");
        }
        assert_eq!([ratio("1"), ratio("0.5..1"), ratio("0")], [Ok((1.0, 1.0)), Ok((0.5, 1.0)), Ok((0.0, 0.0))]);
        for text in ["", "x", "2", "-1", "1..0.5", "NaN", "inf", "0.5.."] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
