//! Child processes with a time limit.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Runs a command whose output goes where ours goes, as it comes.
pub fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    let mut child = spawn(command.stdin(Stdio::null()))?;
    verdict(wait(&mut child, limit)?)
}

/// Runs a command and returns its standard output; its errors go where ours go. The output comes back also
/// when the command fails, beside the reason.
pub fn capture(command: &mut Command, limit: Duration) -> (Vec<u8>, Result<(), String>) {
    let (output, status) = capture_status(command, limit);
    (output, status.and_then(verdict))
}

/// The same, for a command whose exit code means more than success or not.
pub fn capture_status(command: &mut Command, limit: Duration) -> (Vec<u8>, Result<ExitStatus, String>) {
    let mut child = match spawn(command.stdin(Stdio::null()).stdout(Stdio::piped())) {
        Ok(child) => child,
        Err(message) => return (Vec::new(), Err(message)),
    };
    let pipe = child.stdout.take();
    // In a thread of its own: a full pipe would stop the child, and a blocking read would void the limit.
    let reader = thread::spawn(move || {
        let mut output = Vec::new();
        let read = pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut output));
        (output, read.map_err(|error| format!("reading the output: {error}")))
    });
    let result = wait(&mut child, limit);
    let (output, read) = reader.join().unwrap_or_else(|_| (Vec::new(), Err("the reader of the output died".into())));
    (output, read.and(result))
}

/// Whether a command succeeds; says nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.spawn().map_err(|error| format!("cannot start {}: {error}", command.get_program().to_string_lossy()))
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() >= limit => {
                kill_tree(child);
                return Err(format!("still running after {} s, killed", limit.as_secs()));
            }
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(format!("waiting: {error}")),
        }
    }
}

fn verdict(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Kills a child and all that descends from it: killing cargo alone would leave the test that hangs.
///
/// The processes stay in our process group (else Ctrl-C at the terminal would not reach them), so the group
/// cannot be used for this.
fn kill_tree(child: &mut Child) {
    // Parents first: a shell whose child is killed would go on with its next command.
    let pids: Vec<String> = family(child.id(), &parents()).iter().map(u32::to_string).collect();
    // The shell's own `kill`; a minimal system has no other.
    let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL {}", pids.join(" "))).stderr(Stdio::null()).status();
    let _ = child.kill();
    let _ = child.wait();
}

/// All processes as pairs of process and parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// The parent in the text of `/proc/PID/stat`. The name before it may hold spaces and parentheses.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// `root` and all that descends from it, each behind its parent.
fn family(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        for &(child, _) in parents.iter().filter(|(_, parent)| *parent == pid) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("12 (a (b) c) S 7 12 12 0 -1"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn a_family_is_transitive_and_parents_come_first() {
        let parents = [(4, 3), (2, 1), (3, 2), (5, 1), (6, 9)];
        assert_eq!(family(2, &parents), [2, 3, 4]);
        assert_eq!(family(4, &parents), [4]);
    }

    #[test]
    fn the_limit_kills_grandchildren_that_hold_the_pipe() {
        let start = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "echo started; (sleep 60; echo late); echo later"]);
        let (output, result) = capture(&mut command, Duration::from_millis(500));
        assert_eq!(output, b"started\n");
        assert!(result.unwrap_err().contains("killed"));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_failure_says_its_status_and_keeps_the_output() {
        let (output, result) = capture(Command::new("sh").args(["-c", "echo out; exit 3"]), Duration::from_secs(30));
        assert_eq!(output, b"out\n");
        assert!(result.unwrap_err().contains('3'));
        assert!(run(&mut Command::new("no-such-program-anywhere"), POLL).unwrap_err().contains("cannot start"));
    }
}
