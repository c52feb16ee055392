//! Workloads as tasks of the bare-metal kernel, its figures, and the example for authors of kernels.

use crate::context::Context;
use crate::kernel::{self, SUCCESS};
use crate::process;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(180);
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// What an image may have without symbols, bytes.
const MOST_BYTES: u64 = 2_000_000;

/// `dis boot` against the simulator, with the kernel `image`; then free-running, with 1, 2 and 4 CPUs.
pub fn boot(context: &Context, image: &Path) -> Result<(), String> {
    let mut tests = context.cargo(&["test", "--package", "dis-cli", "--test", "kernel", "--", "--test-threads", "2"]);
    tests.env("DIS_KERNEL_IMAGE", image);
    process::run(&mut tests, LIMIT).map_err(|why| format!("workloads on the kernel: {why}"))?;
    free_running(context, image, &["1", "2", "4"])
}

/// All CPUs at once, as threads: what happens when depends on this machine, so nothing is compared.
pub fn free_running(context: &Context, image: &Path, cpus: &[&str]) -> Result<(), String> {
    for cpus in cpus {
        let mut command =
            context.cargo(&["run", "--quiet", "--package", "dis-cli", "--", "boot", "examples/mixed.toml"]);
        command.args(["--duration", "500ms", "--quiet", "--cpus", cpus, "--image"]).arg(image);
        process::run(&mut command, LIMIT).map_err(|why| format!("dis boot on {cpus} CPUs: {why}"))?;
        println!("dis boot examples/mixed.toml on {cpus} CPUs: ok");
    }
    Ok(())
}

/// The figures in instructions, and how large the image is.
pub fn figures(context: &Context, image: &Path) -> Result<(), String> {
    for cpus in ["1", "2"] {
        let begin = Instant::now();
        let output = counted(context, image, cpus, &["-m", "256", "-append", "test=figures"])?;
        let lines = output.lines().filter(|line| !line.starts_with('\u{1e}'));
        lines.for_each(|line| println!("{line}"));
        println!("  in {:.1} s", begin.elapsed().as_secs_f64());
    }
    let stripped = image.with_extension("stripped");
    let mut strip = context.command("strip");
    process::run(strip.arg("-o").arg(&stripped).arg(image), LIMIT).map_err(|why| format!("strip: {why}"))?;
    let bytes = fs::metadata(&stripped).map_err(|error| format!("{}: {error}", stripped.display()))?.len();
    println!("the image has {bytes} bytes without symbols");
    if bytes < MOST_BYTES { Ok(()) } else { Err(format!("the image has {bytes} bytes, more than {MOST_BYTES}")) }
}

/// `examples/minimal-kernel` builds without a warning and does what it says.
pub fn minimal(context: &Context) -> Result<(), String> {
    let common = ["--package", "minimal-kernel", "--profile", "kernel", "--features", "minimal-kernel/baremetal"];
    for (verb, rest) in [("clippy", &["--", "-D", "warnings"][..]), ("build", &[])] {
        let mut cargo = context.cargo(&[&[verb], &common[..], rest].concat());
        process::run(kernel::without_flags(&mut cargo), BUILD_LIMIT).map_err(|why| format!("minimal-kernel: {why}"))?;
    }
    let image = kernel::target(context).join("kernel/minimal-kernel");
    let output = counted(context, &image, "1", &["-m", "128"])?;
    print!("{output}");
    Ok(())
}

/// Boots with counted instructions and demands success.
fn counted(context: &Context, image: &Path, cpus: &str, arguments: &[&str]) -> Result<String, String> {
    let mut qemu: Command = context.command(kernel::QEMU);
    qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off", "-cpu", "max", "-smp", cpus]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-monitor", "none"]);
    qemu.args(["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel"]).arg(image).args(arguments);
    let (output, status) = process::capture_status(qemu.stdin(Stdio::null()), LIMIT);
    let output = String::from_utf8_lossy(&output).into_owned();
    match status {
        Ok(status) if status.code() == Some(SUCCESS) => Ok(output),
        Ok(status) => Err(format!("{output}\n{}: QEMU ended with {status}", image.display())),
        Err(why) => Err(format!("{output}\n{}: {why}", image.display())),
    }
}
