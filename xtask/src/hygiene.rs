//! What must not be in a tracked file: unfinished code, tests that are switched off, paths of one machine.

use crate::context::Context;
use crate::process;
use std::fs;
use std::path::Path;
use std::time::Duration;

const GIT_LIMIT: Duration = Duration::from_secs(60);
/// How much of a file is looked at to tell whether it is text, as git does.
const BINARY_PROBE: usize = 8000;

// All patterns are written in two halves: this file is itself one of those that are checked.

/// Not in Rust code, anywhere.
const CODE: [&str; 3] = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("#[ig", "nore")];
/// Not in Rust code, as a word of its own. (Templates of temporary file names end in six X's; that is no word.)
const WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];
/// Folders whose next part is the name of a person.
const HOMES: [&str; 2] = [concat!("/ho", "me/"), concat!("/Us", "ers/")];
/// The home of whoever works in a container.
const ROOT_HOME: &str = concat!("/ro", "ot/");

/// Checks every tracked file, as it is in the working tree.
pub fn check(context: &Context) -> Result<(), String> {
    let (output, result) = process::capture(context.command("git").args(["ls-files", "-z"]), GIT_LIMIT);
    result.map_err(|why| format!("git ls-files: {why}"))?;
    let checkout = checkout(&context.root);
    let names = String::from_utf8_lossy(&output);
    let (mut files, mut problems) = (0, 0);
    for name in names.split_terminator('\0') {
        let path = context.root.join(name);
        if !path.is_file() {
            continue; // deleted but not yet committed
        }
        let bytes = fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
        if bytes[..bytes.len().min(BINARY_PROBE)].contains(&0) {
            continue;
        }
        files += 1;
        for (number, line) in (1..).zip(String::from_utf8_lossy(&bytes).lines()) {
            for problem in problems_of(line, name.ends_with(".rs"), checkout.as_deref()) {
                println!("{name}:{number}: {problem}");
                problems += 1;
            }
        }
    }
    println!("{files} files checked");
    if problems == 0 { Ok(()) } else { Err(format!("problems: {problems}")) }
}

/// The path of this checkout, if it is long enough to mean a place of one machine: a checkout at `/src` must not
/// forbid that word.
fn checkout(root: &Path) -> Option<String> {
    let path = root.to_str()?;
    (root.is_absolute() && root.components().count() >= 3).then(|| path.to_string())
}

fn problems_of(line: &str, rust: bool, checkout: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    if rust {
        let words = WORDS.iter().filter(|word| has(line, word, not_in_word, not_in_word));
        for pattern in CODE.iter().filter(|pattern| line.contains(**pattern)).chain(words) {
            problems.push(format!("{pattern} is unfinished code or a test that does not run"));
        }
    }
    let home = HOMES.iter().find(|home| has(line, home, begins_path, in_name));
    let root_home = has(line, ROOT_HOME, begins_path, in_name).then_some(&ROOT_HOME);
    let here = checkout.filter(|path| has(line, path, begins_path, |next| !in_name(next)));
    if let Some(path) = here.or(home.or(root_home).copied()) {
        problems.push(format!("a path of one machine: {path}"));
    }
    problems
}

/// Whether the line holds the pattern between such neighbours; `None` is the end of the line.
fn has(line: &str, pattern: &str, before: fn(Option<char>) -> bool, after: fn(Option<char>) -> bool) -> bool {
    line.match_indices(pattern)
        .any(|(at, _)| before(line[..at].chars().next_back()) && after(line[at + pattern.len()..].chars().next()))
}

fn not_in_word(neighbour: Option<char>) -> bool {
    !neighbour.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// A path that goes on from the left is not absolute.
fn begins_path(before: Option<char>) -> bool {
    !before.is_some_and(|c| c.is_alphanumeric() || "_-.~}>)*".contains(c))
}

fn in_name(after: Option<char>) -> bool {
    after.is_some_and(|c| c.is_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(line: &str) -> bool {
        problems_of(line, true, Some("/srv/dis")).is_empty()
    }

    #[test]
    fn unfinished_code_is_found() {
        for pattern in CODE.iter().chain(&WORDS) {
            assert!(!clean(&format!("    {pattern}\"later\")")), "{pattern}");
            assert!(problems_of(pattern, false, None).is_empty(), "{pattern} matters in Rust code only");
        }
        assert!(!clean(&format!("// {}: later", WORDS[0])));
        assert!(clean("mkdtemp(\"/tmp/dis.XXXXXX\")"));
        assert!(clean("let prefixes = names(XXXL);"));
        assert!(clean("the word todo, and ignore, and unimplemented"));
    }

    #[test]
    fn paths_of_people_are_found() {
        for line in [
            format!("see {}someone/dis", HOMES[0]),
            format!("\"{}someone\"", HOMES[1]),
            format!("{}.cargo/bin", ROOT_HOME),
            format!("file://{}x", HOMES[0]),
            "cd /srv/dis && make".to_string(),
            "at /srv/dis/src/lib.rs:3".to_string(),
        ] {
            assert!(!clean(&line), "{line}");
            assert!(!problems_of(&line, false, Some("/srv/dis")).is_empty(), "{line}");
        }
    }

    #[test]
    fn other_paths_are_fine() {
        for line in [
            format!("https://example.org{}page", HOMES[0]),
            format!("{}<user>/x", HOMES[0]),
            format!("$HOME{}x", HOMES[0]),
            format!("target{}x", ROOT_HOME),
            format!("{} is a folder", ROOT_HOME),
            "/srv/distance and /usr/share/doc".to_string(),
        ] {
            assert!(clean(&line), "{line}");
        }
    }

    #[test]
    fn a_short_checkout_path_is_no_pattern() {
        assert_eq!(checkout(Path::new("/src")), None);
        assert_eq!(checkout(Path::new("/")), None);
        assert_eq!(checkout(Path::new("relative/path/here")), None);
        assert_eq!(checkout(Path::new("/builds/dis")), Some("/builds/dis".into()));
    }
}
