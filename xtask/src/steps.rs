//! The table of checks, in the order in which they run: those that fail soonest come first.
//!
//! To add one, add an entry. A cargo command needs nothing else; a check with logic is a function of a file
//! of its own beside this one. What a step needs (a Debian package, a file that is not written yet) goes
//! into `.needs(..)`: it is installed when that is possible, and else the step is skipped, which is a failure
//! in continuous integration.

use crate::needs::Need;
use crate::step::{Step, Suite};
use crate::{end_to_end, hygiene, kernel, licences, oracle};

const NO_STD_TARGET: &str = "x86_64-unknown-none";
const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// All checks.
pub const STEPS: &[Step] = &[
    Step::function("hygiene", "no unfinished code, no disabled test, no path of one machine", hygiene::check),
    Step::function(
        "licences",
        "dependencies are permissive and from crates.io, the lock file is current",
        licences::check,
    ),
    Step::cargo("fmt", "the code is formatted", &["fmt", "--all", "--check"])
        .needs(&[Need::Component("rustfmt")])
        .suite(Suite::Both),
    Step::cargo(
        "clippy",
        "no warning in any target",
        &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
    .needs(&[Need::Component("clippy")])
    .suite(Suite::Both),
    Step::cargo(
        "no-std",
        "dis-core and dis-workload build for a target that has no std",
        &[
            "build",
            "--package",
            "dis-core",
            "--package",
            "dis-workload",
            "--lib",
            "--no-default-features",
            "--target",
            NO_STD_TARGET,
        ],
    )
    .needs(&[Need::Target(NO_STD_TARGET)]),
    Step::cargo("unit", "unit tests", &["test", "--workspace", "--lib", "--bins", "--no-fail-fast"])
        .suite(Suite::Quick),
    Step::cargo(
        "tests",
        "unit, integration, property and golden tests, with debug assertions",
        &["test", "--workspace", "--tests", "--no-fail-fast"],
    ),
    Step::cargo(
        "doc-tests",
        "the examples in the documentation run",
        &["test", "--workspace", "--doc", "--no-fail-fast"],
    ),
    Step::cargo("docs", "the documentation builds without warnings", &["doc", "--workspace", "--no-deps"])
        .env(&[("RUSTDOCFLAGS", "-D warnings")]),
    Step::cargo(
        "spans",
        "tasks have spans of `tracing`, and keep them when they are preempted",
        &["test", "--workspace", "--features", "dis-runtime/tracing", "--test", "spans"],
    ),
    Step::cargo(
        "wasm",
        "policies in WebAssembly: right ones pass, hostile ones are stopped, dis sim and dis module check take them",
        &[
            "test",
            "--profile",
            "optimised",
            "--package",
            "dis-module",
            "--package",
            "dis-cli",
            "--features",
            "wasm",
            "--test",
            "wasm",
        ],
    )
    .needs(&[Need::Target(WASM_TARGET)]),
    // Timing and races differ when the code is optimised, and so does what the compiler makes of unsafe code.
    Step::cargo(
        "release-tests",
        "tests of the context switch and of the runtime, optimised",
        &[
            "test",
            "--profile",
            "optimised",
            "--package",
            "dis-context",
            "--package",
            "dis-runtime",
            "--tests",
            "--no-fail-fast",
        ],
    ),
    Step::cargo(
        "random",
        "ten million random events on 1 to 8 CPUs break no promise of the core",
        &["test", "--profile", "optimised", "--package", "dis-core", "--test", "random"],
    )
    .env(&[("DIS_EVENTS", "10000000")]),
    Step::cargo(
        "models",
        "concurrency models: the interleavings of the lock-free parts",
        &[
            "test",
            "--profile",
            "optimised",
            "--package",
            "dis-core",
            "--features",
            "shuttle",
            "--test",
            "model_*",
            "--no-fail-fast",
        ],
    )
    .needs(&[Need::File { folder: "crates/dis-core/tests", prefix: "model_", suffix: ".rs" }]),
    Step::cargo(
        "counts",
        "no operation of the core takes more instructions than accepted",
        &["bench", "--package", "dis-core", "--bench", "counts"],
    )
    .needs(&[Need::Package { name: "valgrind", provides: "/usr/bin/valgrind" }]),
    Step::function(
        "simso",
        "schedules are those of SimSo, an independent simulator, for random task sets",
        oracle::simso,
    ),
    Step::cargo(
        "kernel-clippy",
        "no warning in the bare-metal kernel",
        &[
            "clippy",
            "--package",
            "dis-kernel",
            "--profile",
            "kernel",
            "--features",
            "baremetal",
            "--",
            "-D",
            "warnings",
        ],
    )
    .needs(&[Need::Component("clippy")]),
    Step::function("kernel-stress", "the bare-metal kernel boots 32 times in a row", kernel::stress)
        .needs(&[Need::Package { name: "qemu-system-x86", provides: kernel::QEMU }])
        .suite(Suite::Stress),
    Step::function("kernel", "the bare-metal kernel boots in QEMU and passes its own tests", kernel::boot)
        .needs(&[Need::Package { name: "qemu-system-x86", provides: kernel::QEMU }]),
    Step::function("end-to-end", "dis run examples/mixed.toml reports as dis-report/1", end_to_end::mixed)
        .needs(&[MIXED]),
    Step::function(
        "rt-app",
        "dis runs the examples of Debian's rt-app, one of them as plain threads too",
        end_to_end::rt_app,
    )
    .needs(&[MIXED, Need::Package { name: "rt-app", provides: end_to_end::RT_APP_PROBE }]),
];

/// The example also tells that `dis run` exists.
const MIXED: Need = Need::File { folder: "examples", prefix: "mixed", suffix: ".toml" };

#[cfg(test)]
mod tests {
    use super::STEPS;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_can_be_typed() {
        let names: HashSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        }
    }

    #[test]
    fn every_step_says_what_it_is() {
        for step in STEPS {
            assert!(!step.about.is_empty() && !step.about.contains('\n'), "{}", step.name);
        }
    }
}
