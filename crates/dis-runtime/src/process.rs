//! Other threads and processes that a task starts.
//!
//! A task's thread is pinned to its worker's CPU, and its timeouts are exact (a timer slack of 1 ns). Linux hands both down: a child process,
//! or a thread that a task makes, has one CPU and wakes up early for every timeout. These functions give it what the
//! process had when its first runtime was built. Signals need no care: tasks have the mask that they would have on any thread, handlers
//! end with `exec`, and a real-time policy of the workers is not handed down.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use crate::klt;
use crate::sys::{self, CpuWords};

/// What threads had before there was a runtime.
#[derive(Clone, Copy)]
struct Before {
    cpus: CpuWords,
    slack: u64,
}

static BEFORE: OnceLock<Option<Before>> = OnceLock::new();

/// Remembers what the calling thread has, at the first call.
pub(crate) fn remember() {
    before();
}

fn before() -> Option<Before> {
    *BEFORE.get_or_init(|| Some(Before { cpus: sys::affinity().ok()?, slack: sys::timer_slack()? }))
}

impl Before {
    /// Async-signal-safe.
    fn restore(&self) -> io::Result<()> {
        sys::set_affinity(0, &self.cpus)?;
        sys::set_timer_slack(self.slack)
    }
}

fn unknown() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the system did not tell the CPUs of the process when its first runtime was built",
    )
}

/// Lets the child process use all CPUs that this process may use, with the ordinary timer slack. It is forked then, not spawned as
/// `vfork` does, which takes the longer the more memory this process uses.
///
/// ```
/// use dis_runtime::process::inherit_all_cpus;
/// let mut command = std::process::Command::new("nproc");
/// let output = inherit_all_cpus(&mut command)?.output()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If the system did not tell which CPUs those are. `spawn` fails if the child may use none of them any more.
pub fn inherit_all_cpus(command: &mut Command) -> io::Result<&mut Command> {
    let before = before().ok_or_else(unknown)?;
    // SAFETY: two system calls on copied words: nothing that is not allowed between fork and exec.
    unsafe { command.pre_exec(move || before.restore()) };
    Ok(command)
}

/// Lets the calling thread use all CPUs that the process may use, with the ordinary timer slack: for the beginning of a thread
/// that a task has made.
///
/// # Errors
/// In a task, whose thread belongs to its worker; if the system refuses.
pub fn use_all_cpus() -> io::Result<()> {
    if klt::this().is_some() {
        let why = "a task runs on the CPU of its worker; see TaskBuilder::affinity";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    before().ok_or_else(unknown)?.restore()
}
