//! The command line.

use crate::step::{Step, Suite};

/// `cargo xtask --help`.
pub const HELP: &str = "\
Checks of this repository.

Usage: cargo xtask <COMMAND> [OPTIONS]

Commands:
  test   All checks
  quick  Format, lints and unit tests only
  stress What takes long and finds what happens seldom
  help   This text

Options:
  --only STEP[,STEP]  Run these steps only
  --list              Print the steps and what they check
  --help              This text

A missing tool is installed if this user may do that (as root or with sudo that asks no password). Else the
step is skipped and the command that would enable it is printed; with CI=true in the environment, a skip is
a failure.

The last line is `N passed, M failed`, with `, K skipped` if there are any.
Exit code: 0 all passed, 1 a check failed, 2 the command line is wrong.
";

const COMMANDS: &str = "test, quick, stress, help";
const OPTIONS: &str = "--only, --list, --help";

/// What to do.
pub enum Command {
    /// Run these steps.
    Run(Vec<Step>),
    /// Print these steps.
    List(Vec<Step>),
    /// Print the help.
    Help,
}

/// Reads the arguments after the program's name. The error names what is allowed.
pub fn parse(arguments: &[String], table: &[Step]) -> Result<Command, String> {
    let mut arguments = arguments.iter().map(String::as_str);
    let suite = match arguments.next() {
        Some("test") => Suite::Test,
        Some("quick") => Suite::Quick,
        Some("stress") => Suite::Stress,
        Some("help" | "--help" | "-h") => return Ok(Command::Help),
        Some(other) => return Err(format!("no command is named {other:?}; the commands are: {COMMANDS}")),
        None => return Err(format!("a command is missing; the commands are: {COMMANDS}")),
    };
    let offered: Vec<Step> = table
        .iter()
        .filter(|s| s.suite == suite || (s.suite == Suite::Both && suite != Suite::Stress))
        .copied()
        .collect();

    let mut only: Option<Vec<&str>> = None;
    let mut list = false;
    while let Some(argument) = arguments.next() {
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (argument, None),
        };
        match (flag, attached) {
            ("--only", value) => {
                let value = value.or_else(|| arguments.next()).unwrap_or("");
                only.get_or_insert_default().extend(names(value, &offered)?);
            }
            ("--list", None) => list = true,
            ("--help" | "-h", None) => return Ok(Command::Help),
            _ => return Err(format!("unknown option {argument:?}; the options are: {OPTIONS}")),
        }
    }
    // In the order of the table, whatever the order asked for: a step may build on what an earlier one compiled.
    let chosen: Vec<Step> =
        offered.into_iter().filter(|step| only.as_ref().is_none_or(|only| only.contains(&step.name))).collect();
    Ok(if list { Command::List(chosen) } else { Command::Run(chosen) })
}

fn names<'a>(value: &'a str, offered: &[Step]) -> Result<Vec<&'a str>, String> {
    let allowed = || offered.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    let names: Vec<&str> = value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(format!("--only needs the name of a step; the steps are: {}", allowed()));
    }
    match names.iter().find(|name| !offered.iter().any(|step| step.name == **name)) {
        Some(unknown) => Err(format!("no step is named {unknown:?}; the steps are: {}", allowed())),
        None => Ok(names),
    }
}

/// The text of `--list`.
pub fn list(steps: &[Step]) -> String {
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    steps.iter().map(|step| format!("{:width$}  {}\n", step.name, step.about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Step] = &[
        Step::cargo("fmt", "formatted", &[]).suite(Suite::Both),
        Step::cargo("unit", "unit tests", &[]).suite(Suite::Quick),
        Step::cargo("tests", "all tests", &[]),
    ];

    fn parsed(line: &str) -> Result<Command, String> {
        parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>(), TABLE)
    }

    fn run(line: &str) -> Vec<&'static str> {
        match parsed(line) {
            Ok(Command::Run(steps)) => steps.iter().map(|step| step.name).collect(),
            Ok(_) => panic!("{line} does not run anything"),
            Err(message) => panic!("{line}: {message}"),
        }
    }

    fn error(line: &str) -> String {
        parsed(line).err().unwrap_or_else(|| panic!("{line} was accepted"))
    }

    #[test]
    fn the_suites() {
        assert_eq!(run("test"), ["fmt", "tests"]);
        assert_eq!(run("quick"), ["fmt", "unit"]);
    }

    #[test]
    fn only_keeps_the_order_of_the_table() {
        assert_eq!(run("test --only tests,fmt"), ["fmt", "tests"]);
        assert_eq!(run("test --only=tests"), ["tests"]);
        assert_eq!(run("test --only tests --only fmt --only fmt"), ["fmt", "tests"]);
    }

    #[test]
    fn help_is_everywhere() {
        for line in ["help", "--help", "-h", "test --help", "quick -h", "test --only fmt --help"] {
            assert!(matches!(parsed(line), Ok(Command::Help)), "{line}");
        }
    }

    #[test]
    fn list_follows_the_choice() {
        let Ok(Command::List(steps)) = parsed("test --list") else { panic!("not a list") };
        assert_eq!(list(&steps), "fmt    formatted\ntests  all tests\n");
    }

    #[test]
    fn errors_name_what_is_allowed() {
        assert!(error("").contains("test, quick"));
        assert!(error("tset").contains("\"tset\"") && error("tset").contains("test, quick"));
        assert!(error("test --olny fmt").contains("--only, --list, --help"));
        assert!(error("test fmt").contains("--only"));
        assert!(error("test --list=all").contains("--only, --list, --help"));
        assert!(error("test --only nope").contains("fmt, tests"));
        assert!(error("test --only").contains("fmt, tests"));
        assert!(error("test --only ,").contains("fmt, tests"));
        assert!(error("quick --only tests").contains("fmt, unit"));
    }
}
