//! A new module, to begin with.

use std::path::Path;

/// The files of a new module's crate: where, and what is in them. It depends on the crates of DIS in `crates`, a folder, or
/// else on those that are published under this version.
///
/// # Errors
/// A name that no crate can have.
pub fn template(name: &str, crates: Option<&Path>) -> Result<[(&'static str, String); 3], String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(good) {
        return Err(format!("`{name}` is no name for a module: take a-z, 0-9, `-` and `_`, a letter first"));
    }
    let depend = |text: String, on: &str| {
        let options = ", default-features = false";
        // What the crate needs for its tests comes with it.
        let value = match crates {
            Some(folder) => format!("{{ path = {:?}{options} }}", folder.join(on).to_string_lossy()),
            None => format!("{{ version = \"{}\"{options} }}", env!("CARGO_PKG_VERSION")),
        };
        text.replace(&format!("DEPENDENCY({on})"), &value)
    };
    let named = |text: &str| text.replace("my-policy", name).replace("my_policy", &name.replace('-', "_"));
    let manifest = depend(depend(named(include_str!("../template/Cargo.toml.in")), "dis-core"), "dis-module");
    Ok([
        ("Cargo.toml", manifest),
        ("src/lib.rs", named(include_str!("../template/lib.rs"))),
        (".gitignore", "/target\n".into()),
    ])
}
