//! What can be said to `dis sweep`.

use std::path::PathBuf;

use clap::Args;
use dis_core::api::{Duration, MAX_CPUS};
use dis_sim::generate::{Periods, Shares};

use super::Destination;
use super::values;
use crate::sweep::methods::{METHODS, Method};

/// Arguments of `dis sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    /// Number of CPUs
    #[arg(long, value_name = "M", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: u64,

    /// Number of tasks in a set [default: 4 for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=2000))]
    pub tasks: Option<u64>,

    /// First utilisation, in percent of all CPUs, to a tenth
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = permille)]
    pub from: u64,

    /// Last utilisation
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = permille)]
    pub to: u64,

    /// From one utilisation to the next
    #[arg(long, value_name = "PERCENT", default_value = "2.5", value_parser = permille)]
    pub step: u64,

    /// Number of task sets for each utilisation
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sets: u32,

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

    /// Tests to compare, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = method)]
    pub tests: Vec<&'static Method>,

    /// Number of threads; changes nothing but the time it takes [default: one for each CPU this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub threads: Option<u64>,

    /// Write a line of figures for each utilisation to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub csv: Option<Destination>,

    /// Write the figures as JSON (schema dis-sweep/1) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Draw the curves into FILE
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Show no progress line
    #[arg(long)]
    pub no_progress: bool,

    /// Print no table for people, only errors
    #[arg(long, short)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  dis sweep
  dis sweep --cpus 2 --tasks 10 --deadline-ratio 0.5..1 --sets 1000
  dis sweep --from 95 --to 95 --tests partitioned,c=d --seed 7
  dis sweep --periods automotive --generator uunifast-discard --svg curves.svg
  dis sweep --csv - | column -ts,

Ctrl-C ends it early and still prints what is done; a second Ctrl-C ends it at once.

Exit codes:
  0    it worked
  1    a file could not be written
  2    bad input: the command line
  130  stopped by Ctrl-C, after the table (143: by SIGTERM)";

/// What `--help` begins with.
pub fn about() -> String {
    let list: String = METHODS.iter().map(|method| format!("\n  {:<18} {}", method.name, method.about)).collect();
    format!(
        "Compare schedulability tests on random task sets: how many each accepts, by utilisation.\n\n\
         For each utilisation the same sets go through all tests. The figures are the part of them that a test accepts, in \
         percent; the last line is the weighted schedulability, the mean of a column with the utilisation as weight \
         (Bastoni, Brandenburg and Anderson, OSPERT 2010).\n\nTests:{list}"
    )
}

/// `97.5` or `97.5%`, as 975.
fn permille(text: &str) -> Result<u64, String> {
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

fn generator(text: &str) -> Result<Shares, String> {
    let names = Shares::ALL.map(Shares::name);
    let found = Shares::ALL.into_iter().find(|shares| shares.name() == text);
    found.ok_or_else(|| format!("`{text}` is no generator (names: {})", values::list(&names)))
}

fn method(text: &str) -> Result<&'static Method, String> {
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let found = METHODS.iter().find(|method| method.name == text);
    found.ok_or_else(|| format!("`{text}` is no test (names: {})", values::list(&names)))
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
