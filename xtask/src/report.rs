//! What happened, as the lines at the end of a run.

use std::fmt::Write;

/// Something that a step needs and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub reason: String,
    /// The command (or the change) that would enable the step.
    pub remedy: String,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// It was not checked.
    Skipped(Missing),
}

impl Outcome {
    /// A step that cannot run is a skip for a developer, who reads the output, and a failure in continuous
    /// integration, where nobody would notice that a check has been off for months.
    pub fn of_missing(missing: Missing, ci: bool) -> Self {
        if ci {
            Self::Failed(format!(
                "skipped, and CI must skip nothing: {}; to enable: {}",
                missing.reason, missing.remedy
            ))
        } else {
            Self::Skipped(missing)
        }
    }
}

/// A row of the table.
pub struct Row {
    /// The step.
    pub step: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// Text in a colour, or as it is.
pub fn paint(text: &str, colour: &str, enabled: bool) -> String {
    if enabled { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_string() }
}

/// Colours that a step's state has everywhere.
pub const GREEN: &str = "1;32";
/// See [`GREEN`].
pub const RED: &str = "1;31";
/// See [`GREEN`].
pub const YELLOW: &str = "1;33";

/// The table, the reasons of what did not pass, and the summary as the last line.
pub fn summary(rows: &[Row], colour: bool) -> String {
    let width = rows.iter().map(|row| row.step.len()).max().unwrap_or(0).max("step".len());
    let mut text = format!("\n{:width$}  {:7}  {:>8}\n", "step", "result", "seconds");
    let mut reasons = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for row in rows {
        // Padded before it is painted: the escape codes have no width on the screen.
        let result = match &row.outcome {
            Outcome::Passed => {
                passed += 1;
                paint("passed ", GREEN, colour)
            }
            Outcome::Failed(why) => {
                failed += 1;
                let _ = writeln!(reasons, "FAILED  {}: {why}", row.step);
                paint("FAILED ", RED, colour)
            }
            Outcome::Skipped(missing) => {
                skipped += 1;
                let _ = writeln!(
                    reasons,
                    "SKIPPED {}: {}\n        to enable: {}",
                    row.step, missing.reason, missing.remedy
                );
                paint("SKIPPED", YELLOW, colour)
            }
        };
        let _ = writeln!(text, "{:width$}  {result}  {:8.1}", row.step, row.seconds);
    }
    if !reasons.is_empty() {
        let _ = write!(text, "\n{reasons}");
    }
    // Read by programs, so it is never coloured.
    let _ = write!(text, "\n{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Missing {
        Missing { reason: "no rt-app".into(), remedy: "sudo apt-get install -y rt-app".into() }
    }

    fn row(step: &'static str, outcome: Outcome) -> Row {
        Row { step, outcome, seconds: 1.25 }
    }

    #[test]
    fn a_skip_is_a_failure_only_in_ci() {
        assert_eq!(Outcome::of_missing(missing(), false), Outcome::Skipped(missing()));
        let Outcome::Failed(why) = Outcome::of_missing(missing(), true) else { panic!("not failed") };
        assert!(why.contains("no rt-app") && why.contains("apt-get install -y rt-app"));
    }

    #[test]
    fn the_last_line_counts_the_steps() {
        let last = |rows: &[Row]| summary(rows, true).lines().last().map(String::from);
        assert_eq!(
            last(&[row("a", Outcome::Passed), row("b", Outcome::Passed)]).as_deref(),
            Some("2 passed, 0 failed")
        );
        let mixed =
            [row("a", Outcome::Passed), row("b", Outcome::Failed("x".into())), row("c", Outcome::Skipped(missing()))];
        assert_eq!(last(&mixed).as_deref(), Some("1 passed, 1 failed, 1 skipped"));
        assert_eq!(last(&[]).as_deref(), Some("0 passed, 0 failed"));
    }

    #[test]
    fn the_table_is_aligned_and_says_why() {
        let rows = [
            row("fmt", Outcome::Passed),
            row("long-name", Outcome::Skipped(missing())),
            row("x", Outcome::Failed("exit 1".into())),
        ];
        assert_eq!(
            summary(&rows, false),
            "
step       result    seconds
fmt        passed        1.2
long-name  SKIPPED       1.2
x          FAILED        1.2

SKIPPED long-name: no rt-app
        to enable: sudo apt-get install -y rt-app
FAILED  x: exit 1

1 passed, 1 failed, 1 skipped
"
        );
    }

    #[test]
    fn colour_only_when_asked() {
        let rows = [row("fmt", Outcome::Passed)];
        assert!(summary(&rows, true).contains('\x1b'));
        assert!(!summary(&rows, false).contains('\x1b'));
    }
}
