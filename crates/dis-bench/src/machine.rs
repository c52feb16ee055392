//! What the benchmarks run on, as the program itself reads it.

use std::fs;

use serde_json::{Value, json};

/// Processor, number of CPUs, kernel, compiler.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The processor's model name.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Whether the machine is a virtual one.
    pub virtual_machine: bool,
    /// The compiler's version.
    pub rustc: &'static str,
}

impl Machine {
    /// This machine.
    pub fn read() -> Machine {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // The part behind the version proper names the build, which says nothing to others.
        let kernel: String = release.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        Machine {
            cpu: field("model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel,
            virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            rustc: env!("BENCH_RUSTC"),
        }
    }

    /// One line.
    pub fn describe(&self) -> String {
        let kind = if self.virtual_machine { ", virtual machine" } else { "" };
        format!("{}, {} CPUs{kind}, Linux {}, {}", self.cpu, self.cpus, self.kernel, self.rustc)
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cpus": self.cpus, "kernel": self.kernel,
            "virtual_machine": self.virtual_machine, "rustc": self.rustc,
        })
    }
}
