//! `dis module new`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::NewArgs;
use crate::failure::Failure;
use crate::output::Stream;

/// Writes the crate.
pub fn run(args: &NewArgs) -> Result<ExitCode, Failure> {
    let crates = match &args.crates {
        Some(folder) => Some(fs::canonicalize(folder).map_err(|error| unreadable(folder, &error.to_string()))?),
        None => own_crates(),
    };
    if let Some(folder) = crates.as_deref().filter(|folder| !folder.join("dis-module/Cargo.toml").is_file()) {
        return Err(unreadable(folder, "it has no crate dis-module"));
    }
    let files = dis_module::template(&args.name, crates.as_deref()).map_err(Failure::bad_input)?;
    let folder = args.path.clone().unwrap_or_else(|| args.name.clone().into());
    let failed = |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    if folder.exists() {
        return Err(Failure::bad_input(format!(
            "{}: is there already; remove it, or give another place with --path",
            folder.display()
        )));
    }
    fs::create_dir_all(folder.join("src")).map_err(failed)?;
    for (path, text) in files {
        fs::write(folder.join(path), text).map_err(failed)?;
    }
    let (folder, library) = (folder.display(), args.name.replace('-', "_"));
    let published = match crates {
        Some(_) => "",
        None => " It depends on the crates of DIS in the registry; with --crates FOLDER on those of a checkout.",
    };
    Stream::Out.write(&format!(
        "{folder}: a module '{name}'.{published} Build and check it with\n  cargo build --release --manifest-path \
         {folder}/Cargo.toml\n  dis module check {folder}/target/release/lib{library}.so\n",
        name = args.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The crates that this program was built from, if they are still where they were.
fn own_crates() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    folder.join("dis-module/Cargo.toml").is_file().then(|| folder.to_path_buf())
}

fn unreadable(folder: &Path, why: &str) -> Failure {
    Failure::bad_input(format!("--crates {}: {why}; name the folder `crates` of DIS's sources", folder.display()))
}
