//! Boots the bare-metal kernel in QEMU; each boot runs one of the kernel's own tests, and the exit code tells how it went.

use crate::context::Context;
use crate::{process, workloads};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The machine. KVM is not used: what can be counted should not depend on the host.
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Far above what a boot takes on a loaded machine: it decides only between slow and hung.
const LIMIT: Duration = Duration::from_secs(180);
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// QEMU's exit code for the kernel's "success".
pub const SUCCESS: i32 = 33;
/// For a fault of the kernel itself.
const KERNEL_FAULT: i32 = 35;
/// For a policy that panicked.
const POLICY_FAULT: i32 = 43;
/// For a test that failed.
const FAILED: i32 = 37;
/// For a command line that it cannot use.
const BAD_INPUT: i32 = 39;

/// One boot.
struct Boot {
    cpus: u32,
    test: &'static str,
    /// Instructions are counted, so that the same happens each time; else CPUs run at once, as threads.
    counted: bool,
    /// QEMU's exit code.
    code: i32,
    /// What must be on the console.
    says: &'static str,
}

const fn boot_of(cpus: u32, test: &'static str, counted: bool) -> Boot {
    Boot { cpus, test, counted, code: SUCCESS, says: "" }
}

/// What both the optimised kernel and the one with debug assertions are to pass.
const BOTH: &[Boot] = &[
    boot_of(1, "preempt", false),
    boot_of(4, "api", false),
    boot_of(2, "isolation", false),
    boot_of(4, "ipc", false),
    boot_of(4, "modules", false),
];

/// What the optimised kernel is to pass; it has room for 10,000 tasks, as its stacks are smaller.
const OPTIMISED: &[Boot] = &[
    boot_of(8, "preempt", false),
    boot_of(4, "preempt", true),
    boot_of(2, "api", true),
    boot_of(2, "modules", true),
    boot_of(1, "ipc", true),
    boot_of(2, "ipc", false),
    boot_of(2, "torture", false),
    boot_of(2, "user", false),
    boot_of(2, "injection", false),
    boot_of(2, "injection", true),
    boot_of(2, "leak", false),
    boot_of(1, "many", false),
    Boot { code: KERNEL_FAULT, ..boot_of(1, "kernel-fault", false) },
    Boot { code: KERNEL_FAULT, ..boot_of(1, "kernel-panic", false) },
    Boot { code: POLICY_FAULT, says: "it was the policy \"panics\"", ..boot_of(2, "policy-panic", false) },
    Boot { code: BAD_INPUT, ..boot_of(1, "no-such-test", false) },
];

/// Negative controls: kernels that do not keep all of a task's state must fail the test that looks for it, and say what is wrong.
/// The last two are in one image: the one is about the routine of `torture` alone, the other about user tasks alone.
const CONTROLS: &[(&str, &[Boot])] = &[
    ("baremetal,skip-fpu", &[control("torture", "FAILED: an SSE register was wrong")]),
    (
        "baremetal,clobber-red-zone,skip-segments",
        &[
            control("torture", "FAILED: the red zone was wrong"),
            control("user", "FAILED: a segment register of ring 3 was wrong"),
        ],
    ),
];

const fn control(test: &'static str, says: &'static str) -> Boot {
    Boot { code: FAILED, says, ..boot_of(1, test, false) }
}

/// The optimised kernel and the one with debug assertions.
pub fn boot(context: &Context) -> Result<(), String> {
    // With debug assertions: that is built in a fraction of the time.
    for (features, boots) in CONTROLS {
        let image = build(context, "kernel-dev", features)?;
        for boot in *boots {
            run(context, &image, boot).map_err(|why| format!("the control {features}: {why}"))?;
        }
    }
    for profile in ["kernel", "kernel-dev"] {
        let image = build(context, profile, "baremetal")?;
        let more = if profile == "kernel" { OPTIMISED } else { &[] };
        for boot in BOTH.iter().chain(more) {
            run(context, &image, boot)?;
        }
        if profile == "kernel" {
            workloads::boot(context, &image)?;
            workloads::figures(context, &image)?;
        } else {
            workloads::free_running(context, &image, &["2"])?;
        }
    }
    workloads::minimal(context)
}

/// Flags for this machine's CPU would use registers that the kernel does not save.
pub fn without_flags(cargo: &mut Command) -> &mut Command {
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(flags);
    }
    cargo
}

/// Where cargo puts what it builds.
pub fn target(context: &Context) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    context.root.join(target)
}

/// Boots both kernels on 1, 2, 4 and 8 CPUs, counted and free-running, each with the test in which every call is made and with one
/// more: 32 boots in a row.
pub fn stress(context: &Context) -> Result<(), String> {
    let mut round = 0;
    for profile in ["kernel", "kernel-dev"] {
        let image = build(context, profile, "baremetal")?;
        for cpus in [1, 2, 4, 8] {
            for counted in [false, true] {
                let others = ["torture", "isolation", "user", "preempt", "injection"];
                let others = if cpus == 1 { &others[..4] } else { &others[..] };
                for test in ["api", others[round % others.len()]] {
                    run(context, &image, &boot_of(cpus, test, counted)).map_err(|why| format!("{profile}: {why}"))?;
                }
                round += 1;
            }
        }
    }
    Ok(())
}

fn build(context: &Context, profile: &str, features: &str) -> Result<PathBuf, String> {
    let arguments = ["build", "--package", "dis-kernel", "--profile", profile, "--features", features];
    let mut cargo = context.cargo(&arguments);
    process::run(without_flags(&mut cargo), BUILD_LIMIT).map_err(|why| format!("building the kernel: {why}"))?;
    Ok(target(context).join(profile).join("dis-kernel"))
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
    // Without a beat a CPU that neither waits nor has a timer would keep the counted machine to itself for long.
    let beat = if boot.counted { " interleave=100" } else { "" };
    qemu.arg(format!("test={}{beat}", boot.test)).arg("-kernel").arg(image).stdin(std::process::Stdio::null());
    let name = format!("{} on {} CPUs{}", boot.test, boot.cpus, if boot.counted { ", counted" } else { "" });
    let (output, status) = process::capture_status(&mut qemu, LIMIT);
    let said = String::from_utf8_lossy(&output).contains(boot.says);
    let ended = match status {
        Ok(status) if status.code() == Some(boot.code) && !said => format!("{status} without saying {:?},", boot.says),
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
