//! The side that controls.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::line::{Lines, Stop};
use crate::protocol::{self, Command, LONGEST_REPLY, Refusal, Reply, TaskRow};

/// How long a reply may take: a module may take its time to be loaded.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a process that can be controlled.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    lines: Lines,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no such file.
    NotThere(PathBuf),
    /// It is a file of another kind.
    NoSocket(PathBuf),
    /// The process that made the socket is gone.
    Stale(PathBuf),
    /// It belongs to another user.
    NotPermitted(PathBuf),
    /// The connection failed, or the process has ended.
    Lost(PathBuf, String),
    /// The process refuses.
    Refused(Refusal),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotThere(path) => write!(f, "{}: there is no such socket", path.display()),
            ClientError::NoSocket(path) => {
                write!(f, "{}: is no socket; name the control socket of a process", path.display())
            }
            ClientError::Stale(path) => {
                write!(f, "{}: the process that made this socket is gone; the file can be removed", path.display())
            }
            ClientError::NotPermitted(path) => {
                write!(
                    f,
                    "{}: the process belongs to another user; only that user and root may control it",
                    path.display()
                )
            }
            ClientError::Lost(path, why) => write!(f, "{}: {why}", path.display()),
            ClientError::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}

impl std::error::Error for ClientError {}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there, or this user may not.
    pub fn connect(path: impl AsRef<Path>) -> Result<Client, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ClientError::NotThere(path.into()),
            // Linux says so of files that are no sockets, too.
            ErrorKind::ConnectionRefused if !is_socket(path) => ClientError::NoSocket(path.into()),
            ErrorKind::ConnectionRefused => ClientError::Stale(path.into()),
            ErrorKind::PermissionDenied => ClientError::NotPermitted(path.into()),
            _ => ClientError::Lost(path.into(), format!("cannot connect: {error}")),
        })?;
        let client = Client { stream, path: path.into(), lines: Lines::new(LONGEST_REPLY) };
        client.stream.set_write_timeout(Some(PATIENCE)).map_err(|error| client.lost(&error))?;
        Ok(client)
    }

    fn lost(&self, error: &io::Error) -> ClientError {
        ClientError::Lost(self.path.clone(), format!("the connection failed: {error}"))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The process is gone, does not answer, or refuses.
    pub fn ask(&mut self, command: &Command) -> Result<Reply, ClientError> {
        let sent = self.stream.write_all(&protocol::encode(command));
        let lost = |why: &str| ClientError::Lost(self.path.clone(), why.into());
        let ended = "the process has closed the connection: it has ended, or has too many clients";
        let line = match (self.lines.next(&mut self.stream, PATIENCE, PATIENCE), sent) {
            // One that is refused is told so and cannot send any more.
            (Ok(line), _) => line,
            (Err(Stop::Closed), _) => return Err(lost(ended)),
            (Err(_), Err(error)) if error.kind() == ErrorKind::BrokenPipe => return Err(lost(ended)),
            (Err(Stop::Failed(error)), _) if error.kind() == ErrorKind::ConnectionReset => return Err(lost(ended)),
            (Err(_), Err(error)) | (Err(Stop::Failed(error)), _) => return Err(self.lost(&error)),
            (Err(Stop::TooSlow), _) => return Err(lost("the process does not answer")),
            (Err(Stop::TooLong), _) => return Err(lost("the reply is longer than the protocol allows")),
        };
        match protocol::decode(&line) {
            Ok(Reply::Error(refusal)) | Err(refusal) => Err(ClientError::Refused(refusal)),
            Ok(reply) => Ok(reply),
        }
    }

    /// All live tasks. A task that moves meanwhile may be missing, or there twice; the later row is kept.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn tasks(&mut self) -> Result<Vec<TaskRow>, ClientError> {
        let (mut all, mut from) = (Vec::<TaskRow>::new(), 0);
        loop {
            let Reply::Tasks { tasks, next } = self.ask(&Command::Tasks { from })? else { return Err(self.strange()) };
            all.extend(tasks);
            match next {
                Some(next) if next > from => from = next,
                _ => break,
            }
        }
        // Stable, so of two rows the later one comes last.
        all.sort_by_key(|task| task.id);
        all.reverse();
        all.dedup_by_key(|task| task.id);
        all.reverse();
        Ok(all)
    }

    /// The reply is not one to the question.
    pub fn strange(&self) -> ClientError {
        ClientError::Lost(self.path.clone(), "the process answers another question".into())
    }
}
