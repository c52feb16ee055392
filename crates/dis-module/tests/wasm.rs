//! Policies in WebAssembly: right ones pass, hostile ones are stopped, whatever they do.

mod common;

use common::wasm;
use dis_core::api::{Duration, TaskId, TaskSpec, Timestamp};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::{Module, SchedulerRegistry, Version};
use dis_core::scheduler::Config;
use dis_module::{LoadError, MEMORY, check, load, load_wasm};
use dis_sim::Lock;

#[test]
fn what_is_right_passes_the_suite() {
    for (name, version) in [("deadline", Version::new(2, 3, 4)), ("template", Version::new(0, 1, 0))] {
        let mut module = load_wasm(wasm(name)).unwrap();
        assert_eq!(module.version(), version);
        module.init().unwrap();
        let report = check(&module);
        assert!(report.passed(), "{name}:\n{report}");
        assert_eq!(module.faults().count(), 0);
    }
}

/// Tasks that compute under the policy of the file; answers how often policies were replaced, and what the module did.
fn run(name: &str) -> (u64, String) {
    let module = load_wasm(wasm(name)).unwrap();
    let (faults, name) = (module.faults(), module.name());
    let mut modules = SchedulerRegistry::with_builtins();
    modules.register(Box::new(module)).unwrap();
    modules.set_active(QueueType::Batch, name).unwrap();
    let x = Executor::<u32, Lock>::with_modules(Config::new(1), &modules).unwrap();
    let mut now = Timestamp::from_nanos(1);
    let tasks: Vec<TaskId> =
        (0..20).map(|n| x.spawn(now, None, TaskSpec::new("", Intent::batch(), n)).unwrap().0).collect();
    for _ in 0..500 {
        now += Duration::from_millis(1);
        let _ = x.schedule(0, now, Leave::Yield).or_else(|_| x.schedule(0, now, Leave::Ask));
        x.switched(0);
    }
    for &task in &tasks {
        assert!(x.with_task(task, |task| task.stats.cpu_time).unwrap() > 0, "{name}: everybody runs");
    }
    (x.stats().policy_faults, faults.message())
}

#[test]
fn hostile_ones_are_stopped_and_replaced() {
    assert_eq!(run("template"), (0, String::new()));
    for (name, says) in [
        ("hostile_foreign", ""),
        ("hostile_forgets", ""),
        ("hostile_panics", "choice 21 is one too many"),
        ("hostile_loops", "used up its fuel"),
        ("hostile_allocates", ""),
        ("hostile_makes_none", "no policy today"),
    ] {
        let (faults, message) = run(name);
        assert!(faults == 1 && message.contains(says), "{name}: {faults} {message}");
    }
    // It stayed within its memory, and this process within its own.
    let peak = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<usize>().unwrap() * 1024 < 12 * MEMORY, "{peak} KiB");
}

#[test]
fn what_is_no_module_is_refused() {
    let folder = std::env::temp_dir();
    let file = |bytes: &[u8]| {
        let path = folder.join(format!("dis-wasm-{}-{}.wasm", std::process::id(), bytes.len()));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (bytes, says) in
        [(&b"\0asm\x01\0\0\0"[..], "no function dis_abi"), (b"\0asm\x01\0\0\0junk", ""), (b"", ""), (b"\0asm", "")]
    {
        let path = file(bytes);
        let error = load_wasm(&path).map(|_| ()).unwrap_err();
        assert!(matches!(error, LoadError::Loader { .. }) && error.to_string().contains(says), "{error}");
        std::fs::remove_file(path).unwrap();
    }
    let failing = load_wasm(wasm("hostile_fails_init")).unwrap().init();
    assert!(failing.is_err());
    let native = load(wasm("deadline")).map(|_| ()).unwrap_err().to_string();
    assert!(native.contains("is WebAssembly"), "{native}");
}
