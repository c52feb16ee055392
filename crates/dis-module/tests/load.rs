//! Files become modules, or it is said why not.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::library;
use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::intent::QueueType;
use dis_core::modules::{Module, ModuleError, SchedulerModule, SchedulerRegistry, Version};
use dis_core::policy::{Arrival, Entity, SchedulingPolicy, TaskKey, VirtualTime};
use dis_module::{PATIENCE, check, load};

fn refusal(path: impl AsRef<Path>) -> String {
    load(path).unwrap_err().to_string()
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_module_says_what_it_is() {
    let module = load(library("deadline")).unwrap();
    assert_eq!((module.name(), module.version()), ("deadline", Version::new(2, 3, 4)));
    assert_eq!(module.supported_intents(), [QueueType::Realtime, QueueType::Interactive]);
    assert!(module.can_schedule(QueueType::Batch) && !module.keeps_promise(QueueType::Batch));
    assert_eq!(module.policy().name(), "deadline");
}

#[test]
fn loaded_modules_conform() {
    for name in ["template", "deadline"] {
        let module = load(library(name)).unwrap();
        let report = check(&module);
        assert!(report.passed(), "{name}:\n{report}");
        assert_eq!(module.faults().count(), 0);
        assert!(module.memory().calls > 0, "its allocator counts");
    }
}

#[test]
fn policies_outlive_their_module() {
    let module = load(library("template")).unwrap();
    let mut policy = module.policy();
    drop(module);
    policy.reserve(100);
    assert_eq!(policy.len(), 0);
}

/// A policy that loops, or wants memory without end, is stopped in the middle of a call; what it had answered before counts, nothing of
/// its module is called any more, and the process goes on.
#[test]
fn a_policy_that_does_not_come_back_is_stopped() {
    // A loaded machine may take longer than that to give so much memory.
    let (late, full) = ("had not come back after 2 s", "wanted more than the 256 MiB of memory");
    for (name, says) in [("loops", [late, late]), ("allocates", [late, full])] {
        let mut module = load(library(&format!("hostile_{name}"))).unwrap();
        module.init().unwrap();
        let (mut bad, mut other) = (module.policy(), module.policy());
        let mut task = entity();
        let mut choose = |policy: &mut dyn SchedulingPolicy| {
            policy.on_ready(&mut task, Arrival::Wake, Timestamp::ZERO);
            (policy.select(Timestamp::ZERO), policy.len())
        };
        for _ in 0..20 {
            assert_eq!(choose(&mut *bad), (Some(TaskKey(3)), 0), "{name}");
        }
        let (begin, after) = (Instant::now(), choose(&mut *bad));
        assert_eq!(after, (None, usize::MAX), "{name}: a number that the core does not believe");
        assert!(name != "loops" || begin.elapsed() >= PATIENCE / 2, "not before it has been too long");
        let faults = module.faults();
        let told = faults.message();
        assert!(
            told.contains("was stopped in select") && says.iter().any(|says| told.contains(says)),
            "{name}: {told}"
        );
        assert_eq!(faults.count(), 1, "{name}");
        assert_eq!(choose(&mut *other), (None, usize::MAX), "{name}: another one of the module");
        assert_eq!(module.policy().len(), usize::MAX, "{name}: one that would be made now");
        drop((bad, other));
        module.cleanup().unwrap();
    }
    // Others are not concerned.
    assert!(check(&load(library("template")).unwrap()).passed());
}

fn entity() -> Entity {
    Entity {
        key: TaskKey(3),
        priority: 100,
        group: 0,
        id: TaskId(3),
        deadline: Timestamp::ZERO,
        slice: Duration::ZERO,
        virt: VirtualTime::default(),
    }
}

/// Two loads are two libraries: a file that was built anew is loaded anew, and each has its own state.
#[test]
fn each_load_is_a_library_of_its_own() {
    let first = load(library("deadline")).unwrap();
    let second = load(library("deadline")).unwrap();
    let before = first.memory();
    drop(check(&second));
    assert_eq!(first.memory(), before);
}

#[test]
fn it_is_said_what_is_wrong_with_a_file() {
    let none = refusal("/nowhere/at/all.so");
    assert!(none.contains("/nowhere/at/all.so") && none.contains("No such file"), "{none}");
    let text = refusal(file("text.so", b"int main;"));
    assert!(text.contains("no ELF file") && text.contains("cdylib"), "{text}");
    assert!(refusal(file("empty.so", b"")).contains("an empty file"));
    assert!(refusal(file("wasm.so", b"\0asm\x01\0\0\0")).contains("WebAssembly"));
    assert!(refusal(std::env::current_exe().unwrap()).contains("cannot be loaded"), "a program");
    assert!(refusal("/").contains("directory"));
}

/// Whatever is cut off or changed, it is refused; nothing crashes.
#[test]
fn a_torn_library_is_refused() {
    let whole = fs::read(library("deadline")).unwrap();
    for len in [10, 60, 100, 4_096, 65_536] {
        let text = refusal(file("torn.so", &whole[..len]));
        assert!(text.contains("torn.so: is an ELF file of which the end is missing"), "{text}");
    }
    for (place, byte, says) in [(4, 1, "word size"), (18, 40, "another kind of machine"), (16, 1, "no shared library")]
    {
        let mut bytes = whole.clone();
        bytes[place] = byte;
        let text = refusal(file("other.so", &bytes));
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_library_without_a_module_is_refused() {
    // The C library is one that every machine has.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("libc.so"));
    let text = refusal(libc.expect("the C library is loaded"));
    assert!(text.contains("exports no DIS_SCHEDULER_MODULE"), "{text}");
}

#[test]
fn another_abi_is_refused_with_both_versions() {
    let text = refusal(library("other_abi"));
    assert!(text.contains("version 8 of the module ABI (with dis-module 9.8.7)"), "{text}");
    assert!(text.contains("this program has version 2 (dis-module 0.1.0)"), "{text}");
}

#[test]
fn a_module_that_cannot_be_set_up_is_not_registered() {
    let mut modules = SchedulerRegistry::with_builtins();
    let mut module = load(library("hostile_fails_init")).unwrap();
    assert_eq!(module.init(), Err(ModuleError::Failed("it has no licence")));
    let error = modules.register(Box::new(module)).unwrap_err();
    assert!(error.to_string().contains("it has no licence"), "{error}");
    assert!(modules.get("hostile-fails-init").is_none());
}
