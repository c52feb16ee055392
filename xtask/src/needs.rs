//! What steps need, and how it is installed.

use crate::context::Context;
use crate::process;
use crate::report::Missing;
use crate::step::quote;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Something that must be there before a step can run.
#[derive(Clone, Copy)]
pub enum Need {
    /// A rustup component that is a cargo subcommand.
    Component(&'static str),
    /// The standard library (or what there is of it) for a target.
    Target(&'static str),
    /// A Debian package, known by a path that it brings.
    Package {
        /// The package.
        name: &'static str,
        /// A path that is there if the package is.
        provides: &'static str,
    },
    /// A file of this repository, `FOLDER/PREFIX*SUFFIX`. Nothing can install it: the check waits for it.
    File {
        /// The folder, from the root of the repository.
        folder: &'static str,
        /// How the name begins.
        prefix: &'static str,
        /// How the name ends.
        suffix: &'static str,
    },
}

const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// Makes the need available if that is possible.
pub fn ensure(need: &Need, context: &Context) -> Result<(), Missing> {
    if present(need, context) {
        return Ok(());
    }
    let rights = Rights::of_this_user();
    let Some(installation) = installation(need, rights) else { return Err(missing(need, rights)) };
    for command in installation {
        println!("installing: {}", shell(&command));
        let [program, arguments @ ..] = command.as_slice() else { continue };
        if let Err(message) = process::run(context.command(program).args(arguments), INSTALL_LIMIT) {
            println!("installing: {message}");
        }
        if present(need, context) {
            return Ok(());
        }
    }
    let missing = missing(need, rights);
    Err(Missing { reason: format!("{}, and installing it failed (see above)", missing.reason), ..missing })
}

fn present(need: &Need, context: &Context) -> bool {
    match need {
        Need::Component(name) => process::succeeds(&mut context.cargo(&[subcommand(name), "--version"])),
        Need::Target(target) => {
            let mut rustc = context.command("rustc");
            rustc.args(["--print", "target-libdir", "--target", target]);
            let (output, result) = process::capture(&mut rustc, INSTALL_LIMIT);
            result.is_ok() && str::from_utf8(&output).is_ok_and(|path| Path::new(path.trim()).is_dir())
        }
        Need::Package { provides, .. } => Path::new(provides).exists(),
        Need::File { folder, prefix, suffix } => fs::read_dir(context.root.join(folder)).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
            })
        }),
    }
}

/// The component `rustfmt` is the subcommand `fmt`; others share the name.
fn subcommand(component: &'static str) -> &'static str {
    if component == "rustfmt" { "fmt" } else { component }
}

/// Who may install Debian packages here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    Root,
    /// With sudo, without a password.
    Sudo,
    None,
}

impl Rights {
    fn of_this_user() -> Self {
        let (id, _) = process::capture(std::process::Command::new("id").arg("-u"), INSTALL_LIMIT);
        if id.trim_ascii() == b"0" {
            Self::Root
        } else if process::succeeds(std::process::Command::new("sudo").args(["-n", "true"])) {
            Self::Sudo
        } else {
            Self::None
        }
    }
}

/// The commands that install the need, to be tried until it is there. None if this user may not, or if it
/// is not a thing to install.
fn installation(need: &Need, rights: Rights) -> Option<Vec<Vec<String>>> {
    let sudo: &[&str] = match (need, rights) {
        (Need::Component(_) | Need::Target(_), _) | (Need::Package { .. }, Rights::Root) => &[],
        // -n: a question for a password would wait for ever in a log that nobody reads.
        (Need::Package { .. }, Rights::Sudo) => &["sudo", "-n"],
        (Need::Package { .. }, Rights::None) | (Need::File { .. }, _) => return None,
    };
    let command = |arguments: &[&str]| sudo.iter().chain(arguments).map(|a| a.to_string()).collect::<Vec<_>>();
    let install = install(need)?;
    let install: Vec<&str> = install.iter().map(String::as_str).collect();
    Some(match need {
        // A fresh container has no package lists at all, and old lists name versions that are gone.
        Need::Package { .. } => vec![command(&install), command(&["apt-get", "update"]), command(&install)],
        _ => vec![command(&install)],
    })
}

/// The command that installs the need, for a user who may.
fn install(need: &Need) -> Option<Vec<String>> {
    let words: Vec<String> = match need {
        Need::Component(name) => ["rustup", "component", "add", name].map(String::from).into(),
        Need::Target(target) => ["rustup", "target", "add", target].map(String::from).into(),
        Need::Package { name, provides } => {
            let mut words: Vec<String> =
                ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y"].map(String::from).into();
            if provides.starts_with("/usr/share/doc/") {
                // Container images tell dpkg to leave documentation out, perhaps when it installed this package.
                words.push("--reinstall".into());
                words.push("-o".into());
                words.push(format!("Dpkg::Options::=--path-include=/usr/share/doc/{name}/*"));
            }
            words.push(name.to_string());
            words
        }
        Need::File { .. } => return None,
    };
    Some(words)
}

fn missing(need: &Need, rights: Rights) -> Missing {
    let reason = match need {
        Need::Component(name) => format!("the Rust component {name} is not installed"),
        Need::Target(target) => format!("the Rust target {target} is not installed"),
        Need::Package { name, provides } => format!("{provides} is missing, which the Debian package {name} brings"),
        Need::File { folder, prefix, suffix } => format!("no file {folder}/{prefix}*{suffix} exists yet"),
    };
    let remedy = match (need, install(need)) {
        (Need::File { folder, prefix, suffix }, _) => format!("add {folder}/{prefix}*{suffix}"),
        (Need::Package { .. }, Some(words)) if rights != Rights::Root => format!("sudo {}", shell(&words)),
        (_, words) => shell(&words.unwrap_or_default()),
    };
    Missing { reason, remedy }
}

fn shell(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: Need = Need::Package { name: "qemu-system-x86", provides: "/usr/bin/qemu-system-x86_64" };
    const DOCS: Need = Need::Package { name: "rt-app", provides: "/usr/share/doc/rt-app/examples" };
    const FILE: Need = Need::File { folder: "examples", prefix: "mixed", suffix: ".toml" };
    const APT: &str = "env DEBIAN_FRONTEND=noninteractive apt-get install -y qemu-system-x86";

    fn lines(need: &Need, rights: Rights) -> Option<Vec<String>> {
        installation(need, rights).map(|commands| commands.iter().map(|command| shell(command)).collect())
    }

    #[test]
    fn packages_are_installed_by_whoever_may() {
        assert_eq!(lines(&PACKAGE, Rights::Root).unwrap(), [APT, "apt-get update", APT]);
        let with_sudo = lines(&PACKAGE, Rights::Sudo).unwrap();
        assert!(with_sudo.iter().all(|line| line.starts_with("sudo -n ")), "{with_sudo:?}");
        assert_eq!(lines(&PACKAGE, Rights::None), None);
    }

    #[test]
    fn documentation_is_asked_for() {
        let line = lines(&DOCS, Rights::Root).unwrap().swap_remove(0);
        assert!(
            line.ends_with("--reinstall -o 'Dpkg::Options::=--path-include=/usr/share/doc/rt-app/*' rt-app"),
            "{line}"
        );
    }

    #[test]
    fn rustup_needs_no_rights() {
        assert_eq!(lines(&Need::Component("clippy"), Rights::None).unwrap(), ["rustup component add clippy"]);
        assert_eq!(lines(&Need::Target("t"), Rights::Sudo).unwrap(), ["rustup target add t"]);
    }

    #[test]
    fn the_remedy_can_be_pasted() {
        assert_eq!(missing(&PACKAGE, Rights::None).remedy, format!("sudo {APT}"));
        assert_eq!(missing(&PACKAGE, Rights::Root).remedy, APT);
        assert_eq!(missing(&Need::Target("t"), Rights::None).remedy, "rustup target add t");
    }

    #[test]
    fn a_file_of_the_repository_cannot_be_installed() {
        assert_eq!(lines(&FILE, Rights::Root), None);
        let missing = missing(&FILE, Rights::Root);
        assert!(missing.reason.contains("examples/mixed*.toml") && missing.remedy.contains("add examples/mixed"));
    }
}
