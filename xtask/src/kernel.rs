//! Boots the bare-metal kernel in QEMU; each boot runs one of the kernel's own tests, and the exit code tells how it went.

use crate::context::Context;
use crate::process;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The machine. KVM is not used: what can be counted should not depend on the host.
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Far above what a boot takes on a loaded machine: it decides only between slow and hung.
const LIMIT: Duration = Duration::from_secs(180);
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// QEMU's exit code for the kernel's "success".
const SUCCESS: i32 = 33;

/// One boot.
struct Boot {
    cpus: u32,
    test: &'static str,
    /// Instructions are counted, so that the same happens each time; else CPUs run at once, as threads.
    counted: bool,
    /// QEMU's exit code.
    code: i32,
}

const fn boot_of(cpus: u32, test: &'static str, counted: bool) -> Boot {
    Boot { cpus, test, counted, code: SUCCESS }
}

const BOOTS: &[Boot] = &[boot_of(1, "preempt", false), boot_of(2, "preempt", false), boot_of(4, "preempt", true)];

/// The optimised kernel and the one with debug assertions.
pub fn boot(context: &Context) -> Result<(), String> {
    for (profile, folder) in [("kernel", "kernel"), ("kernel-dev", "kernel-dev")] {
        let image = build(context, profile, folder, "baremetal")?;
        for boot in BOOTS {
            run(context, &image, boot)?;
        }
    }
    Ok(())
}

fn build(context: &Context, profile: &str, folder: &str, features: &str) -> Result<PathBuf, String> {
    let arguments = ["build", "--package", "dis-kernel", "--profile", profile, "--features", features];
    let mut cargo = context.cargo(&arguments);
    // Flags for this machine's CPU would use registers that the kernel does not save.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(flags);
    }
    process::run(&mut cargo, BUILD_LIMIT).map_err(|why| format!("building the kernel: {why}"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(context.root.join("target"), PathBuf::from);
    Ok(context.root.join(target).join(folder).join("dis-kernel"))
}

fn run(context: &Context, image: &std::path::Path, boot: &Boot) -> Result<(), String> {
    let mut qemu: Command = context.command(QEMU);
    let accelerator: &[&str] = if boot.counted {
        &["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"]
    } else {
        &["-accel", "tcg,thread=multi"]
    };
    qemu.args(accelerator).args(["-cpu", "max", "-m", "256", "-smp", &boot.cpus.to_string()]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-monitor", "none"]);
    qemu.args(["-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-append"]);
    qemu.arg(format!("test={}", boot.test)).arg("-kernel").arg(image).stdin(std::process::Stdio::null());
    let name = format!("{} on {} CPUs{}", boot.test, boot.cpus, if boot.counted { ", counted" } else { "" });
    let (output, status) = process::capture_status(&mut qemu, LIMIT);
    let ended = match status {
        Ok(status) if status.code() == Some(boot.code) => {
            println!("{name}: ok");
            return Ok(());
        }
        Ok(status) => status.to_string(),
        Err(why) => why,
    };
    println!("{}", String::from_utf8_lossy(&output));
    Err(format!("{name}: QEMU ended with {ended} instead of exit status {}", boot.code))
}
