//! QEMU as a child that never outlives us.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::plan::Plan;
use crate::cli::BootArgs;
use crate::failure::Failure;
use crate::sys;

const PROGRAM: &str = "qemu-system-x86_64";
/// How to get it.
const INSTALL: &str = "sudo apt-get install -y qemu-system-x86";
/// What asks the kernel to end the workload early (ASCII end of text, what Ctrl-C sends on a terminal).
const STOP: u8 = 3;

/// A machine that runs.
pub struct Qemu {
    child: Child,
    keyboard: Option<ChildStdin>,
    console: Receiver<Vec<u8>>,
    errors: Option<thread::JoinHandle<String>>,
}

/// What came from the console.
pub enum Heard {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// Nothing for so long.
    Nothing,
    /// The machine is off.
    Off,
}

impl Qemu {
    /// Switches the machine on.
    ///
    /// # Errors
    /// QEMU is not there (with the command that installs it) or cannot be started.
    pub fn start(args: &BootArgs, plan: &Plan, image: &Path, module: &Path) -> Result<Qemu, Failure> {
        let mut command = Command::new(PROGRAM);
        command.args(arguments(args, plan.cpus)).arg("-kernel").arg(image).arg("-initrd").arg(module);
        // In a process group of its own: Ctrl-C at the terminal is for us, who ask the kernel for its report.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::failed(format!("{PROGRAM} is not installed; install it: {INSTALL}"))
            }
            _ => Failure::failed(format!("cannot start {PROGRAM}: {error}")),
        })?;
        let keyboard = child.stdin.take();
        let (sender, console) = mpsc::channel();
        if let Some(mut out) = child.stdout.take() {
            thread::spawn(move || {
                let mut buffer = [0; 1 << 16];
                while let Ok(count @ 1..) = out.read(&mut buffer) {
                    if sender.send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        let errors = child.stderr.take().map(|mut errors| {
            thread::spawn(move || {
                let mut text = String::new();
                let _ = errors.read_to_string(&mut text);
                text
            })
        });
        Ok(Qemu { child, keyboard, console, errors })
    }

    /// Waits for something on the console.
    pub fn hear(&self, patience: Duration) -> Heard {
        match self.console.recv_timeout(patience) {
            Ok(bytes) => Heard::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::Off,
        }
    }

    /// Asks the kernel to end the workload.
    pub fn ask_to_stop(&mut self) {
        if let Some(keyboard) = &mut self.keyboard {
            // It may be off by now.
            let _ = keyboard.write_all(&[STOP]).and_then(|()| keyboard.flush());
        }
    }

    /// Switches it off, if it is not. Answers how it ended, and what QEMU had to say.
    pub fn finish(&mut self) -> (Option<ExitStatus>, String) {
        // A machine whose console is closed is about to end; one that hangs has been waited for already.
        let mut status = None;
        for _ in 0..100 {
            status = self.child.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        let errors = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        (status, errors)
    }

    /// Switches it off at once.
    pub fn kill(&mut self) {
        // SIGKILL, as a QEMU whose main loop hangs ignores SIGTERM.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

fn arguments(args: &BootArgs, cpus: usize) -> Vec<String> {
    let accelerator: &[&str] = if args.deterministic {
        &["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"]
    } else {
        &["-accel", "tcg,thread=multi"]
    };
    let rest = "-cpu max -nodefaults -no-user-config -display none -serial stdio -monitor none -no-reboot \
                -device isa-debug-exit,iobase=0xf4,iosize=4";
    let mut words: Vec<String> = accelerator.iter().map(|word| word.to_string()).collect();
    words.extend(rest.split_whitespace().map(String::from));
    words.extend(["-m".into(), format!("{}M", args.memory), "-smp".into(), cpus.to_string()]);
    // See `docs/kernel.md`: without a beat a CPU might keep the counted machine to itself for long.
    let beat = args.deterministic.then(|| "interleave=100".into());
    let watch = args.watch.map(|every| format!("watch={}", every.as_nanos().div_ceil(1_000_000)));
    let trace = args.trace.is_some().then(|| "trace".into());
    let policies = args.policy.iter().map(|choice| format!("policy={}={}", choice.class, choice.name));
    let asked: Vec<String> = [trace, beat, watch].into_iter().flatten().chain(policies).collect();
    if !asked.is_empty() {
        words.extend(["-append".into(), asked.join(" ")]);
    }
    words
}
