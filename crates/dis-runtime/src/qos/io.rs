//! I/O that keeps to the bandwidth of the task's intent (`io_bandwidth`).
//!
//! Linux limits the I/O of processes ([`limit_process`]), not of threads, so it is done by whoever moves the bytes: what goes through [`Limited`]
//! is counted and delayed, other I/O of the task is not seen. All files and sockets of a task share its bandwidth. A burst of 10 ms is
//! allowed after a rest. In tasks without a limit, and outside of tasks, nothing is delayed.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};

pub use super::cgroup::{ProcessLimit, limit_process};
use crate::qos::bucket::Bucket;
use crate::qos::of_running;
use crate::{now, sleep_until};

/// A reader or writer that keeps to the bandwidth of the task that uses it. A read or write moves 10 ms' worth at most, so it
/// may be shorter than asked for, as it always may.
#[derive(Debug, Clone, Default)]
pub struct Limited<T>(T);

impl<T> Limited<T> {
    /// Wraps a file, a socket, or whatever else.
    pub fn new(inner: T) -> Self {
        Limited(inner)
    }

    /// What is wrapped.
    pub fn get_ref(&self) -> &T {
        &self.0
    }

    /// What is wrapped; I/O on it is not counted.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// Gives back what was wrapped.
    pub fn into_inner(self) -> T {
        self.0
    }
}

fn bucket() -> Option<&'static Bucket> {
    of_running().and_then(|limits| limits.io.as_ref())
}

/// Waits until the task may go on, lets `transfer` move what fits, and counts it.
fn transfer(wanted: usize, transfer: impl FnOnce(usize) -> io::Result<usize>) -> io::Result<usize> {
    let Some(bucket) = bucket() else { return transfer(wanted) };
    if bucket.ready_at() > now() {
        sleep_until(bucket.ready_at());
    }
    let moved = transfer(wanted.min(bucket.piece()))?;
    bucket.take(now(), moved);
    Ok(moved)
}

impl<T: Read> Read for Limited<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        transfer(buffer.len(), |most| self.0.read(&mut buffer[..most]))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        buffers.iter_mut().find(|buffer| !buffer.is_empty()).map_or(Ok(0), |buffer| self.read(buffer))
    }
}

impl<T: Write> Write for Limited<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        transfer(buffer.len(), |most| self.0.write(&buffer[..most]))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        buffers.iter().find(|buffer| !buffer.is_empty()).map_or(Ok(0), |buffer| self.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<T: Seek> Seek for Limited<T> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// For futures, around I/O of any kind: waits until the task's bandwidth allows the next transfer. Tell it afterwards what was moved, by
/// [`moved`].
pub async fn ready() {
    if let Some(bucket) = bucket() {
        crate::future::sleep_until(bucket.ready_at()).await;
    }
}

/// Counts a transfer of `bytes` that the running task has made; the next [`ready`], or use of a [`Limited`], waits accordingly.
pub fn moved(bytes: usize) {
    if let Some(bucket) = bucket() {
        bucket.take(now(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::{Intent, Runtime};
    use std::time::{Duration, Instant};

    fn slow(rate: u32) -> Intent {
        let mut intent = Intent::batch();
        intent.qos.io_bandwidth = Some(rate);
        intent
    }

    /// Never shorter than the rate allows; how much longer is the machine's affair.
    #[test]
    fn a_task_does_not_write_faster_than_its_bandwidth() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let folder = Scratch::new();
        let path = folder.join("file");
        let file = std::fs::File::create(&path).unwrap();
        let taken = rt.spawn_fn(slow(500), move || {
            let (mut file, start) = (Limited::new(file), Instant::now());
            file.write_all(&[7; 100_000]).unwrap();
            start.elapsed()
        });
        let taken = taken.unwrap().join().unwrap();
        assert!(taken >= Duration::from_millis(190 - 10), "100 KB at 500 KB/s in {taken:?}");
        assert_eq!(std::fs::read(&path).unwrap(), [7; 100_000]);
    }

    #[test]
    fn reads_and_writes_share_it_and_other_tasks_have_their_own() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let work = || {
            let start = Instant::now();
            let (mut from, mut to) = (Limited::new(io::repeat(1).take(25_000)), Limited::new(Vec::new()));
            io::copy(&mut from, &mut to).unwrap();
            assert_eq!(to.into_inner().len(), 25_000);
            start.elapsed()
        };
        let limited = [0, 1].map(|_| rt.spawn_fn(slow(500), work).unwrap());
        let free = rt.spawn_fn(Intent::batch(), || bucket().is_none()).unwrap();
        assert!(free.join().unwrap());
        for task in limited {
            let taken = task.join().unwrap();
            assert!(taken >= Duration::from_millis(100 - 20), "50 KB at 500 KB/s in {taken:?}");
        }
    }

    #[test]
    fn a_future_waits_without_its_thread() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        let taken = rt.spawn(slow(100), async {
            let start = Instant::now();
            for _ in 0..10 {
                ready().await;
                moved(1_000);
            }
            ready().await;
            start.elapsed()
        });
        let taken = taken.unwrap().join().unwrap();
        assert!(taken >= Duration::from_millis(100 - 10), "10 KB at 100 KB/s in {taken:?}");
    }
}
