//! Files become modules, or it is said why not.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::library;
use dis_core::intent::QueueType;
use dis_core::modules::{Module, ModuleError, SchedulerModule, SchedulerRegistry, Version};
use dis_module::{check, load};

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
    assert!(text.contains("version 7 of the module ABI (with dis-module 9.8.7)"), "{text}");
    assert!(text.contains("this program has version 1 (dis-module 0.1.0)"), "{text}");
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
