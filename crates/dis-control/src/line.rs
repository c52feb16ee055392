//! Lines from a socket, limited in length and in time.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Cuts what comes into lines.
pub(crate) struct Lines {
    longest: usize,
    /// What has come and was not given out; never longer than `longest` and a chunk.
    buffer: Vec<u8>,
    /// How much of it is known to hold no newline.
    seen: usize,
}

/// Why there is no further line.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The other side has closed.
    Closed,
    /// Longer than allowed.
    TooLong,
    /// It did not come in time.
    TooSlow,
    /// The socket failed.
    Failed(io::Error),
}

const CHUNK: usize = 4096;

impl Lines {
    pub(crate) fn new(longest: usize) -> Lines {
        Lines { longest, buffer: Vec::new(), seen: 0 }
    }

    /// The next line, without its newline. It may take `idle` until it begins, and `whole` from then to its end.
    pub(crate) fn next(&mut self, stream: &mut UnixStream, idle: Duration, whole: Duration) -> Result<Vec<u8>, Stop> {
        let mut until = Instant::now() + if self.buffer.is_empty() { idle } else { whole };
        loop {
            if let Some(end) = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..self.seen + end + 1).collect();
                line.pop();
                self.seen = 0;
                return if line.len() < self.longest { Ok(line) } else { Err(Stop::TooLong) };
            }
            self.seen = self.buffer.len();
            if self.seen >= self.longest {
                return Err(Stop::TooLong);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::TooSlow);
            }
            stream.set_read_timeout(Some(left)).map_err(Stop::Failed)?;
            let mut chunk = [0; CHUNK];
            match stream.read(&mut chunk) {
                Ok(0) => return Err(Stop::Closed),
                Ok(count) => {
                    if self.buffer.is_empty() {
                        until = Instant::now() + whole;
                    }
                    self.buffer.extend_from_slice(&chunk[..count]);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    _ => return Err(Stop::Failed(error)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SOON: Duration = Duration::from_millis(30);
    const LATE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_are_cut_wherever_chunks_end() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"one\n\ntw").unwrap();
        let mut lines = Lines::new(8);
        assert_eq!(lines.next(&mut here, LATE, LATE).unwrap(), b"one");
        assert_eq!(lines.next(&mut here, LATE, LATE).unwrap(), b"");
        assert!(matches!(lines.next(&mut here, LATE, SOON), Err(Stop::TooSlow)), "the rest does not come");
        there.write_all(b"o\n").unwrap();
        assert_eq!(lines.next(&mut here, LATE, LATE).unwrap(), b"two");
        drop(there);
        assert!(matches!(lines.next(&mut here, LATE, LATE), Err(Stop::Closed)));
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || there.write_all(&[b'x'; 1 << 20]));
        let mut lines = Lines::new(10_000);
        assert!(matches!(lines.next(&mut here, LATE, LATE), Err(Stop::TooLong)));
        assert!(lines.buffer.len() < 10_000 + CHUNK);
        drop(here);
        let _ = writer.join().unwrap();
        let (mut here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"12345678\n").unwrap();
        assert!(matches!(Lines::new(8).next(&mut here, LATE, LATE), Err(Stop::TooLong)), "also if its end has come");
    }
}
