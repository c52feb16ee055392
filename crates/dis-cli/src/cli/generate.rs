//! `dis generate`.

use clap::Args;
use dis_core::api::MAX_CPUS;

use super::Destination;
use super::sets::{SetArgs, permille};
use super::values;

/// What `--help` begins with.
pub const ABOUT: &str = "\
Write a random set of Realtime tasks as a workload file, for `dis check` and `dis sim`.

It is the set of that number which `dis sweep` with the same options puts through its tests at that utilisation.";

const EXAMPLES: &str = "\
Examples:
  dis generate --cpus 8 --utilisation 95 > set.toml
  dis generate --cpus 64 --tasks 10000 --utilisation 70 --periods 1ms..1s --output set.toml
  dis generate --cpus 2 --utilisation 80 --deadline-ratio 0.5..1 | dis check - --host sim

Exit codes:
  0    it worked
  1    the file could not be written
  2    bad input: the command line";

/// Arguments of `dis generate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// Number of CPUs
    #[arg(long, value_name = "M", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=MAX_CPUS as u64))]
    pub cpus: u64,

    /// Utilisation, in percent of all CPUs, to a tenth
    #[arg(long, value_name = "PERCENT", value_parser = permille)]
    pub utilisation: u64,

    /// What kind of set.
    #[command(flatten)]
    pub set: SetArgs,

    /// Which of the sets with this seed and utilisation
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub number: u32,

    /// Write the workload to FILE; `-` is standard output
    #[arg(long, short, value_name = "FILE|-", default_value = "-", value_parser = values::destination)]
    pub output: Destination,
}
