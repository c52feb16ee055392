//! What can be said to `dis sweep`.

use std::path::PathBuf;

use clap::Args;

use super::Destination;
use super::sets::{CpuCounts, SetArgs, cpu_counts, permille};
use super::values;
use crate::sweep::methods::{METHODS, Method};

/// Arguments of `dis sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    /// Numbers of CPUs, each with curves of its own: one, a list or a range, such as 8, 1,2,4 or 1..32
    #[arg(long, value_name = "M|LIST|RANGE", default_value = "8", value_parser = cpu_counts)]
    pub cpus: CpuCounts,

    /// What kind of sets.
    #[command(flatten)]
    pub set: SetArgs,

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

    /// Tests to compare, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = method)]
    pub tests: Vec<&'static Method>,

    /// Number of threads; changes nothing but the time it takes [default: one for each CPU this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub threads: Option<u64>,

    /// Write a line of figures for each number of CPUs and utilisation to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub csv: Option<Destination>,

    /// Write the figures as JSON (schema dis-sweep/2) to FILE; `-` is standard output, which then holds nothing else
    #[arg(long, value_name = "FILE|-", value_parser = values::destination)]
    pub json: Option<Destination>,

    /// Draw the curves into FILE, a chart for each number of CPUs
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
  dis sweep --cpus 1,2,4,8,16,32 --svg machines.svg
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
         For each number of CPUs and each utilisation the same sets go through all tests. The figures are the part of them that a test accepts, in \
         percent; the last line is the weighted schedulability, the mean of a column with the utilisation as weight \
         (Bastoni, Brandenburg and Anderson, OSPERT 2010).\n\nTests:{list}"
    )
}

fn method(text: &str) -> Result<&'static Method, String> {
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let found = METHODS.iter().find(|method| method.name == text);
    found.ok_or_else(|| format!("`{text}` is no test (names: {})", values::list(&names)))
}
