//! What this project builds upon: licences, where the code comes from, and a lock file that says so.

use crate::context::Context;
use crate::process;
use serde_json::Value;
use std::time::Duration;

/// Cargo may download all dependencies for this.
const METADATA_LIMIT: Duration = Duration::from_secs(300);
const GIT_LIMIT: Duration = Duration::from_secs(60);
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that allow use under `MIT OR Apache-2.0` with no more than a notice.
const ALLOWED: [&str; 12] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
];

/// Checks all packages of the workspace and all that they depend on.
pub fn check(context: &Context) -> Result<(), String> {
    // The packages for this machine only: the others would be downloaded for nothing.
    let host = host(context)?;
    let arguments = ["metadata", "--format-version", "1", "--filter-platform", &host];
    let (output, result) = process::capture(&mut context.cargo(&arguments), METADATA_LIMIT);
    result.map_err(|why| format!("cargo metadata: {why}"))?;
    let metadata: Value = serde_json::from_slice(&output).map_err(|error| format!("cargo metadata: {error}"))?;
    let mut problems = problems_of(&metadata);
    if context.ci && !lock_file_is_committed(context) {
        // Cargo has just completed it in silence. Only a clean clone shows that; a developer may be in the middle.
        problems.push("Cargo.lock is not what is committed; commit the one that cargo writes".into());
    }
    for problem in &problems {
        println!("{problem}");
    }
    println!("{} packages checked", packages(&metadata).len());
    if problems.is_empty() { Ok(()) } else { Err(format!("problems: {}", problems.len())) }
}

fn host(context: &Context) -> Result<String, String> {
    let (output, result) = process::capture(context.command("rustc").args(["--print", "host-tuple"]), GIT_LIMIT);
    result.map_err(|why| format!("rustc: {why}"))?;
    Ok(String::from_utf8_lossy(&output).trim().to_string())
}

fn lock_file_is_committed(context: &Context) -> bool {
    let mut git = context.command("git");
    process::succeeds(git.args(["ls-files", "--error-unmatch", "Cargo.lock"]))
        && process::succeeds(context.command("git").args(["diff", "--quiet", "HEAD", "--", "Cargo.lock"]))
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().map_or(&[], Vec::as_slice)
}

fn problems_of(metadata: &Value) -> Vec<String> {
    packages(metadata)
        .iter()
        .flat_map(|package| {
            let field = |name: &str| package[name].as_str();
            let (name, version) = (field("name").unwrap_or("?"), field("version").unwrap_or("?"));
            let licence = match field("license") {
                Some(expression) if allowed(expression) => None,
                Some(expression) => Some(format!("{name} {version}: the licence {expression:?} is not in the list")),
                None => Some(format!("{name} {version}: no licence is declared")),
            };
            // Without a source, it is a folder of this workspace.
            let source = field("source").filter(|source| *source != REGISTRY);
            let source = source.map(|source| format!("{name} {version}: comes from {source}, not from crates.io"));
            [licence, source]
        })
        .flatten()
        .collect()
}

/// Whether an SPDX expression can be met with licences of the list. What cannot be read is not allowed.
fn allowed(expression: &str) -> bool {
    // A slash is an old way to write OR.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let result = any(&mut words);
    words.next().is_none() && result == Some(true)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words) -> Option<bool> {
    let mut result = all(words)?;
    while words.next_if_eq(&"OR").is_some() {
        result |= all(words)?;
    }
    Some(result)
}

fn all(words: &mut Words) -> Option<bool> {
    let mut result = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        result &= one(words)?;
    }
    Some(result)
}

fn one(words: &mut Words) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let result = any(words)?;
        return (words.next()? == ")").then_some(result);
    }
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next()?;
        return Some(ALLOWED.contains(&format!("{word} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "MIT OR GPL-3.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "Zlib AND (GPL-2.0 OR ISC)",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "GPL-3.0 AND MIT",
            "(MIT OR Apache-2.0) AND GPL-2.0",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "MIT OR",
            "MIT WITH",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn packages_are_judged_by_licence_and_source() {
        let package = |license: Value, source: Value| json!({"packages": [{"name": "p", "version": "1.0.0", "license": license, "source": source}]});
        assert!(problems_of(&package("MIT".into(), REGISTRY.into())).is_empty());
        assert!(problems_of(&package("MIT OR Apache-2.0".into(), Value::Null)).is_empty());
        assert!(problems_of(&package("GPL-3.0".into(), REGISTRY.into()))[0].contains("GPL-3.0"));
        assert!(problems_of(&package(Value::Null, REGISTRY.into()))[0].contains("no licence"));
        assert!(problems_of(&package("MIT".into(), "git+https://example.org/p".into()))[0].contains("example.org"));
    }
}
