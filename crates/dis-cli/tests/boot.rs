//! `dis boot` where things go wrong. A script stands in for a QEMU that fails; the real one is asked in other tests.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Instant;

use common::{Folder, command, text};

const TASK: &str = "duration = \"50ms\"\n[[task]]\nname = \"a\"\nintent = \"batch\"\nloop = [ { run = \"1ms\" } ]\n";

/// Runs `dis boot` where `qemu-system-x86_64` is this script, or where there is none.
fn boot(script: Option<&str>, arguments: &[&str]) -> Output {
    let folder = Folder::new();
    let (workload, image) = (folder.file("a.toml", TASK), folder.file("kernel", "no kernel"));
    if let Some(script) = script {
        let path = folder.file("qemu-system-x86_64", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.0.display(), if script.is_some() { "/usr/bin:/bin" } else { "" });
    let mut command = command();
    command.env("PATH", path).args(["boot", &workload, "--image", &image]).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_missing_qemu_gets_the_command_that_installs_it() {
    let output = boot(None, &[]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("sudo apt-get install -y qemu-system-x86"), "{message}");
}

#[test]
fn the_codes_of_a_machine_are_told_apart() {
    for (code, said, exit) in [
        (0, "a triple fault", 1),
        (33, "without a report", 1),
        (35, "the kernel itself failed", 1),
        (39, "cannot use what it was given", 2),
        (1, "QEMU ended with code 1\nerror: no such device", 1),
    ] {
        let output = boot(Some(&format!("echo last words; echo no such device >&2; exit {code}")), &[]);
        let message = text(&output.stderr);
        assert!(message.contains(said), "{code}: {message}");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(exit), "last words\n"), "{message}");
    }
}

#[test]
fn a_machine_that_hangs_is_switched_off() {
    let begin = Instant::now();
    let output = boot(Some("trap '' TERM; echo up; exec sleep 1000"), &["--timeout", "300ms"]);
    let message = text(&output.stderr);
    assert!(message.contains("switched off") && output.status.code() == Some(1), "{message}");
    assert_eq!(text(&output.stdout), "up\n");
    assert!(begin.elapsed().as_secs() < 100);
}

#[test]
fn what_the_kernel_refuses_names_the_task() {
    let script = "printf '\\036{\"refused\":[0,\"numa_node: one node only\"]}\\n'; exit 39";
    let output = boot(Some(script), &[]);
    let message = text(&output.stderr);
    assert!(message.contains("a.toml:2: task \"a\": numa_node: one node only"), "{message}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn arguments_are_checked() {
    for (arguments, said) in [
        (&["--cpus", "65"][..], "1..=64"),
        (&["--memory", "1M"], "16M to 1024G"),
        (&["--image", "/no/such/kernel"], "cannot be used multiple times"),
    ] {
        let output = boot(Some("exit 33"), arguments);
        let message = text(&output.stderr);
        assert!(message.contains(said) && output.status.code() == Some(2), "{message}");
    }
}

#[test]
fn watch_reaches_the_kernel_in_whole_milliseconds() {
    for (asked, word) in [("250ms", "watch=250"), ("1500us", "watch=2"), ("1ns", "watch=1")] {
        let output = boot(Some("echo \"$@\"; exit 33"), &["--watch", asked]);
        let line = text(&output.stdout);
        assert!(line.contains(&format!(" -append {word} -kernel ")), "{asked}: {line}");
    }
    let output = boot(Some("echo \"$@\"; exit 33"), &[]);
    assert!(!text(&output.stdout).contains("watch"));
}
