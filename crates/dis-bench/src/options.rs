//! The command line of a benchmark.

use std::path::PathBuf;

/// Printed for `--help`.
const HELP: &str = "\
Options (after `--`; each benchmark understands all of them):
  --rounds N    rounds to measure (default: the benchmark's own)
  --quick       a quarter of the rounds
  --json FILE   also write the result into FILE, beside those of other benchmarks there
  --shield      run at nice -20 in a scheduling group of our own, all candidates alike (needs privileges)
  --only TEXT   only candidates or cases whose names contain TEXT
";

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Rounds, if given.
    pub rounds: Option<usize>,
    /// Measure less.
    pub quick: bool,
    /// Where to write the results as JSON.
    pub json: Option<PathBuf>,
    /// Run with raised priority.
    pub shield: bool,
    /// Which candidates or cases.
    pub only: Option<String>,
    /// This process is a candidate: its name and parameters.
    pub child: Option<Vec<String>>,
}

impl Options {
    /// Reads the arguments of this process; ends it for `--help` and for what it does not understand.
    pub fn from_args() -> Options {
        let mut options = Options::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // What `cargo bench` and `cargo test` pass to every benchmark.
                "--bench" | "--nocapture" => {}
                "--rounds" => options.rounds = Some(number(args.next())),
                "--quick" => options.quick = true,
                "--json" => options.json = Some(args.next().unwrap_or_else(|| fail("--json needs a file")).into()),
                "--shield" => options.shield = true,
                "--only" => options.only = Some(args.next().unwrap_or_else(|| fail("--only needs a text"))),
                "--child" => {
                    options.child = Some(args.by_ref().collect());
                }
                "--help" | "-h" => {
                    print!("{HELP}");
                    std::process::exit(0);
                }
                other => fail(&format!("unknown option {other:?}\n{HELP}")),
            }
        }
        options
    }

    /// How many rounds to measure if the benchmark itself would do `default`.
    pub fn rounds(&self, default: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { default.div_ceil(4) } else { default }).max(1)
    }

    /// Whether `name` takes part.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| name.contains(only))
    }
}

fn number(text: Option<String>) -> usize {
    text.and_then(|t| t.parse().ok()).unwrap_or_else(|| fail("--rounds needs a number"))
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}
