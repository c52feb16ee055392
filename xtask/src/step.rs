//! One check, as a constant that can stand in a table.

use crate::context::Context;
use crate::needs::Need;
use std::time::Duration;

/// Which command runs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask quick`.
    Quick,
    /// Both.
    Both,
    /// `cargo xtask stress`.
    Stress,
}

/// What a step does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Runs cargo with these arguments and demands success.
    Cargo(&'static [&'static str]),
    /// Calls a function of this crate; the error says what is wrong.
    Function(fn(&Context) -> Result<(), String>),
}

/// A check with a name.
#[derive(Clone, Copy)]
pub struct Step {
    /// The name, as in `--only NAME`.
    pub name: &'static str,
    /// What success means, in one line.
    pub about: &'static str,
    /// What to run.
    pub action: Action,
    /// What must be there first; installed when possible.
    pub needs: &'static [Need],
    /// Which command runs it.
    pub suite: Suite,
    /// Variables that the command gets beside the inherited ones.
    pub env: &'static [(&'static str, &'static str)],
    /// When a command of this step has run so long, it hangs. A scheduler under test may well deadlock, and
    /// then a failure with a name is worth more than a job that the service kills.
    pub limit: Duration,
}

impl Step {
    const fn new(name: &'static str, about: &'static str, action: Action) -> Self {
        Self { name, about, action, needs: &[], suite: Suite::Test, env: &[], limit: Duration::from_secs(600) }
    }

    /// A step that is one cargo command.
    pub const fn cargo(name: &'static str, about: &'static str, arguments: &'static [&'static str]) -> Self {
        Self::new(name, about, Action::Cargo(arguments))
    }

    /// A step that is a function of this crate.
    pub const fn function(
        name: &'static str,
        about: &'static str,
        function: fn(&Context) -> Result<(), String>,
    ) -> Self {
        Self::new(name, about, Action::Function(function))
    }

    /// Names what must be there first.
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Sets variables for the command.
    pub const fn env(mut self, env: &'static [(&'static str, &'static str)]) -> Self {
        self.env = env;
        self
    }

    /// Chooses the commands that run it; `Suite::Test` unless said.
    pub const fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// What the step runs, for the reader of the log.
    pub fn command_line(&self) -> String {
        match self.action {
            Action::Cargo(arguments) => {
                let env = self.env.iter().map(|(name, value)| format!("{name}='{value}' ")).collect::<String>();
                let quoted = arguments.iter().map(|a| quote(a)).collect::<Vec<_>>().join(" ");
                format!("{env}cargo {quoted}")
            }
            Action::Function(_) => self.about.to_string(),
        }
    }
}

/// So that the printed command can be pasted into a shell.
pub fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_string()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_command_can_be_pasted() {
        let step = Step::cargo("doc", "", &["test", "--test", "model_*"]).env(&[("RUSTDOCFLAGS", "-D warnings")]);
        assert_eq!(step.command_line(), "RUSTDOCFLAGS='-D warnings' cargo test --test 'model_*'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
