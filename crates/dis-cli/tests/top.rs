//! `dis top` in a terminal, beside a run that keeps its CPUs busy.

mod common;

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{Folder, MIXED, command};
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::{Parser, Screen};

/// How long to wait for what must come; a loaded machine may need much of it.
const PATIENCE: Duration = Duration::from_secs(60);

const SIZE: PtySize = PtySize { rows: 40, cols: 160, pixel_width: 0, pixel_height: 0 };

/// `dis run` in a process of its own, which ends with the test.
struct Run(Child);

impl Run {
    fn start(folder: &Folder) -> (Run, String) {
        let (file, socket) = (folder.file("w.toml", MIXED), folder.path("control"));
        let mut dis = command();
        dis.args(["run", &file, "--duration", "300s", "--no-progress", "--control", &socket]);
        let run = Run(dis.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while !command().args(["ctl", "tasks", "--socket", &socket]).output().unwrap().status.success() {
            assert!(Instant::now() < until, "the run does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        (run, socket)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A terminal in which a shell waits for a line, runs `dis top`, says how it ended, and waits for another line. (If `dis top` had the
/// terminal to itself, Linux would restore it at its end.)
struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<(Mutex<Parser>, Condvar)>,
    shell: Box<dyn portable_pty::Child + Send + Sync>,
}

impl Terminal {
    fn open(socket: &str) -> Terminal {
        let pty = native_pty_system().openpty(SIZE).unwrap();
        let mut shell = CommandBuilder::new("sh");
        shell.args(["-c", r#"read -r _; "$@"; echo "it ended with $?"; read -r _"#, "sh"]);
        shell.args([env!("CARGO_BIN_EXE_dis"), "top", "--socket", socket, "--every", "100ms"]);
        shell.env("TERM", "xterm-256color");
        let shell = pty.slave.spawn_command(shell).unwrap();
        let mut output = pty.master.try_clone_reader().unwrap();
        let keys = pty.master.take_writer().unwrap();
        let [rows, cols] = [SIZE.rows, SIZE.cols].map(|n| NonZeroU16::new(n).unwrap());
        let screen = Arc::new((Mutex::new(Parser::new(rows, cols, 0)), Condvar::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error: nobody has the other end open any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shown.0.lock().unwrap().process(&bytes[..read]);
                shown.1.notify_all();
            }
        });
        Terminal { master: pty.master, keys, screen, shell }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as `wanted`, and answers it.
    fn wait(&self, what: &str, wanted: impl Fn(&Screen) -> bool) -> Screen {
        let (parser, change) = &*self.screen;
        let (guard, waited) =
            change.wait_timeout_while(parser.lock().unwrap(), PATIENCE, |parser| !wanted(parser.screen())).unwrap();
        let screen = guard.screen().clone();
        drop(guard);
        assert!(!waited.timed_out(), "{what}: not within {PATIENCE:?}; the screen:\n{}", screen.contents());
        screen
    }
}

/// Neither a failed test nor one that is done leaves anything running.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The names of the tasks in the order of their rows.
fn names(screen: &Screen) -> Vec<String> {
    let text = screen.contents();
    let rows = text.lines().skip_while(|line| !line.starts_with("NAME")).skip(1);
    let name = |row: &str| row.split_whitespace().next().map(String::from);
    rows.take_while(|row| !row.is_empty() && !row.starts_with("by ")).filter_map(name).collect()
}

#[test]
fn a_busy_run_is_seen_sorted_and_left() {
    let folder = Folder::new();
    let (_run, socket) = Run::start(&folder);
    let mut terminal = Terminal::open(&socket);
    let before = terminal.master.get_termios().unwrap();
    terminal.press("\n");

    let screen = terminal.wait("all tasks and classes, and a busy CPU", |screen| {
        let (text, names) = (screen.contents(), names(screen));
        let tasks = ["control", "ui", "encode", "index", "house"];
        let classes = ["realtime", "interactive", "batch", "background", "system"];
        tasks.iter().all(|task| names.iter().any(|name| name.starts_with(task)))
            && classes.iter().all(|class| text.lines().any(|line| line.starts_with(class)))
            && text.lines().any(|line| line.starts_with("CPU 0 ") && line.contains('█'))
            && text.contains("by CPU")
    });
    assert!(screen.alternate_screen(), "what was in the terminal before is not drawn over");
    assert_ne!(terminal.master.get_termios().unwrap(), before, "keys are read one by one");

    terminal.press("ssss");
    terminal.wait("sorted by name", |screen| {
        let names = names(screen);
        screen.contents().contains("by name ") && names.len() >= 6 && names.is_sorted()
    });
    terminal.press("r");
    terminal.wait("the other way round", |screen| {
        let names = names(screen);
        screen.contents().contains("by name, reversed") && names.len() >= 6 && names.iter().rev().is_sorted()
    });

    terminal.press("q");
    let screen = terminal.wait("the end", |screen| {
        let text = screen.contents();
        text.contains("it ended with ") && text.trim_end().ends_with(|c: char| c.is_ascii_digit())
    });
    assert_eq!(screen.contents().trim(), "it ended with 0", "what was shown is gone");
    assert!(!screen.alternate_screen() && !screen.hide_cursor());
    assert_eq!(terminal.master.get_termios().unwrap(), before, "lines and echo are as they were");
    terminal.press("\n");
    assert!(terminal.shell.wait().unwrap().success());
}
