//! What a step knows about its surroundings.

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A clean clone is built once, and nobody looks at it with a debugger: what would help at the next build, or there, costs time and
/// space for nothing. Backtraces keep their lines.
const BUILT_ONCE: [(&str, &str); 2] = [("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")];

/// The checkout and how to behave in it.
pub struct Context {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// In continuous integration a skipped step is a failure: nobody is there to notice the skip.
    pub ci: bool,
    /// Whether standard output takes colours.
    pub colour: bool,
    cargo: OsString,
}

impl Context {
    /// Reads the environment, once.
    pub fn from_environment() -> Self {
        // Cargo says at run time where this package is. The place it was compiled in is only a fallback: a
        // target folder may be shared by several checkouts.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().unwrap_or(Path::new(".")).to_path_buf();
        Self {
            root,
            ci: is_ci(env::var("CI").ok().as_deref()),
            colour: env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
            cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        }
    }

    /// A command that starts in the checkout.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root);
        command
    }

    /// The cargo that runs this program, so that one toolchain does all the checks.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.cargo);
        command.args(arguments);
        if self.ci {
            command.envs(BUILT_ONCE);
        }
        command
    }
}

fn is_ci(value: Option<&str>) -> bool {
    matches!(value, Some("true" | "1"))
}

#[cfg(test)]
mod tests {
    use super::is_ci;

    #[test]
    fn ci_is_what_services_set() {
        assert!(is_ci(Some("true")));
        assert!(is_ci(Some("1")));
        assert!(!is_ci(Some("false")));
        assert!(!is_ci(Some("")));
        assert!(!is_ci(None));
    }
}
