//! What lies between a host and a module: C functions, C layouts.
//!
//! A module is a shared library with one symbol, [`SYMBOL`], a [`Descriptor`]. Its first four fields are the same in every
//! version of the ABI, so a host can always tell what a module was built for. All else may change with [`VERSION`].
//!
//! No function unwinds. A panic in the module is caught there; the function answers with its *fault* value, and what the
//! host calls is undefined in meaning, but not in behaviour, from then on.

#[path = "abi_wasm.rs"]
pub mod wasm;

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

use dis_core::api::{Duration, TaskId, Timestamp};
use dis_core::intent::QueueType;
use dis_core::policy::{Arrival, Entity, Progress, TaskKey, VirtualTime};

/// The version of everything here that is not the same in all versions.
pub const VERSION: u32 = 2;

/// What a [`Descriptor`] begins with.
pub const MAGIC: [u8; 8] = *b"DISSCHED";

/// The name of the symbol.
pub const SYMBOL: &str = "DIS_SCHEDULER_MODULE";

/// With which crate a module was built, for messages.
pub const TOOLKIT: &str = concat!("dis-module ", env!("CARGO_PKG_VERSION"));

/// A text in the module that stays as long as the library is loaded.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Text {
    /// Its first byte.
    pub start: *const u8,
    /// Its length in bytes.
    pub len: usize,
}

impl Text {
    /// Of a text that is part of the program.
    pub const fn new(text: &'static str) -> Text {
        Text { start: text.as_ptr(), len: text.len() }
    }

    /// Copied, with replacement characters for what is not UTF-8.
    ///
    /// # Safety
    /// Valid memory.
    pub unsafe fn to_text(self) -> String {
        if self.start.is_null() {
            return String::new();
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, self.len) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// What is behind [`SYMBOL`].
#[repr(C)]
pub struct Descriptor {
    /// [`MAGIC`]; in every version.
    pub magic: [u8; 8],
    /// The module's [`VERSION`]; in every version.
    pub version: u32,
    /// Bytes of the whole descriptor; in every version.
    pub size: u32,
    /// [`TOOLKIT`]; in every version.
    pub toolkit: Text,
    /// The functions of the module.
    pub module: ModuleTable,
    /// The functions of its policies.
    pub policy: PolicyTable,
}

// SAFETY: nothing in it changes.
unsafe impl Sync for Descriptor {}

/// How setting up or tearing down went.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Outcome {
    /// One of the constants of this type.
    pub code: u32,
    /// Why, if that is not [`Outcome::DONE`].
    pub why: Text,
}

impl Outcome {
    /// It worked.
    pub const DONE: u32 = 0;
    /// A resource ran out.
    pub const EXHAUSTED: u32 = 1;
    /// The host lacks something.
    pub const UNSUPPORTED: u32 = 2;
    /// Something else.
    pub const FAILED: u32 = 3;
    /// It panicked.
    pub const FAULT: u32 = 4;
}

/// A set of intent classes: bit *r* is the class of rank *r* ([`QueueType::rank`]).
pub type Classes = u32;

/// The answer in place of [`Classes`] if the module panicked.
pub const FAULTY_CLASSES: Classes = u32::MAX;

/// What a module can do. `this` is what `create` answered.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ModuleTable {
    /// Makes the module; null if that panicked.
    pub create: unsafe extern "C" fn() -> *mut c_void,
    /// Ends it.
    pub destroy: unsafe extern "C" fn(this: *mut c_void),
    /// Its name; empty if that panicked.
    pub name: unsafe extern "C" fn(this: *mut c_void) -> Text,
    /// Its version: 16 bits each for major, minor, patch from the top; the lowest 16 are 0. All ones if that panicked.
    pub version: unsafe extern "C" fn(this: *mut c_void) -> u64,
    /// Sets it up.
    pub init: unsafe extern "C" fn(this: *mut c_void) -> Outcome,
    /// Tears it down.
    pub cleanup: unsafe extern "C" fn(this: *mut c_void) -> Outcome,
    /// The classes whose promises it keeps.
    pub supported: unsafe extern "C" fn(this: *mut c_void) -> Classes,
    /// The classes it can serve at all.
    pub possible: unsafe extern "C" fn(this: *mut c_void) -> Classes,
    /// Makes a policy; null if that panicked.
    pub policy: unsafe extern "C" fn(this: *mut c_void) -> *mut c_void,
    /// Copies the message of the first panic to `to`, at most `room` bytes. How many; 0 if there was none.
    pub fault: unsafe extern "C" fn(to: *mut u8, room: usize) -> usize,
    /// What the library has allocated, in bytes, and how often it has asked.
    pub memory: unsafe extern "C" fn() -> Memory,
}

/// What a library has allocated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Memory {
    /// Bytes in use.
    pub bytes: u64,
    /// Allocations so far.
    pub calls: u64,
    /// Those of them that were refused.
    pub refused: u64,
}

/// What a policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    /// A [key](Answer::key), a truth value (0 or 1), or 0.
    pub value: u64,
    /// How many tasks are queued now; [`Answer::FAULT`] if the policy panicked.
    pub len: u64,
}

impl Answer {
    /// In place of a number of tasks: it panicked.
    pub const FAULT: u64 = u64::MAX;
    /// In place of a key: none.
    pub const NOBODY: u64 = u64::MAX;

    /// The key, if there is one.
    pub fn key(self) -> Option<TaskKey> {
        u32::try_from(self.value).ok().map(TaskKey)
    }

    /// The value that stands for a key.
    pub fn of_key(key: Option<TaskKey>) -> u64 {
        key.map_or(Answer::NOBODY, |key| u64::from(key.0))
    }
}

/// In place of a slice or a truth value: it panicked.
pub const FAULTY_NUMBER: u64 = u64::MAX;

/// A [`Progress`], or none (`known` 0), or the policy panicked (`known` 2).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Clock {
    /// [`Progress::mean`], or the virtual runtime that was asked for.
    pub mean: i64,
    /// [`Progress::weight`].
    pub weight: i64,
    /// Whether there is one.
    pub known: u32,
}

impl Clock {
    /// Nothing to tell.
    pub const NONE: Clock = Clock { mean: 0, weight: 0, known: 0 };
    /// It panicked.
    pub const FAULT: Clock = Clock { mean: 0, weight: 0, known: 2 };
}

impl From<Progress> for Clock {
    fn from(progress: Progress) -> Clock {
        Clock { mean: progress.mean, weight: progress.weight, known: 1 }
    }
}

/// Called with each task that a policy shows; true (1) to stop.
pub type Visitor = unsafe extern "C" fn(context: *mut c_void, key: u32) -> u32;

/// What a policy can do; each mirrors the method of that name of
/// [`SchedulingPolicy`](dis_core::policy::SchedulingPolicy). `why` is an [`Arrival`], instants and spans are in ns.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PolicyTable {
    /// Ends the policy.
    pub destroy: unsafe extern "C" fn(this: *mut c_void),
    /// As the method.
    pub on_ready: unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, why: u8, now: u64) -> Answer,
    /// As the method.
    pub select: unsafe extern "C" fn(this: *mut c_void, now: u64) -> Answer,
    /// As the method.
    pub peek: unsafe extern "C" fn(this: *mut c_void, now: u64) -> Answer,
    /// As the method.
    pub exchange: unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, why: u8, now: u64) -> Answer,
    /// As the method.
    pub on_block: unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, now: u64) -> Answer,
    /// As the method.
    pub remove: unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, now: u64) -> Answer,
    /// As the method.
    pub update:
        unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, priority: u8, deadline: u64, now: u64) -> Answer,
    /// As the method.
    pub on_tick: unsafe extern "C" fn(this: *mut c_void, task: &mut Entity, ran: u64, now: u64) -> Answer,
    /// As the method; [`FAULTY_NUMBER`].
    pub time_slice: unsafe extern "C" fn(this: *mut c_void, task: &Entity) -> u64,
    /// As the method; [`FAULTY_NUMBER`].
    pub preempts: unsafe extern "C" fn(this: *mut c_void, ready: &Entity, running: &Entity) -> u64,
    /// As the method.
    pub visit: unsafe extern "C" fn(this: *mut c_void, visitor: Visitor, context: *mut c_void) -> Answer,
    /// As the method.
    pub progress: unsafe extern "C" fn(this: *mut c_void) -> Clock,
    /// As the method.
    pub vruntime: unsafe extern "C" fn(this: *mut c_void, key: u32) -> Clock,
    /// As the method.
    pub reserve: unsafe extern "C" fn(this: *mut c_void, keys: usize) -> Answer,
}

/// The arrival that a number stands for.
pub fn arrival(why: u8) -> Option<Arrival> {
    use Arrival::*;
    [Spawn, Wake, Yield, Preempt, SliceEnd, Migrate].into_iter().find(|known| *known as u8 == why)
}

/// The classes for which `member` says yes.
pub fn classes(member: impl Fn(QueueType) -> bool) -> Classes {
    QueueType::ALL.into_iter().filter(|&class| member(class)).map(|class| 1 << class.rank()).sum()
}

// The layout that version 2 means. Whoever changes one of these raises the version.
const _: () = {
    assert!(size_of::<Entity>() == 40 && size_of::<TaskKey>() == 4 && size_of::<VirtualTime>() == 8);
    assert!(size_of::<TaskId>() == 8 && size_of::<Timestamp>() == 8 && size_of::<Duration>() == 8);
    assert!(offset_of!(Entity, key) == 0 && offset_of!(Entity, priority) == 4 && offset_of!(Entity, id) == 8);
    assert!(offset_of!(Entity, deadline) == 16 && offset_of!(Entity, slice) == 24 && offset_of!(Entity, virt) == 32);
    assert!(Arrival::Spawn as u8 == 0 && Arrival::Migrate as u8 == 5);
    assert!(offset_of!(Descriptor, version) == 8 && offset_of!(Descriptor, size) == 12);
    assert!(offset_of!(Descriptor, toolkit) == 16 && VERSION == 2);
    assert!(size_of::<Memory>() == 24);
};
