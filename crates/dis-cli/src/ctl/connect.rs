//! Which process, and what it means if it does not answer.

use std::path::{Path, PathBuf};

use dis_control::protocol::Kind;
use dis_control::{Client, ClientError};

use crate::failure::Failure;

/// Where sockets are without another choice, if the system has such a place.
pub fn usual_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    (folder.is_absolute() && folder.is_dir()).then_some(folder)
}

/// Connects to the socket that was named, or to the only one in the usual place.
///
/// # Errors
/// There is none, or more than one, or nobody answers there.
pub fn connect(socket: Option<&Path>) -> Result<Client, Failure> {
    if let Some(path) = socket {
        return Client::connect(path).map_err(|error| failure(&error));
    }
    let nobody = |why: String| Failure { code: 3, message: format!("{why}; name its socket with --socket") };
    let Some(folder) = usual_folder() else {
        return Err(nobody("there is no XDG_RUNTIME_DIR to look for a process in".into()));
    };
    let mut found: Vec<(PathBuf, Client)> =
        sockets(&folder).filter_map(|path| Some((path.clone(), Client::connect(path).ok()?))).collect();
    match found.len() {
        1 => Ok(found.remove(0).1),
        0 => Err(nobody(format!("no process answers in {}", folder.display()))),
        _ => {
            let names: Vec<_> = found.iter().map(|(path, _)| path.display().to_string()).collect();
            Err(nobody(format!("there is more than one process:\n  {}\nchoose one", names.join("\n  "))))
        }
    }
}

fn sockets(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.strip_prefix("dis-")
            .and_then(|rest| rest.strip_suffix(".sock"))
            .is_some_and(|pid| pid.parse::<u32>().is_ok())
    })
}

/// The exit code and the text for what went wrong.
pub fn failure(error: &ClientError) -> Failure {
    let code = match error {
        ClientError::Refused(refusal) if !matches!(refusal.kind, Kind::NotPermitted | Kind::Version) => 1,
        _ => 3,
    };
    Failure { code, message: error.to_string() }
}
