//! The socket's place in the file system, and who may connect.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketError {
    /// Another process answers there.
    InUse(PathBuf),
    /// Something else is there, which is not removed.
    NoSocket(PathBuf),
    /// The system refuses.
    System(PathBuf, io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::InUse(path) => {
                write!(f, "{}: another process is controlled there; name another place", path.display())
            }
            SocketError::NoSocket(path) => {
                write!(f, "{}: is there and no socket; name another place", path.display())
            }
            SocketError::System(path, error) => write!(f, "{}: cannot make the socket: {error}", path.display()),
        }
    }
}

impl std::error::Error for SocketError {}

/// A listening socket in its place, which is removed with it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what is removed is this socket, not one that has taken its place.
    identity: (u64, u64),
}

impl Place {
    /// Makes the socket with mode 0600; one that a process has left behind is replaced.
    pub(crate) fn claim(path: &Path) -> Result<Place, SocketError> {
        let system = |error| SocketError::System(path.into(), error);
        // It comes into its place with its mode, and only if nothing is there.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let _ = fs::remove_file(&aside);
        let listener = UnixListener::bind(&aside).map_err(system)?;
        let placed = (|| {
            fs::set_permissions(&aside, Permissions::from_mode(0o600)).map_err(system)?;
            let meta = fs::metadata(&aside).map_err(system)?;
            loop {
                match fs::hard_link(&aside, path) {
                    Ok(()) => return Ok((meta.dev(), meta.ino())),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_stale(path)?,
                    Err(error) => return Err(system(error)),
                }
            }
        })();
        let _ = fs::remove_file(&aside);
        Ok(Place { listener, path: path.into(), identity: placed? })
    }
}

impl Place {
    /// Removes the socket from the file system.
    pub(crate) fn remove(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes a socket at which nobody listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let system = |error| SocketError::System(path.into(), error);
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {}
        Ok(_) => return Err(SocketError::NoSocket(path.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(system(error)),
            _ => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(system(error)),
        _ => Err(SocketError::InUse(path.into())),
    }
}

/// The user of the other side, if it may not control this process.
pub(crate) fn stranger(stream: &UnixStream) -> Option<u32> {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) if may(peer.uid.as_raw(), rustix::process::geteuid().as_raw()) => None,
        Ok(peer) => Some(peer.uid.as_raw()),
        Err(_) => Some(u32::MAX),
    }
}

/// Whether `user` may control a process of `owner`.
fn may(user: u32, owner: u32) -> bool {
    user == owner || user == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("dis-control-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_socket_is_its_users_alone_and_goes_with_its_process() {
        let folder = folder("mode");
        let path = folder.join("s");
        let place = Place::claim(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        assert!(matches!(Place::claim(&path), Err(SocketError::InUse(_))));
        drop(place);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn what_a_dead_process_has_left_is_replaced_and_nothing_else() {
        let folder = folder("stale");
        let path = folder.join("s");
        drop(UnixListener::bind(&path).unwrap());
        let place = Place::claim(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file of somebody's").unwrap();
        drop(place);
        assert!(matches!(Place::claim(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file of somebody's");
        let error = Place::claim(&folder.join("no/s")).unwrap_err().to_string();
        assert!(error.contains("cannot make the socket: No such file"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_the_same_user_or_root_may() {
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(stranger(&here), None);
        assert!(may(1000, 1000) && may(0, 1000));
        assert!(!may(1000, 0) && !may(1001, 1000));
    }
}
